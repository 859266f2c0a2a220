"""What an operator does with the terms of payout. A change applies to periods that have no payout yet."""

from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from tael.audit_log.domain.entry import Origin
from tael.ledger.domain.digest import day_of
from tael.merchants.domain.forms import CURRENCY, InvalidValue, check
from tael.settlement.domain.terms import Cycle, PayoutTerms, Weekday, check_terms
from tael.settlement.store.terms import PayoutTermsTable


class NoTerms(Exception):
    """The merchant has no terms in this currency."""


@dataclass(frozen=True, slots=True)
class TermsChange:
    """What is to change; None keeps a value. New terms need a cycle; they begin today, without minimum and reserve."""

    cycle: Cycle | None = None
    weekday: Weekday | None = None
    minimum_minor: int | None = None
    reserve_ppm: int | None = None
    reserve_days: int | None = None
    since: date | None = None


async def set_terms(
    table: PayoutTermsTable, mchid: str, currency: str, change: TermsChange, origin: Origin
) -> PayoutTerms:
    """Change the terms of a merchant and currency, or add them. Raises InvalidValue."""
    check(currency, CURRENCY, "currency")

    def changed(before: PayoutTerms | None) -> PayoutTerms:
        return check_terms(_changed(before or _new_terms(mchid, currency, change, origin), change))

    after = await table.change(mchid, currency, changed, origin)
    assert after is not None
    return after


async def remove_terms(table: PayoutTermsTable, mchid: str, currency: str, origin: Origin) -> None:
    """End the payouts of a merchant and currency. Raises NoTerms."""

    def removed(before: PayoutTerms | None) -> None:
        if before is None:
            raise NoTerms

    await table.change(mchid, currency, removed, origin)


def _new_terms(mchid: str, currency: str, change: TermsChange, origin: Origin) -> PayoutTerms:
    if change.cycle is None:
        raise InvalidValue("cycle", f"required, since {mchid} has no terms in {currency}")
    return PayoutTerms(mchid, currency, change.cycle, None, 0, 0, 0, day_of(origin.at))


def _changed(before: PayoutTerms, change: TermsChange) -> PayoutTerms:
    """A weekday belongs to its cycle: another cycle drops it."""
    names = ("cycle", "weekday", "minimum_minor", "reserve_ppm", "reserve_days", "since")
    values: dict[str, Any] = {name: getattr(change, name) for name in names}
    given = {name: value for name, value in values.items() if value is not None}
    if change.cycle is not None and change.cycle is not before.cycle:
        given.setdefault("weekday", None)
    return replace(before, **given)
