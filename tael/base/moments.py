"""Times as text, in the zone of QFPay and of both wallets."""

from datetime import datetime, timedelta, timezone
from typing import Final

#: Beijing and Hong Kong: the zone of every time that QFPay and both wallets write without one.
UTC8: Final = timezone(timedelta(hours=8))


def moment_text(at: datetime) -> str:
    """`at` in the merchant API's format: `YYYY-MM-DD HH:MM:SS`, UTC+8."""
    return at.astimezone(UTC8).replace(tzinfo=None).isoformat(" ", "seconds")
