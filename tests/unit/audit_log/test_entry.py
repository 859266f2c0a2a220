"""What the audit log keeps of a change: the fields that differ, and no secret."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta

import pytest

from tael.audit_log.domain.entry import MAX_SHOWN_CHARACTERS, entry_of, shown
from tael.base.money import Money
from tael.base.secret import Secret
from tael.merchants.domain.merchant import Merchant, MerchantState, Operation, PreviousKey
from tests.support.values import NOW, ORIGIN, a_merchant, an_app

KEY = "a key that is long enough"


def digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()[:16]


def changes(before: object | None, after: object | None) -> tuple[object, object]:
    entry = entry_of(ORIGIN, "merchant", "m", before, after)
    assert entry is not None
    assert (entry.at, entry.actor, entry.address, entry.action) == (NOW, "tester", "127.0.0.1", "a test")
    return entry.before, entry.after


def test_only_the_fields_that_differ_are_kept() -> None:
    after = a_merchant(state=MerchantState.DISABLED, denied=frozenset({Operation.REFUND, Operation.CLOSE}))
    assert changes(a_merchant(), after) == (
        {"state": "active", "denied": []},
        {"state": "disabled", "denied": ["close", "refund"]},
    )


def test_equal_values_are_no_change() -> None:
    assert entry_of(ORIGIN, "merchant", "m", a_merchant(), a_merchant()) is None


def test_a_new_and_a_removed_row_have_one_side() -> None:
    merchant = a_merchant()
    before, after = changes(None, merchant)
    assert before is None
    assert isinstance(after, dict)
    assert set(after) == set(Merchant.__slots__)
    assert changes(merchant, None) == (after, None)


def test_secrets_are_digests_also_inside_other_values() -> None:
    previous = PreviousKey(Secret(KEY), NOW + timedelta(hours=1))
    row = shown(an_app(key=Secret("other"), previous_key=previous))
    assert row["key"] == digest("other")
    assert row["previous_key"] == {"key": digest(KEY), "until": "2026-01-02T04:04:05+00:00"}


def test_long_texts_are_digests() -> None:
    long = "x" * (MAX_SHOWN_CHARACTERS + 1)
    assert shown({"short": long[1:], "long": long, "money": Money(1250, "HKD")}) == {
        "short": long[1:],
        "long": digest(long),
        "money": "12.50 HKD",
    }


def test_an_unknown_type_is_refused() -> None:
    @dataclass
    class Row:
        value: object

    with pytest.raises(TypeError):
        shown(Row(b"bytes"))
