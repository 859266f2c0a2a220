"""Alipay's time formats, and the deadline until which the wallet may take money for an online order.

The wallet writes Beijing time without a zone, in two formats. Source: mapi, create_forex_trade and
create_forex_trade_wap.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from tael.base.moments import UTC8

#: The values of `timeout_rule`, shortest first; it starts at the payer's log-in.
TIMEOUT_RULES: Final = (
    ("5m", timedelta(minutes=5)),
    ("10m", timedelta(minutes=10)),
    ("15m", timedelta(minutes=15)),
    ("30m", timedelta(minutes=30)),
    ("1h", timedelta(hours=1)),
    ("2h", timedelta(hours=2)),
    ("3h", timedelta(hours=3)),
    ("5h", timedelta(hours=5)),
    ("10h", timedelta(hours=10)),
    ("12h", timedelta(hours=12)),
    ("1d", timedelta(days=1)),
    ("3d", timedelta(days=3)),
    ("7d", timedelta(days=7)),
    ("15d", timedelta(days=15)),
)
#: How long a payer who has scanned a shop's code may take to pay.
AFTER_SCAN_MINUTES: Final = 3
#: The maximum of `order_valid_time`.
MAX_VALID_S: Final = 2_592_000
#: In-store refunds are suspended from midnight until this time in Beijing.
NIGHT_ENDS: Final = timedelta(hours=1, minutes=30)

COMPACT: Final = "%Y%m%d%H%M%S"
SPACED: Final = "%Y-%m-%d %H:%M:%S"


def compact(at: datetime) -> str:
    """`20260102030405`, Beijing."""
    return at.astimezone(UTC8).strftime(COMPACT)


def spaced(at: datetime) -> str:
    """`2026-01-02 03:04:05`, Beijing."""
    return at.astimezone(UTC8).strftime(SPACED)


def read_time(text: str) -> datetime | None:
    """Parse an instant in either format; None if malformed."""
    for form in (COMPACT, SPACED):
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC8).astimezone(UTC)
        except ValueError:
            continue
    return None


def valid_s(created_at: datetime, expires_at: datetime) -> int:
    """`order_valid_time`: how many seconds the payer has to log in."""
    return min(max(int((expires_at - created_at).total_seconds()), 1), MAX_VALID_S)


def timeout_rule(seconds: int) -> tuple[str, timedelta]:
    """The shortest `timeout_rule` of at least `seconds`, or the longest one."""
    for rule in TIMEOUT_RULES:
        if rule[1] >= timedelta(seconds=seconds):
            return rule
    return TIMEOUT_RULES[-1]


def wallet_deadline(order_created: datetime, expires_at: datetime) -> datetime:
    """When an online order can no longer be paid: a log-in at the last second plus the full timeout."""
    seconds = valid_s(order_created, expires_at)
    return order_created + timedelta(seconds=seconds) + timeout_rule(seconds)[1]


def max_deadline(lifetime: timedelta) -> timedelta:
    """The longest time from an order's creation until it can no longer be paid, over all products.

    After its lifetime begins the timeout of a web page, the time after a scan, or the lifetime again, in an app.
    """
    return lifetime + max(TIMEOUT_RULES[-1][1], timedelta(minutes=AFTER_SCAN_MINUTES), lifetime)


def is_night(at: datetime) -> bool:
    """Whether in-store refunds are suspended."""
    beijing = at.astimezone(UTC8)
    return timedelta(hours=beijing.hour, minutes=beijing.minute) < NIGHT_ENDS
