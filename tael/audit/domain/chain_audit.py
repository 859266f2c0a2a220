"""Audit of a merchant's chain of ledger digests against its ledger. Pure.

Each digest is checked against the stored digest of the day before, so that one changed digest does not make every
later day look changed too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from tael.audit.domain.audit import NOTHING, Disagreement
from tael.ledger.domain.digest import NO_DIGEST, DigestBuilder, LedgerDigest, Line


@dataclass(frozen=True, slots=True)
class Chain:
    """A merchant's chain and where it ends, according to `daily_close`."""

    mchid: str
    is_kept: bool  #: the merchant has a row in `daily_close`
    next_day: date | None  #: the first day that is not closed; None before the first close


def wrong_link(
    ledger_digest: LedgerDigest, before: LedgerDigest | None, digest: DigestBuilder
) -> Iterator[Disagreement]:
    """What is wrong with `ledger_digest`. `digest` is recomputed from the day's lines and the digest of `before`."""
    previous = previous_of(before)
    if before is not None and ledger_digest.day != before.day + timedelta(days=1):
        yield _missing_day(ledger_digest.mchid, before.day + timedelta(days=1))
    if ledger_digest.previous != previous:
        yield _of_digest(ledger_digest, "previous", previous or NOTHING, ledger_digest.previous or NOTHING)
    if ledger_digest.entries != digest.entries:
        yield _of_digest(ledger_digest, "entries", str(ledger_digest.entries), str(digest.entries))
    elif ledger_digest.digest != digest.hexdigest():
        yield _of_digest(ledger_digest, "digest", ledger_digest.digest, digest.hexdigest())


def wrong_end(chain: Chain, last: LedgerDigest | None) -> Iterator[Disagreement]:
    """Whether digests are missing at the end, where no later digest would reveal it."""
    if not chain.is_kept:
        expected = "a row, since the merchant's days are closed daily"
        yield Disagreement("daily_close", chain.mchid, chain.mchid, "a row is missing", expected, NOTHING)
        return
    recorded = None if chain.next_day is None else chain.next_day - timedelta(days=1)
    last_day = None if last is None else last.day
    if recorded == last_day:
        return
    if recorded is not None and (last_day is None or last_day < recorded):
        yield _missing_day(chain.mchid, recorded)
    else:
        yield Disagreement(
            "daily_close", chain.mchid, chain.mchid, "next_day", _day(last_day), _day(recorded)
        )


def undigested_line(line: Line, day: date) -> Disagreement:
    """An entry in a day that has no digest although a later day has one: it was added afterwards."""
    expected = "no entry in a day without a digest"
    found = f"{line.kind} {line.amount_minor} {line.currency} in {day.isoformat()}"
    return Disagreement("ledger_entry", line.mchid, line.cause, "an entry too many", expected, found)


def previous_of(before: LedgerDigest | None) -> str:
    """The digest that the day after `before` is chained to."""
    return NO_DIGEST if before is None else before.digest


def _missing_day(mchid: str, day: date) -> Disagreement:
    return Disagreement(
        "ledger_digest", mchid, day.isoformat(), "a row is missing", "a digest of each day", NOTHING
    )


def _of_digest(ledger_digest: LedgerDigest, what: str, expected: str, found: str) -> Disagreement:
    return Disagreement(
        "ledger_digest", ledger_digest.mchid, ledger_digest.day.isoformat(), what, expected, found
    )


def _day(day: date | None) -> str:
    return NOTHING if day is None else f"the day after {day.isoformat()}"
