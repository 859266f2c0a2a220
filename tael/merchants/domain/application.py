"""What a business sends when it signs up, and what an operator decides about it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Final

from tael.merchants.domain.merchant import MerchantState

#: Shown by their last characters only.
MASKED: Final = ("id_number", "bank_account")
SHOWN_CHARS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Application:
    """Texts as sent; "" for an optional one that was not. Personal data: `repr` shows none of it."""

    username: str
    company_name: str
    shop_name: str
    legal_person: str
    id_number: str
    email: str
    mobile: str
    country: str
    province: str = ""
    city: str
    address: str
    business_address: str = ""
    category: int  #: an ISO 18245 code
    license_number: str
    license_date: str  #: YYYY-MM-DD
    channel_type: str = ""
    bank_account: str
    bank_account_holder: str
    bank_account_type: str = ""
    bank_name: str
    head_bank_name: str = ""
    bank_code: str
    swift_code: str = ""
    bank_country: str
    bank_province: str = ""
    bank_city: str
    bank_address: str

    def __repr__(self) -> str:
        return "Application(…)"


def shown(application: Application, *, reveal: bool) -> Mapping[str, str | int]:
    """The fields by name, with the numbers of the identity card and the bank account masked unless `reveal`."""
    values = {field.name: getattr(application, field.name) for field in fields(application)}
    return values if reveal else values | {name: masked(values[name]) for name in MASKED}


def masked(number: str) -> str:
    """`number` with all but its last characters hidden; a short one is hidden completely."""
    shown_chars = SHOWN_CHARS if len(number) >= 2 * SHOWN_CHARS else 0
    hidden = len(number) - shown_chars
    return "*" * hidden + number[hidden:]


class Decision(StrEnum):
    """What an operator decides about a merchant."""

    APPROVE = "approve"
    REFUSE = "refuse"
    SUSPEND = "suspend"
    RESUME = "resume"


#: For each decision the states in which it is possible, and the one that it leads to.
TRANSITIONS: Final[Mapping[Decision, tuple[frozenset[MerchantState], MerchantState]]] = {
    Decision.APPROVE: (frozenset({MerchantState.WAITING, MerchantState.REFUSED}), MerchantState.ACTIVE),
    Decision.REFUSE: (frozenset({MerchantState.WAITING}), MerchantState.REFUSED),
    Decision.SUSPEND: (frozenset({MerchantState.ACTIVE}), MerchantState.DISABLED),
    Decision.RESUME: (frozenset({MerchantState.DISABLED}), MerchantState.ACTIVE),
}


class DecisionImpossible(Exception):
    """The merchant's state does not allow the decision. The message is a sentence for the operator."""


def state_after(decision: Decision, state: MerchantState) -> MerchantState:
    """Raises DecisionImpossible."""
    before, after = TRANSITIONS[decision]
    if state not in before:
        raise DecisionImpossible(
            f"the merchant is {state}: `{decision}` is for one that is {_either(before)}"
        )
    return after


def _either(states: frozenset[MerchantState]) -> str:
    return " or ".join(sorted(states))


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """A decision as it is stored. `state` is the merchant's from then on, `reason` may be empty."""

    mchid: str
    number: int
    state: MerchantState
    reason: str
    decided_at: datetime
