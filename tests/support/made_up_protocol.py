"""A third wallet protocol, as another package would bring it: JSON over HTTP, one shared secret, WeChat's QR code.

Its wallet keeps orders and refunds by number. `POST /orders` opens one, `GET /orders/N` is its record, `POST /refunds`
returns money. The token of the account is in a header of every call, and in every notice.
"""

import hmac
import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from tael.base.clock import Clock
from tael.base.pay_types import Wallet
from tael.base.secret import Secret
from tael.base.transport import Answer, NoAnswer, NothingSent, Transport
from tael.channels.base import (
    Acknowledgement,
    BadSignature,
    Capabilities,
    ChannelOrder,
    ChannelRefund,
    Notice,
    PaymentNotice,
)
from tael.channels.outcomes import (
    AwaitingPayer,
    Closed,
    NotSent,
    Outcome,
    Paid,
    PayCode,
    Refunded,
    RefundOutcome,
    Refusal,
    Refused,
    ReversalOutcome,
    Unknown,
)
from tael.channels.protocols import ChannelEnvironment, WalletProtocol
from tael.channels.settings import BadSetting, Kind, Setting, text_of
from tael.merchants.domain.account import Account, Coverage

WALLET_URL: Final = "MADE_UP_WALLET_URL"
TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeUpAccount(Account):
    """A shop with its token."""

    protocol: ClassVar[str] = "made_up"
    wallet: ClassVar[Wallet] = Wallet.WECHAT
    scene: Coverage = "online"
    shop: str
    token: Secret

    @property
    def identity(self) -> str:
        return self.shop


def checked(texts: Mapping[str, str], given: Collection[str], now: datetime) -> Mapping[str, str]:
    if texts["shop"] == texts["token"]:
        raise BadSetting("token", "must not be the shop's name")
    return texts


class MadeUpChannel:
    """The channel of all shops."""

    wallet = Wallet.WECHAT
    acknowledgement = Acknowledgement("application/json", received=b'"ok"', refused=b'"again"')
    reversal_after = timedelta(0)
    refunds_single_trades = True
    openids = None
    statements = None

    def __init__(self, transport: Transport, clock: Clock, url: str) -> None:
        self._transport = transport
        self._clock = clock
        self._url = url

    def capabilities(self, account: Account) -> Capabilities:
        return Capabilities(pay_types=frozenset({"800201"}), supports_close=False)

    def shows_code(self, auth_code: str) -> bool:
        return True

    def deadline(self, order: ChannelOrder) -> datetime:
        return order.expires_at

    async def open(self, order: ChannelOrder) -> Outcome:
        record = {"number": order.syssn, "minor": order.amount.amount_minor, "notify": order.notice_url}
        return self._outcome(await self._call(order, "POST", "/orders", record), order)

    async def query(self, order: ChannelOrder) -> Outcome:
        return self._outcome(await self._call(order, "GET", f"/orders/{order.syssn}"), order)

    async def close(self, order: ChannelOrder) -> Outcome:
        return Refused(Refusal.CLOSE_REFUSED, "NO_CLOSE")

    async def reverse(self, order: ChannelOrder) -> ReversalOutcome:
        return Refused(Refusal.REVERSAL_REFUSED, "NO_REVERSAL")

    async def refund(self, order: ChannelRefund) -> RefundOutcome:
        record = {"number": order.syssn, "order": order.order.syssn, "minor": order.amount.amount_minor}
        match await self._call(order.order, "POST", "/refunds", record):
            case NotSent() | Unknown() as undecided:
                return undecided
            case _:
                return Refunded(order.amount, f"back-{order.syssn}", None)

    async def query_refund(self, order: ChannelRefund) -> RefundOutcome:
        return Unknown("no such query", no_such_order=True)

    async def read_notice(self, account: Account, headers: Mapping[str, str], body: bytes) -> Notice:
        notice = json.loads(body)
        verifiers = account.verifiers(self._clock.now())
        if not any(hmac.compare_digest(notice["token"], _token(each)) for each in verifiers):
            raise BadSignature("another token")
        return PaymentNotice(notice["number"], Unknown("the record decides"), confirmed=False)

    def read_return(self, account: Account, query: Mapping[str, str]) -> str | None:
        return None

    async def _call(
        self, order: ChannelOrder, method: str, path: str, record: Mapping[str, Any] | None = None
    ) -> dict[str, Any] | NotSent | Unknown:
        result = await self._transport.call(
            method,
            self._url + path,
            body=json.dumps(record).encode() if record else b"",
            headers={"X-Token": _token(order.account)},
            timeout_s=TIMEOUT_S,
            account=order.account.account_id,
        )
        match result:
            case NothingSent(reason):
                return NotSent(reason)
            case NoAnswer(reason):
                return Unknown(reason)
            case Answer(status=404):
                return Unknown("no such order", no_such_order=True)
            case Answer(status=200):
                answer: dict[str, Any] = json.loads(result.body)
                return answer
            case Answer():
                return Unknown(f"HTTP {result.status}")

    @staticmethod
    def _outcome(answer: dict[str, Any] | NotSent | Unknown, order: ChannelOrder) -> Outcome:
        match answer:
            case {"state": "open"}:
                return AwaitingPayer(PayCode(f"made-up:{order.syssn}"))
            case {"state": "paid", "at": str(at)}:
                return Paid(order.amount, f"trade-{order.syssn}", "payer", datetime.fromisoformat(at))
            case {"state": "closed"}:
                return Closed()
            case NotSent() | Unknown():
                return answer
            case _:
                return Unknown("not documented")


def _token(account: Account) -> str:
    assert isinstance(account, MadeUpAccount)
    return account.token.reveal()


def _open(environment: ChannelEnvironment) -> MadeUpChannel:
    return MadeUpChannel(environment.transport, environment.clock, os.environ[WALLET_URL])


MADE_UP: Final = WalletProtocol(
    name="made_up",
    wallet=Wallet.WECHAT,
    title="A wallet of these tests",
    account=MadeUpAccount,
    settings=(
        Setting("shop", "the shop's name", text_of(r"[a-z]{1,20}", "1 to 20 letters"), is_fixed=True),
        Setting("token", "the shop's token", text_of(r"[a-z]{10}", "10 letters"), Kind.SECRET),
    ),
    check=checked,
    open_channel=_open,
)
