"""A client for QFPay's /trade/v1, hosted or served by tael. The README begins with a first payment.

The public names are those in `__all__`.
"""

from tael_client.aio import AsyncClient
from tael_client.answers import Close, Payment, QueryPage, Refund, Reversal, Row, RowKind, Settlement
from tael_client.checkout import checkout_link
from tael_client.client import Client
from tael_client.codes import MEANINGS, Meaning, meaning_of
from tael_client.errors import (
    AnswerNotProven,
    BadSignature,
    OutcomePending,
    OutcomeUnknown,
    PagesDoNotEnd,
    Refused,
    TaelClientError,
    Undecided,
    Unreachable,
    Verdict,
)
from tael_client.handlers import asgi_app, wsgi_app
from tael_client.moments import UTC8
from tael_client.money import Money
from tael_client.notifications import Notification, NotificationKind, read_notification
from tael_client.observing import Exchange
from tael_client.orders import Filters, PaymentOrder
from tael_client.paytypes import PayType
from tael_client.returns import BrowserReturn, read_return
from tael_client.sending import Timeouts
from tael_client.signing import Credentials, SignType
from tael_client.waiting import Paid, Pending, Undone, Waited

__all__ = [
    "MEANINGS",
    "UTC8",
    "AnswerNotProven",
    "AsyncClient",
    "BadSignature",
    "BrowserReturn",
    "Client",
    "Close",
    "Credentials",
    "Exchange",
    "Filters",
    "Meaning",
    "Money",
    "Notification",
    "NotificationKind",
    "OutcomePending",
    "OutcomeUnknown",
    "PagesDoNotEnd",
    "Paid",
    "PayType",
    "Payment",
    "PaymentOrder",
    "Pending",
    "QueryPage",
    "Refund",
    "Refused",
    "Reversal",
    "Row",
    "RowKind",
    "Settlement",
    "SignType",
    "TaelClientError",
    "Timeouts",
    "Undecided",
    "Undone",
    "Unreachable",
    "Verdict",
    "Waited",
    "asgi_app",
    "checkout_link",
    "meaning_of",
    "read_notification",
    "read_return",
    "wsgi_app",
]
