"""Times of the API: `YYYY-MM-DD HH:MM:SS` in UTC+8."""

from datetime import datetime

from tael_conformance.checks import Departure
from tael_conformance.server.payer import UTC8
from tael_conformance.server.session import MOMENT
from tael_conformance.wire import Exchange


def read_moment(answer: Exchange, text: str) -> datetime:
    """Raises Departure if the text is no time."""
    try:
        return datetime.strptime(text, MOMENT).replace(tzinfo=UTC8)
    except ValueError:
        raise Departure("a time as YYYY-MM-DD HH:MM:SS", answer.received, answer.sent) from None
