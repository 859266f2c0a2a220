"""The chain of ledger digests against its ledger: every kind of wrong link is reported, and only where it is."""

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


def digest_of(day: date, before: LedgerDigest | None = None) -> LedgerDigest:
    """The digest of a day without entries."""
    previous = previous_of(before)
    return LedgerDigest(MCHID, day, DigestBuilder(MCHID, day, previous).hexdigest(), previous, 0, NOW)


FIRST: Final = digest_of(DAY)
SECOND: Final = digest_of(NEXT, FIRST)


def wrongs(ledger_digest: LedgerDigest, before: LedgerDigest | None) -> list[Disagreement]:
    return list(
        wrong_link(ledger_digest, before, DigestBuilder(MCHID, ledger_digest.day, previous_of(before)))
    )


def ends(next_day: date | None, last: LedgerDigest | None, *, is_kept: bool = True) -> list[tuple[str, str]]:
    return [(one.table, one.what) for one in wrong_end(Chain(MCHID, is_kept, next_day), last)]


def test_a_correct_chain_has_no_errors() -> None:
    assert FIRST.previous == NO_DIGEST
    assert wrongs(FIRST, None) == wrongs(SECOND, FIRST) == []
    assert ends(NEXT + timedelta(days=1), SECOND) == ends(None, None) == []


@pytest.mark.parametrize(
    ("change", "what"),
    [({"digest": "0" * 64}, "digest"), ({"previous": "0" * 64}, "previous"), ({"entries": 1}, "entries")],
)
def test_a_changed_row_is_reported(change: dict[str, Any], what: str) -> None:
    (wrong,) = wrongs(replace(SECOND, **change), FIRST)
    assert (wrong.table, wrong.mchid, wrong.syssn, wrong.what) == ("ledger_digest", MCHID, "2026-01-03", what)
    assert wrong.expected != wrong.found


def test_a_changed_digest_breaks_the_link_after_it_too() -> None:
    changed = replace(FIRST, digest="0" * 64)
    assert "previous" in [wrong.what for wrong in wrongs(SECOND, changed)]


def test_a_removed_first_digest_breaks_the_second() -> None:
    assert "previous" in [wrong.what for wrong in wrongs(SECOND, None)]


def test_a_removed_day_in_the_middle_is_reported() -> None:
    third = digest_of(NEXT + timedelta(days=1), SECOND)
    missing = wrongs(third, FIRST)[0]
    assert (missing.syssn, missing.what) == (NEXT.isoformat(), "a row is missing")


def test_the_end_of_a_chain_is_checked_against_the_daily_close() -> None:
    assert ends(NEXT + timedelta(days=1), FIRST) == [("ledger_digest", "a row is missing")]
    assert ends(NEXT, None) == [("ledger_digest", "a row is missing")]
    assert ends(NEXT, SECOND) == [("daily_close", "next_day")]
    assert ends(None, FIRST) == [("daily_close", "next_day")]
    assert ends(None, None, is_kept=False) == [("daily_close", "a row is missing")]
