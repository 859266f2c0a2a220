"""A chain of seals beside its ledger: every way in which a link can be wrong is named, and only where it is."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any, Final

import pytest

from tael.audit.domain.audit import Disagreement
from tael.audit.domain.chain_audit import Chain, previous_of, wrong_end, wrong_link
from tael.ledger.domain.digest import NO_DIGEST, DigestBuilder, LedgerDigest
from tests.support.values import MCHID, NOW

DAY: Final = date(2026, 1, 2)
NEXT: Final = DAY + timedelta(days=1)


def sealed(day: date, before: LedgerDigest | None = None) -> LedgerDigest:
    """The seal of a day without entries."""
    previous = previous_of(before)
    return LedgerDigest(MCHID, day, DigestBuilder(MCHID, day, previous).hexdigest(), previous, 0, NOW)


FIRST: Final = sealed(DAY)
SECOND: Final = sealed(NEXT, FIRST)


def wrongs(ledger_digest: LedgerDigest, before: LedgerDigest | None) -> list[Disagreement]:
    return list(
        wrong_link(ledger_digest, before, DigestBuilder(MCHID, ledger_digest.day, previous_of(before)))
    )


def ends(next_day: date | None, last: LedgerDigest | None, *, is_kept: bool = True) -> list[tuple[str, str]]:
    return [(one.table, one.what) for one in wrong_end(Chain(MCHID, is_kept, next_day), last)]


def test_an_honest_chain_has_nothing_wrong() -> None:
    assert FIRST.previous == NO_DIGEST
    assert wrongs(FIRST, None) == wrongs(SECOND, FIRST) == []
    assert ends(NEXT + timedelta(days=1), SECOND) == ends(None, None) == []


@pytest.mark.parametrize(
    ("change", "what"),
    [({"digest": "0" * 64}, "digest"), ({"previous": "0" * 64}, "previous"), ({"entries": 1}, "entries")],
)
def test_a_changed_seal_is_named(change: dict[str, Any], what: str) -> None:
    (wrong,) = wrongs(replace(SECOND, **change), FIRST)
    assert (wrong.table, wrong.mchid, wrong.syssn, wrong.what) == ("ledger_digest", MCHID, "2026-01-03", what)
    assert wrong.expected != wrong.found


def test_a_changed_digest_breaks_the_link_after_it_too() -> None:
    changed = replace(FIRST, digest="0" * 64)
    assert "previous" in [wrong.what for wrong in wrongs(SECOND, changed)]


def test_a_first_seal_that_was_taken_out_is_missed_by_the_second() -> None:
    assert "previous" in [wrong.what for wrong in wrongs(SECOND, None)]


def test_a_day_that_was_taken_out_of_the_middle_is_named() -> None:
    third = sealed(NEXT + timedelta(days=1), SECOND)
    missing = wrongs(third, FIRST)[0]
    assert (missing.syssn, missing.what) == (NEXT.isoformat(), "a row is missing")


def test_the_end_of_a_chain_is_noted_elsewhere() -> None:
    assert ends(NEXT + timedelta(days=1), FIRST) == [("ledger_digest", "a row is missing")]
    assert ends(NEXT, None) == [("ledger_digest", "a row is missing")]
    assert ends(NEXT, SECOND) == [("daily_close", "next_day")]
    assert ends(None, FIRST) == [("daily_close", "next_day")]
    assert ends(None, None, is_kept=False) == [("daily_close", "a row is missing")]
