"""What a chain of seals must say of the ledger beside it. Pure.

Each link is judged against the link before it as that lies in the table, so that one changed seal does not make every
later day look changed too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from tael.domain.audit import NOTHING, Disagreement
from tael.domain.day_seal import NO_SEAL, DayDigest, DaySeal, Line


@dataclass(frozen=True, slots=True)
class Chain:
    """Whose chain it is, and what is noted of its end."""

    mchid: str
    is_kept: bool  #: there is a row that says when its next day is sealed
    next_day: date | None  #: the first day without a seal; None where there is none yet


def wrong_link(seal: DaySeal, before: DaySeal | None, digest: DayDigest) -> Iterator[Disagreement]:
    """What is wrong about `seal`; `digest` was made anew of the day's lines, over the digest of `before`."""
    previous = previous_of(before)
    if before is not None and seal.day != before.day + timedelta(days=1):
        yield _missing_day(seal.mchid, before.day + timedelta(days=1))
    if seal.previous != previous:
        yield _of_seal(seal, "previous", previous or NOTHING, seal.previous or NOTHING)
    if seal.entries != digest.entries:
        yield _of_seal(seal, "entries", str(seal.entries), str(digest.entries))
    elif seal.digest != digest.hexdigest():
        yield _of_seal(seal, "digest", seal.digest, digest.hexdigest())


def wrong_end(chain: Chain, last: DaySeal | None) -> Iterator[Disagreement]:
    """Whether seals are missing at the end, where no later link tells."""
    if not chain.is_kept:
        expected = "a row, since the merchant's days are to be sealed"
        yield Disagreement("sealing", chain.mchid, chain.mchid, "a row is missing", expected, NOTHING)
        return
    noted = None if chain.next_day is None else chain.next_day - timedelta(days=1)
    sealed = None if last is None else last.day
    if noted == sealed:
        return
    if noted is not None and (sealed is None or sealed < noted):
        yield _missing_day(chain.mchid, noted)
    else:
        yield Disagreement("sealing", chain.mchid, chain.mchid, "next_day", _day(sealed), _day(noted))


def unsealed_line(line: Line, day: date) -> Disagreement:
    """An entry of a time that only sealed days surround: it came after them."""
    expected = "no entry in a day without a seal"
    found = f"{line.kind} {line.amount_minor} {line.currency} in {day.isoformat()}"
    return Disagreement("ledger_entry", line.mchid, line.cause, "an entry too many", expected, found)


def previous_of(before: DaySeal | None) -> str:
    """What the link after `before` is chained to."""
    return NO_SEAL if before is None else before.digest


def _missing_day(mchid: str, day: date) -> Disagreement:
    return Disagreement("seal", mchid, day.isoformat(), "a row is missing", "a seal of each day", NOTHING)


def _of_seal(seal: DaySeal, what: str, expected: str, found: str) -> Disagreement:
    return Disagreement("seal", seal.mchid, seal.day.isoformat(), what, expected, found)


def _day(day: date | None) -> str:
    return NOTHING if day is None else f"the day after {day.isoformat()}"
