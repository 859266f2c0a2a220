"""What a chain of seals must say of the ledger beside it. Pure.

Each link is judged against the link before it as that lies in the table, so that one changed seal does not make every
later day look changed too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from tael.audit.domain.audit import NOTHING, Disagreement
from tael.ledger.domain.digest import NO_DIGEST, DigestBuilder, LedgerDigest, Line


@dataclass(frozen=True, slots=True)
class Chain:
    """Whose chain it is, and what is noted of its end."""

    mchid: str
    is_kept: bool  #: there is a row that says when its next day is last_day
    next_day: date | None  #: the first day without a seal; None where there is none yet


def wrong_link(
    ledger_digest: LedgerDigest, before: LedgerDigest | None, digest: DigestBuilder
) -> Iterator[Disagreement]:
    """What is wrong about `ledger_digest`; `digest` was made anew of the day's lines, over the digest of `before`."""
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
    """Whether seals are missing at the end, where no later link tells."""
    if not chain.is_kept:
        expected = "a row, since the merchant's days are to be last_day"
        yield Disagreement("daily_close", chain.mchid, chain.mchid, "a row is missing", expected, NOTHING)
        return
    noted = None if chain.next_day is None else chain.next_day - timedelta(days=1)
    last_day = None if last is None else last.day
    if noted == last_day:
        return
    if noted is not None and (last_day is None or last_day < noted):
        yield _missing_day(chain.mchid, noted)
    else:
        yield Disagreement("daily_close", chain.mchid, chain.mchid, "next_day", _day(last_day), _day(noted))


def undigested_line(line: Line, day: date) -> Disagreement:
    """An entry of a time that only last_day days surround: it came after them."""
    expected = "no entry in a day without a seal"
    found = f"{line.kind} {line.amount_minor} {line.currency} in {day.isoformat()}"
    return Disagreement("ledger_entry", line.mchid, line.cause, "an entry too many", expected, found)


def previous_of(before: LedgerDigest | None) -> str:
    """What the link after `before` is chained to."""
    return NO_DIGEST if before is None else before.digest


def _missing_day(mchid: str, day: date) -> Disagreement:
    return Disagreement(
        "ledger_digest", mchid, day.isoformat(), "a row is missing", "a seal of each day", NOTHING
    )


def _of_digest(ledger_digest: LedgerDigest, what: str, expected: str, found: str) -> Disagreement:
    return Disagreement(
        "ledger_digest", ledger_digest.mchid, ledger_digest.day.isoformat(), what, expected, found
    )


def _day(day: date | None) -> str:
    return NOTHING if day is None else f"the day after {day.isoformat()}"
