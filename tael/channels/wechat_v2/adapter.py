"""WeChat Pay V2 as a `Channel`: each method sends one request and maps its response to an outcome.

If WeChat responds that the order is already paid, the order is queried: only the query returns what was paid.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

from tael.base import ids
from tael.base.clock import Clock
from tael.base.pay_types import Presentment, Wallet
from tael.base.transport import Transport
from tael.channels.base import (
    Acknowledgement,
    Capabilities,
    ChannelOrder,
    ChannelRefund,
    NoteAnswer,
    Notice,
    note_nothing,
)
from tael.channels.outcomes import (
    AwaitingPayer,
    Closed,
    NotSent,
    Outcome,
    PayCode,
    PayLink,
    PayParams,
    RefundOutcome,
    Refusal,
    Refused,
    ReversalOutcome,
    Unknown,
)
from tael.channels.wechat_v2 import exchange, messages, notices, outcomes, requests
from tael.channels.wechat_v2.account import WeChatAccount
from tael.channels.wechat_v2.capabilities import capabilities_of
from tael.channels.wechat_v2.exchange import Endpoint, Exchange, Failure, Rejected, Response, Succeeded
from tael.channels.wechat_v2.oauth import OAuth
from tael.channels.wechat_v2.products import PRODUCTS
from tael.channels.wechat_v2.statement_source import WeChatStatements
from tael.merchants.domain.account import Account

#: For merchants outside the mainland.
BASE_URL: Final = "https://apihk.mch.weixin.qq.com"
#: WeChat requires an undecided barcode payment to be this old before it is reversed.
REVERSAL_AFTER: Final = timedelta(seconds=15)
#: How long a page for a phone's browser can be opened.
MWEB_LINK_LIFE: Final = timedelta(minutes=5)


class WeChatV2:
    """The channel of every WeChat account."""

    wallet: Wallet = Wallet.WECHAT
    acknowledgement: Acknowledgement = notices.ACKNOWLEDGEMENT
    reversal_after: timedelta = REVERSAL_AFTER
    refunds_single_trades: bool = True

    def __init__(
        self,
        transport: Transport,
        clock: Clock,
        base_url: str = BASE_URL,
        ca_pem: str | None = None,
        server_ip: str = "127.0.0.1",
        note_answer: NoteAnswer = note_nothing,
        openids: OAuth | None = None,
    ) -> None:
        self.openids = openids or OAuth(transport)
        self._exchange = Exchange(transport, clock, base_url, ca_pem, note_answer)
        self.statements = WeChatStatements(self._exchange, clock)
        self._clock = clock
        self._server_ip = server_ip

    def capabilities(self, account: Account) -> Capabilities:
        return capabilities_of(_wechat(account))

    def shows_code(self, auth_code: str) -> bool:
        return requests.is_payer_code(auth_code)

    def deadline(self, order: ChannelOrder) -> datetime:
        """When WeChat stops taking money for `order`: we send our expiry as its `time_expire`."""
        return order.expires_at

    async def open(self, order: ChannelOrder) -> Outcome:
        if order.pay_type.presentment is Presentment.BARCODE:
            return await self._swipe(order)
        return await self._open_online(order)

    async def _swipe(self, order: ChannelOrder) -> Outcome:
        if not order.auth_code:  # the code is not stored, so a repeat can only query
            return await self.query(order)
        if not requests.is_payer_code(order.auth_code):
            return Refused(Refusal.OTHER_WALLETS_CODE, "")
        match await self._call(exchange.MICROPAY, order, requests.barcode_payment(order, self._server_ip)):
            case Succeeded(fields):
                return outcomes.paid(fields, order.syssn)
            case Failure(code="ORDERPAID"):
                return await self._look_up(order)
            case Failure() as failure:
                return outcomes.swipe_failure(failure, forbid_credit=order.forbid_credit)
            case Rejected(message):
                return outcomes.rejected(message)
            case undecided:
                return undecided

    async def _open_online(self, order: ChannelOrder) -> Outcome:
        fields = {**requests.online_payment(order, self._server_ip), **_payers_side(order)}
        match await self._call(exchange.UNIFIEDORDER, order, fields):
            case Succeeded(answered):
                return self._opened(order, answered)
            case Failure(code="ORDERPAID"):
                return await self._look_up(order)
            case Failure() as failure:
                return outcomes.opening_failure(failure)
            case Rejected(message):
                return outcomes.rejected(message)
            case undecided:
                return undecided

    def _opened(self, order: ChannelOrder, fields: messages.Fields) -> Outcome:
        match PRODUCTS[order.pay_type.code].trade_type:
            case "NATIVE" | "MICROPAY":
                code_url = fields.get("code_url", "")
                return (
                    AwaitingPayer(PayCode(code_url)) if code_url else Unknown("no code_url in the response")
                )
            case "MWEB":
                mweb_url = fields.get("mweb_url", "")
                link = PayLink(mweb_url, creates_order=False, valid_until=self._clock.now() + MWEB_LINK_LIFE)
                return AwaitingPayer(link) if mweb_url else Unknown("no mweb_url in the response")
            case "JSAPI":
                return self._prepaid(order, fields, requests.bridge_params)
            case "APP":
                return self._prepaid(order, fields, requests.app_params)

    def _prepaid(
        self,
        order: ChannelOrder,
        fields: messages.Fields,
        params_of: Callable[[WeChatAccount, str, str, str, int], Mapping[str, str]],
    ) -> Outcome:
        account, prepay_id = account_of(order), fields.get("prepay_id", "")
        if not prepay_id:
            return Unknown("no prepay_id in the response")
        at_s = int(self._clock.now().timestamp())
        return AwaitingPayer(PayParams(params_of(account, _appid(order), prepay_id, ids.nonce(), at_s)))

    async def query(self, order: ChannelOrder) -> Outcome:
        match await self._call(exchange.ORDERQUERY, order, requests.this_order(order)):
            case Succeeded(fields):
                return outcomes.trade_state(fields, order.syssn)
            case Failure() as failure:
                return outcomes.query_failure(failure)
            case Rejected(message):  # the order was not looked up, so nothing is known about it
                return Unknown(f"not accepted: {message!r}")
            case undecided:
                return undecided

    async def _look_up(self, order: ChannelOrder) -> Outcome:
        """A query after another request was sent. If the query was not sent, the other's outcome is unknown."""
        outcome = await self.query(order)
        return Unknown(f"query not sent: {outcome.reason}") if isinstance(outcome, NotSent) else outcome

    async def close(self, order: ChannelOrder) -> Outcome:
        match await self._call(exchange.CLOSEORDER, order, requests.this_order(order)):
            case Succeeded():
                return Closed()
            case Failure(code="ORDERPAID"):
                return await self._look_up(order)
            case Failure() as failure:
                return outcomes.close_failure(failure)
            case Rejected(message):
                return outcomes.rejected(message)
            case undecided:
                return undecided

    async def reverse(self, order: ChannelOrder) -> ReversalOutcome:
        match await self._call(exchange.REVERSE, order, requests.this_order(order)):
            case Succeeded(fields):
                return outcomes.reverse_outcome(fields, order)
            case Failure() as failure:
                return outcomes.reverse_failure(failure, order)
            case Rejected(message):
                return outcomes.rejected(message)
            case undecided:
                return undecided

    async def refund(self, order: ChannelRefund) -> RefundOutcome:
        match await self._call(exchange.REFUND, order.order, requests.refund(order)):
            case Succeeded(fields):
                return outcomes.refund_accepted(fields, order)
            case Failure() as failure if outcomes.is_fully_refunded(failure):
                return await self._nothing_left(order, failure.code)
            case Failure() as failure:
                return outcomes.refund_failure(failure)
            case Rejected(message):
                return outcomes.rejected(message)
            case undecided:
                return undecided

    async def _nothing_left(self, order: ChannelRefund, wallet_code: str) -> RefundOutcome:
        """Nothing is left to refund. A query shows whether this refund (a repeat) or others took it."""
        outcome = await self.query_refund(order)
        if isinstance(outcome, Unknown) and outcome.no_such_order:
            return Refused(Refusal.ALREADY_REFUNDED, wallet_code)
        return Unknown(f"query not sent: {outcome.reason}") if isinstance(outcome, NotSent) else outcome

    async def query_refund(self, order: ChannelRefund) -> RefundOutcome:
        match await self._call(exchange.REFUNDQUERY, order.order, requests.this_refund(order)):
            case Succeeded(fields):
                return outcomes.refund_status(fields, order)
            case Failure() as failure:
                return outcomes.query_failure(failure)
            case Rejected(message):
                return Unknown(f"not accepted: {message!r}")
            case undecided:
                return undecided

    async def read_notice(self, account: Account, headers: Mapping[str, str], body: bytes) -> Notice:
        return notices.read_notice(exchange.verifiers_of(_wechat(account), self._clock.now()), body)

    def read_return(self, account: Account, query: Mapping[str, str]) -> str | None:
        return None  # WeChat has no browser return

    async def _call(self, endpoint: Endpoint, order: ChannelOrder, fields: messages.Fields) -> Response:
        return await self._exchange.call(endpoint, account_of(order), fields)


def account_of(order: ChannelOrder) -> WeChatAccount:
    return _wechat(order.account)


def _payers_side(order: ChannelOrder) -> messages.Fields:
    """The appid that the payer sees, and the payer's openid under it."""
    names = ("appid", "openid") if account_of(order).is_direct else ("sub_appid", "sub_openid")
    return {name: value for name, value in zip(names, (_appid(order), order.openid), strict=True) if value}


def _appid(order: ChannelOrder) -> str:
    """The merchant's: of its official account, its mini program or its app."""
    return str(getattr(account_of(order), PRODUCTS[order.pay_type.code].appid))


def _wechat(account: Account) -> WeChatAccount:
    if not isinstance(account, WeChatAccount):
        raise TypeError("this channel serves WeChat Pay accounts only")
    return account
