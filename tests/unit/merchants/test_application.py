"""Applications and decisions: what is shown, and which decision a state allows."""

import pytest

from tael.merchants.domain.application import (
    TRANSITIONS,
    Application,
    Decision,
    DecisionImpossible,
    masked,
    shown,
    state_after,
)
from tael.merchants.domain.merchant import MerchantState

PERSONAL = {"id_number": "172845391795", "bank_account": "168477081838"}


def an_application() -> Application:
    texts = {name: "x" for name in Application.__dataclass_fields__ if name != "category"}
    return Application(**(texts | PERSONAL), category=5812)


def test_numbers_are_masked_up_to_their_last_digits() -> None:
    assert masked("172845391795") == "********1795"
    assert masked("12345678") == "****5678"
    assert masked("1234567") == "*******"
    assert masked("") == ""
    assert shown(an_application(), reveal=True) == {**shown(an_application(), reveal=False), **PERSONAL}
    assert set(PERSONAL.values()).isdisjoint(shown(an_application(), reveal=False).values())


def test_nothing_of_an_application_is_in_its_repr() -> None:
    assert repr(an_application()) == str(an_application()) == "Application(…)"


@pytest.mark.parametrize("state", MerchantState)
@pytest.mark.parametrize("decision", Decision)
def test_a_decision_has_states_and_leads_to_another(decision: Decision, state: MerchantState) -> None:
    before, after = TRANSITIONS[decision]
    if state in before:
        assert state_after(decision, state) is after is not state
    else:
        with pytest.raises(DecisionImpossible, match=f"the merchant is {state}"):
            state_after(decision, state)


def test_no_state_is_a_dead_end() -> None:
    """A merchant in any state can become active."""
    for state in set(MerchantState) - {MerchantState.ACTIVE}:
        assert any(
            state in before and after is MerchantState.ACTIVE for before, after in TRANSITIONS.values()
        )
