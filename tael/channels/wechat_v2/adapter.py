"""WeChat Pay V2 as a `Channel`: each method asks one question and reads its answer into our words.

Where WeChat says that the order is paid already, the query's answer is given instead: it knows what was paid.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from tael.base.clock import Clock
from tael.base.pay_types import Presentment
from tael.base.transport import Transport
from tael.channels.base import Acknowledgement, ChannelOrder, ChannelRefund, NoteAnswer, Notice, note_nothing
from tael.channels.outcomes import (
    AwaitingPayer,
    BridgeParams,
    Closed,
    NotSent,
    Outcome,
    PayCode,
    RefundOutcome,
    Refusal,
    Refused,
    ReversalOutcome,
    Unknown,
)
from tael.channels.wechat_v2 import exchange, messages, notices, outcomes, requests
from tael.channels.wechat_v2.exchange import Endpoint, Exchange, Failure, Granted, Said, TurnedAway
from tael.merchants.domain.account import Account, WeChatAccount

#: For merchants outside the mainland.
BASE_URL: Final = "https://apihk.mch.weixin.qq.com"
#: WeChat wants an undecided barcode payment to be this old before it is reversed.
REVERSAL_AFTER: Final = timedelta(seconds=15)


class WeChatV2:
    """The channel of every WeChat account, whoever its provider is."""

    acknowledgement: Acknowledgement = notices.ACKNOWLEDGEMENT
    reversal_after: timedelta = REVERSAL_AFTER

    def __init__(
        self,
        transport: Transport,
        clock: Clock,
        base_url: str = BASE_URL,
        ca_pem: str | None = None,
        server_ip: str = "127.0.0.1",
        note_answer: NoteAnswer = note_nothing,
    ) -> None:
        self._exchange = Exchange(transport, base_url, ca_pem, note_answer)
        self._clock = clock
        self._server_ip = server_ip

    def deadline(self, order: ChannelOrder) -> datetime:
        """When WeChat takes no more money for `order`: its own `time_expire` is ours."""
        return order.expires_at

    async def open(self, order: ChannelOrder) -> Outcome:
        if order.pay_type.presentment is Presentment.BARCODE:
            return await self._swipe(order)
        return await self._open_online(order)

    async def _swipe(self, order: ChannelOrder) -> Outcome:
        if not order.auth_code:  # the code is kept for the first question only, so this one can but ask
            return await self.query(order)
        if not requests.is_payer_code(order.auth_code):
            return Refused(Refusal.OTHER_WALLETS_CODE, "")
        match await self._ask(exchange.MICROPAY, order, requests.barcode_payment(order, self._server_ip)):
            case Granted(fields):
                return outcomes.paid(fields, order.syssn)
            case Failure(code="ORDERPAID"):
                return await self._look_up(order)
            case Failure() as failure:
                return outcomes.swipe_failure(failure, forbid_credit=order.forbid_credit)
            case TurnedAway(message):
                return outcomes.turned_away(message)
            case undecided:
                return undecided

    async def _open_online(self, order: ChannelOrder) -> Outcome:
        match await self._ask(exchange.UNIFIEDORDER, order, requests.online_payment(order, self._server_ip)):
            case Granted(fields):
                return self._opened(order, fields)
            case Failure(code="ORDERPAID"):
                return await self._look_up(order)
            case Failure() as failure:
                return outcomes.opening_failure(failure)
            case TurnedAway(message):
                return outcomes.turned_away(message)
            case undecided:
                return undecided

    def _opened(self, order: ChannelOrder, fields: messages.Fields) -> Outcome:
        if order.pay_type.presentment is not Presentment.IN_APP:
            code_url = fields.get("code_url", "")
            return AwaitingPayer(PayCode(code_url)) if code_url else Unknown("no code_url in the answer")
        prepay_id = fields.get("prepay_id", "")
        if not prepay_id:
            return Unknown("no prepay_id in the answer")
        params = requests.bridge_params(
            account=account_of(order),
            prepay_id=prepay_id,
            nonce=exchange.new_nonce(),
            at_s=int(self._clock.now().timestamp()),
        )
        return AwaitingPayer(BridgeParams(params))

    async def query(self, order: ChannelOrder) -> Outcome:
        match await self._ask(exchange.ORDERQUERY, order, requests.this_order(order)):
            case Granted(fields):
                return outcomes.trade_state(fields, order.syssn)
            case Failure() as failure:
                return outcomes.query_failure(failure)
            case TurnedAway(message):  # nothing was asked of the order, so nothing is known of it
                return Unknown(f"not accepted: {message!r}")
            case undecided:
                return undecided

    async def _look_up(self, order: ChannelOrder) -> Outcome:
        """A query after another question has left us: not sent, it says nothing of what the other did."""
        seen = await self.query(order)
        return Unknown(f"query not sent: {seen.reason}") if isinstance(seen, NotSent) else seen

    async def close(self, order: ChannelOrder) -> Outcome:
        match await self._ask(exchange.CLOSEORDER, order, requests.this_order(order)):
            case Granted():
                return Closed()
            case Failure(code="ORDERPAID"):
                return await self._look_up(order)
            case Failure() as failure:
                return outcomes.close_failure(failure)
            case TurnedAway(message):
                return outcomes.turned_away(message)
            case undecided:
                return undecided

    async def reverse(self, order: ChannelOrder) -> ReversalOutcome:
        match await self._ask(exchange.REVERSE, order, requests.this_order(order)):
            case Granted(fields):
                return outcomes.reversed_now(fields, order)
            case Failure() as failure:
                return outcomes.reverse_failure(failure, order)
            case TurnedAway(message):
                return outcomes.turned_away(message)
            case undecided:
                return undecided

    async def refund(self, order: ChannelRefund) -> RefundOutcome:
        match await self._ask(exchange.REFUND, order.order, requests.refund(order)):
            case Granted(fields):
                return outcomes.refund_accepted(fields, order)
            case Failure() as failure if outcomes.is_fully_refunded(failure):
                return await self._nothing_left(order, failure.code)
            case Failure() as failure:
                return outcomes.refund_failure(failure)
            case TurnedAway(message):
                return outcomes.turned_away(message)
            case undecided:
                return undecided

    async def _nothing_left(self, order: ChannelRefund, wallet_code: str) -> RefundOutcome:
        """Nothing is left to refund: because of this refund, on a repeat, or because of others?"""
        known = await self.query_refund(order)
        if isinstance(known, Unknown) and known.no_such_order:
            return Refused(Refusal.ALREADY_REFUNDED, wallet_code)
        return Unknown(f"query not sent: {known.reason}") if isinstance(known, NotSent) else known

    async def query_refund(self, order: ChannelRefund) -> RefundOutcome:
        match await self._ask(exchange.REFUNDQUERY, order.order, requests.this_refund(order)):
            case Granted(fields):
                return outcomes.refund_status(fields, order)
            case Failure() as failure:
                return outcomes.query_failure(failure)
            case TurnedAway(message):
                return Unknown(f"not accepted: {message!r}")
            case undecided:
                return undecided

    async def read_notice(self, account: Account, headers: Mapping[str, str], body: bytes) -> Notice:
        if not isinstance(account, WeChatAccount):
            raise TypeError("a notice of WeChat is read for an account of WeChat")
        return notices.read_notice(account, body)

    def read_return(self, account: Account, query: Mapping[str, str]) -> str | None:
        return None  # WeChat sends no browser back to us

    async def _ask(self, endpoint: Endpoint, order: ChannelOrder, question: messages.Fields) -> Said:
        return await self._exchange.ask(endpoint, account_of(order), question)


def account_of(order: ChannelOrder) -> WeChatAccount:
    if not isinstance(order.account, WeChatAccount):
        raise TypeError("an order for WeChat names an account of WeChat")
    return order.account
