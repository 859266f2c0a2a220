"""A merchant's volume: the sum of its payments of a day and of a month, and whether one more is allowed. Pure.

A payment counts in the day (UTC+8) in which it was created, with its whole amount, while it is pending and once it is
paid. One that fails, is closed or expires makes room again; a refund does not.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from tael.base.errors import AmountRefused
from tael.ledger.domain.digest import beginning_of, day_of
from tael.merchants.domain.merchant import VolumeLimits
from tael.payments.domain.payment import Payment


@dataclass(frozen=True, slots=True)
class VolumePeriod:
    """A merchant's day, and the month up to its end. Instants are UTC; `day_end` is excluded."""

    mchid: str
    day: date
    month_begin: datetime
    day_begin: datetime
    day_end: datetime


@dataclass(frozen=True, slots=True)
class Volume:
    """What a merchant's payments add up to, in minor units of its currency."""

    day_minor: int
    month_minor: int

    def plus(self, amount_minor: int) -> "Volume":
        return Volume(self.day_minor + amount_minor, self.month_minor + amount_minor)


@dataclass(frozen=True, slots=True)
class NewPayment:
    """A payment to open, and the limits of its merchant."""

    payment: Payment
    limits: VolumeLimits

    @property
    def period(self) -> VolumePeriod:
        return period_of(self.payment.mchid, self.payment.created_at)


def period_of(mchid: str, at: datetime) -> VolumePeriod:
    """The day of an instant."""
    day = day_of(at)
    return VolumePeriod(
        mchid,
        day,
        beginning_of(day.replace(day=1)),
        beginning_of(day),
        beginning_of(day + timedelta(days=1)),
    )


def refusals(new: Iterable[NewPayment], before: dict[VolumePeriod, Volume]) -> dict[str, AmountRefused]:
    """By syssn, why payments would be above a limit, if each of the others is opened in this order."""
    volumes, refused = dict(before), dict[str, AmountRefused]()
    for each in new:
        after = volumes[each.period].plus(each.payment.amount.amount_minor)
        refusal = refusal_above(each.limits, after)
        if refusal is None:
            volumes[each.period] = after
        else:
            refused[each.payment.syssn] = refusal
    return refused


def refusal_above(limits: VolumeLimits, volume: Volume) -> AmountRefused | None:
    """None if the volume is within the limits."""
    if limits.daily_minor is not None and volume.day_minor > limits.daily_minor:
        return AmountRefused(f"this merchant takes at most {limits.daily_minor} in a day")
    if limits.monthly_minor is not None and volume.month_minor > limits.monthly_minor:
        return AmountRefused(f"this merchant takes at most {limits.monthly_minor} in a month")
    return None
