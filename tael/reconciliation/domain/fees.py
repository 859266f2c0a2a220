"""The fee that a wallet should have charged or returned with a line. Pure."""

from dataclasses import dataclass

from tael.base.money import Money, exponent
from tael.channels.statements import MICROS, FeeRule, LineType


@dataclass(frozen=True, slots=True)
class ExpectedFee:
    """In millionths of the major unit. Another fee within `tolerance_micros` is right too."""

    micros: int
    tolerance_micros: int = 0

    def is_met_by(self, micros: int) -> bool:
        return abs(micros - self.micros) <= self.tolerance_micros


def expected_fee(kind: LineType, amount: Money, rate_ppm: int, rule: FeeRule) -> ExpectedFee:
    """The fee of a line of this amount. `rate_ppm` is in parts per million.

    What a partial refund returns depends on the refunds before it, in the wallet's order. A difference of two rounded
    totals is less than one unit away from the rounded fee on the difference.
    """
    unit = 10 ** (MICROS - (exponent(amount.currency) if rule.decimals is None else rule.decimals))
    fee = _rounded(amount.amount_minor * rate_ppm, 10 ** exponent(amount.currency) * unit) * unit
    if kind is not LineType.REFUND:
        return ExpectedFee(fee)
    return ExpectedFee(fee, unit) if rule.is_returned_with_refunds else ExpectedFee(0)


def _rounded(numerator: int, denominator: int) -> int:
    """Half up; neither is negative."""
    return (2 * numerator + denominator) // (2 * denominator)
