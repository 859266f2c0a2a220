"""Alipay's times: how they are written, and until when the wallet may take money for an online order.

The wallet writes Beijing time without a zone, in two forms. Source: mapi, create_forex_trade and its twin.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from tael.base.moments import UTC8

#: What `timeout_rule` may say, shortest first; it counts from the payer's log-in.
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
#: The most that `order_valid_time` may say.
MAX_VALID_S: Final = 2_592_000
#: In-store refunds are not executed from midnight to this hour of Beijing.
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
    """An instant that the wallet wrote in either form; None if it is no time."""
    for form in (COMPACT, SPACED):
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC8).astimezone(UTC)
        except ValueError:
            continue
    return None


def valid_s(created_at: datetime, expires_at: datetime) -> int:
    """`order_valid_time`: how many seconds a payer has until the log-in."""
    return min(max(int((expires_at - created_at).total_seconds()), 1), MAX_VALID_S)


def timeout_rule(seconds: int) -> tuple[str, timedelta]:
    """The shortest `timeout_rule` that is not below `seconds`, or the longest there is."""
    for rule in TIMEOUT_RULES:
        if rule[1] >= timedelta(seconds=seconds):
            return rule
    return TIMEOUT_RULES[-1]


def wallet_deadline(order_created: datetime, expires_at: datetime) -> datetime:
    """Until when an online order may be paid: a log-in at the last second, then the whole timeout."""
    seconds = valid_s(order_created, expires_at)
    return order_created + timedelta(seconds=seconds) + timeout_rule(seconds)[1]


def is_night(at: datetime) -> bool:
    """Whether in-store refunds rest."""
    beijing = at.astimezone(UTC8)
    return timedelta(hours=beijing.hour, minutes=beijing.minute) < NIGHT_ENDS
