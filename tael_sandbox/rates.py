"""A fixed table of exchange rates to CNY, and conversion between minor units and the wallets' decimals.

Rates never change, so expected values of tests stay valid. Rounding is half up to minor units.
"""

from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from tael_sandbox.currencies import DECIMALS

CNY_PER_UNIT: Final = {
    "CNY": Decimal(1),
    "HKD": Decimal("0.9123"),
    "USD": Decimal("7.1034"),
    "EUR": Decimal("7.7215"),
    "GBP": Decimal("9.0480"),
    "SGD": Decimal("5.2710"),
    "AUD": Decimal("4.6905"),
    "CAD": Decimal("5.1827"),
    "NZD": Decimal("4.2736"),
    "JPY": Decimal("0.0482"),
    "KRW": Decimal("0.0052"),
    "THB": Decimal("0.2014"),
    "CHF": Decimal("8.0331"),
    "MOP": Decimal("0.8857"),
    "MYR": Decimal("1.5120"),
    "TWD": Decimal("0.2198"),
}


def exponent(currency: str) -> int:
    """How many decimals its major unit has. Raises KeyError for a currency that is not in use."""
    return DECIMALS[currency]


def rate_to_cny(currency: str) -> Decimal:
    """CNY for one whole unit. Raises KeyError for a currency that is not in the table."""
    return CNY_PER_UNIT[currency]


def convert(amount_minor: int, source: str, target: str) -> int:
    """`amount_minor` of `source` in minor units of `target`."""
    units = Decimal(amount_minor).scaleb(-exponent(source)) * CNY_PER_UNIT[source] / CNY_PER_UNIT[target]
    return int(units.scaleb(exponent(target)).quantize(Decimal(1), ROUND_HALF_UP))


def to_cny_minor(amount_minor: int, currency: str) -> int:
    return convert(amount_minor, currency, "CNY")


def in_units(amount_minor: int, currency: str) -> str:
    """The decimal string that Alipay, and WeChat Pay in its bills, print: `39.25`, for yen `100`."""
    return f"{Decimal(amount_minor).scaleb(-exponent(currency)):f}"


def fee(amount_minor: int, currency: str, rate_ppm: int, decimals: int) -> Decimal:
    """The wallet's fee for an amount, in whole units of the currency with this number of decimals."""
    units = Decimal(amount_minor).scaleb(-exponent(currency)) * rate_ppm / 1_000_000
    return units.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)


def fee_minor(amount_minor: int, rate_ppm: int) -> int:
    """The same fee in minor units, rounded half up."""
    return int((Decimal(amount_minor) * rate_ppm / 1_000_000).quantize(Decimal(1), ROUND_HALF_UP))


def percentage(rate_ppm: int) -> str:
    """`0.60%` for 6000 parts per million."""
    return f"{Decimal(rate_ppm).scaleb(-4):.2f}%"
