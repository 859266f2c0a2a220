"""Alipay as a `Channel`: sends requests, verifies the responses, and maps them to outcomes.

Every node is verified before any of its fields is read. Unsigned content never moves money here: after a bare "T" for
a refund or a close, the signed record of that refund or order is queried.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeVar, assert_never

from tael.base.clock import Clock
from tael.base.metrics import timer_s
from tael.base.pay_types import Wallet
from tael.base.transport import Answer, NoAnswer, NothingSent, Result, Transport
from tael.channels.alipay_mapi import answers, notices, outcomes, requests, timing
from tael.channels.alipay_mapi.account import AlipayAccount
from tael.channels.alipay_mapi.capabilities import capabilities_of
from tael.channels.alipay_mapi.files import Files
from tael.channels.alipay_mapi.messages import Accepted, Rejected, Unreadable, read_envelope
from tael.channels.alipay_mapi.outcomes import QueryNeeded
from tael.channels.alipay_mapi.products import IN_STORE, PRODUCTS
from tael.channels.alipay_mapi.signing import UnusableKey
from tael.channels.base import (
    Acknowledgement,
    BadSignature,
    Capabilities,
    ChannelOrder,
    ChannelRefund,
    NoteAnswer,
    Notice,
    note_nothing,
)
from tael.channels.calls import CallResult, call_span, observe_call, unsigned_result
from tael.channels.outcomes import (
    AwaitingPayer,
    NotSent,
    Outcome,
    PayLink,
    PayParams,
    RefundOutcome,
    Refusal,
    Refused,
    ReversalOutcome,
    Unknown,
)
from tael.merchants.domain.account import Account

ONLINE_GATEWAY: Final = "https://intlmapi.alipay.com/gateway.do"
INSTORE_GATEWAY: Final = "https://globalmapi.alipay.com/gateway.do"
PAY_TIMEOUT_S: Final = 15.0  #: barcode payments may take longer than other requests
TIMEOUT_S: Final = 10.0
HTTP_OK: Final = 200
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
#: A payer's code of Alipay or AlipayHK.
ALIPAY_CODE: Final = re.compile(r"(?:2[5-9]|30)[0-9]{14,22}")
WECHAT_CODE_LENGTH: Final = 18
WECHAT_CODE_PREFIXES: Final = ("10", "11", "12", "13", "14", "15")
#: The outcome of a response without the wallet's signature; compared by identity.
UNVERIFIED: Final = Unknown("the response's signature is missing or invalid")
NO_NODE: Final = Unknown("the response has no node")

Parsed = TypeVar("Parsed")


class AlipayMapi:
    """Cross-border Alipay, online and in-store. Stateless."""

    wallet = Wallet.ALIPAY
    reversal_after = timedelta(0)
    refunds_single_trades = False
    openids: None = None
    acknowledgement = Acknowledgement("text/plain", received=b"success", refused=b"fail")

    def __init__(
        self,
        transport: Transport,
        clock: Clock,
        gateway_url: str = ONLINE_GATEWAY,
        instore_url: str = INSTORE_GATEWAY,
        note_answer: NoteAnswer = note_nothing,
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._gateway_url = gateway_url
        self._instore_url = instore_url
        self._note_answer = note_answer
        self.statements = Files(transport, gateway_url, instore_url)

    def capabilities(self, account: Account) -> Capabilities:
        return capabilities_of(_alipay(account))

    # ---- payments ------------------------------------------------------------------------------------------

    async def open(self, order: ChannelOrder) -> Outcome:
        """Pay data, or the outcome of a barcode payment. Links and order strings are built without a call."""
        account = _alipay(order.account)
        match PRODUCTS[order.pay_type.code].service:
            case "create_forex_trade" | "create_forex_trade_wap":
                return self._pay_link(order, account)
            case "mobile.securitypay.pay":
                return _order_string(order, account)
            case "alipay.acquire.precreate":
                return await self._precreate(order, account)
            case "alipay.acquire.overseas.spot.pay":
                return await self._spot_pay(order, account)

    async def _spot_pay(self, order: ChannelOrder, account: AlipayAccount) -> Outcome:
        if not order.auth_code:
            return await self._look_up(order)  # the code is not stored: a repeat can only query
        if _is_malformed_code(order.auth_code) or _is_wechat_code(order.auth_code):
            return Refused(Refusal.OTHER_WALLETS_CODE, "")
        response = await self._call(
            account,
            self._instore_url,
            requests.spot_pay(order, account),
            answers.read_spot_pay,
            timeout_s=PAY_TIMEOUT_S,
        )
        match response:
            case Rejected():
                outcome = outcomes.pay_rejected(response.code)
            case answers.SpotPay():
                outcome = outcomes.pay_outcome(response, order.syssn, self._clock.now())
            case Accepted():
                return NO_NODE
            case NotSent() | Unknown():
                return response
            case _:
                assert_never(response)
        return await self._look_up(order) if isinstance(outcome, QueryNeeded) else outcome

    async def _precreate(self, order: ChannelOrder, account: AlipayAccount) -> Outcome:
        response = await self._call(
            account,
            self._instore_url,
            requests.precreate(order, account, self._clock.now()),
            answers.read_precreated,
        )
        match response:
            case Rejected():
                outcome = outcomes.pay_rejected(response.code)
            case answers.Precreated():
                outcome = outcomes.precreated(response, order.syssn)
            case Accepted():
                return NO_NODE
            case NotSent() | Unknown():
                return response
            case _:
                assert_never(response)
        return await self._look_up(order) if isinstance(outcome, QueryNeeded) else outcome

    def shows_code(self, auth_code: str) -> bool:
        return ALIPAY_CODE.fullmatch(auth_code) is not None

    def deadline(self, order: ChannelOrder) -> datetime:
        """When the wallet stops taking money for the order; for online orders, after its expiry."""
        match PRODUCTS[order.pay_type.code].service:
            case "create_forex_trade" | "create_forex_trade_wap":
                return timing.wallet_deadline(order.created_at, order.expires_at)
            case "alipay.acquire.precreate":  # the payer scans at the last moment
                return order.expires_at + timedelta(minutes=timing.AFTER_SCAN_MINUTES)
            case "mobile.securitypay.pay":  # the payer's time begins when the app opens the wallet
                return order.expires_at + (order.expires_at - order.created_at)
            case "alipay.acquire.overseas.spot.pay":
                return order.expires_at

    async def query(self, order: ChannelOrder) -> Outcome:
        """The wallet's record of the order; an online order does not exist there until the payer opens it."""
        response = await self._trade(order)
        if isinstance(response, answers.Trade):
            return outcomes.trade_outcome(response, order.syssn, self._clock.now())
        return outcomes.query_rejected(response.code) if isinstance(response, Rejected) else response

    async def close(self, order: ChannelOrder) -> Outcome:
        """Close an unpaid online order, if the contract includes it; barcode payments are reversed instead.

        An order with a code has no close at the wallet, and a cancel would return a payment made meanwhile: the code
        ends by itself.
        """
        account = _alipay(order.account)
        if not order.pay_type.is_online:
            return Refused(Refusal.WRONG_STATE, "")
        if _is_in_store(order):
            record = await self._look_up(order)
            return Unknown("the code has not ended") if isinstance(record, AwaitingPayer) else record
        if not account.supports_close:
            return Refused(Refusal.CLOSE_REFUSED, "no close_trade")
        response = await self._call(account, self._gateway_url, requests.close_trade(order), dict[str, str])
        if isinstance(response, NotSent | Unknown):
            return response
        if not isinstance(response, Rejected):
            return outcomes.after_close(await self._look_up(order))
        outcome = outcomes.close_rejected(response.code)
        if isinstance(outcome, QueryNeeded):
            return outcomes.after_close(await self._look_up(order), refused_with=outcome.code)
        return outcome

    async def reverse(self, order: ChannelOrder) -> ReversalOutcome:
        """Cancel a barcode payment. The wallet allows it on the day of the payment and 15 minutes after."""
        account = _alipay(order.account)
        if order.pay_type.is_online:
            return Refused(Refusal.WRONG_STATE, "")
        cancel = requests.cancel(order, self._clock.now())
        response = await self._call(account, self._instore_url, cancel, answers.read_cancel)
        match response:
            case Rejected():
                outcome = outcomes.cancel_rejected(response.code)
            case answers.Cancel():
                outcome = outcomes.cancel_outcome(response, order.syssn)
            case Accepted():
                return NO_NODE
            case NotSent() | Unknown():
                return response
            case _:
                assert_never(response)
        if not isinstance(outcome, QueryNeeded):
            return outcome
        trade = await self._trade(order)
        if isinstance(trade, answers.Trade):
            return outcomes.reversal_seen(trade, order.syssn)
        return Unknown(f"{outcome.code}, and the trade could not be read")

    # ---- refunds -------------------------------------------------------------------------------------------

    async def refund(self, order: ChannelRefund) -> RefundOutcome:
        """Refund synchronously. The online response is unsigned, so the refund's record is queried too."""
        if not _is_in_store(order.order):
            return await self._refund_online(order)
        is_night = timing.is_night(self._clock.now())  # when the request is sent
        outcome = await self._refund_instore(order)
        return outcomes.at_night(outcome) if is_night else outcome

    async def query_refund(self, order: ChannelRefund) -> RefundOutcome:
        """The wallet's record of the refund."""
        account = _alipay(order.order.account)
        url = self._instore_url if _is_in_store(order.order) else self._gateway_url
        response = await self._call(account, url, requests.refund_query(order), answers.read_refund_state)
        match response:
            case Rejected():
                return outcomes.refund_query_rejected(response.code)
            case answers.RefundState():
                return outcomes.refund_seen(response, order.order.syssn, order.syssn)
            case Accepted():
                return NO_NODE
            case NotSent():
                # The query was not sent; the refund itself may have been.
                return Unknown(f"refund query not sent: {response.reason}")
            case Unknown():
                return response
            case _:
                assert_never(response)

    async def _refund_online(self, order: ChannelRefund) -> RefundOutcome:
        account = _alipay(order.order.account)
        response = await self._call(account, self._gateway_url, requests.forex_refund(order), dict[str, str])
        if isinstance(response, NotSent | Unknown):
            return response
        if isinstance(response, Rejected):
            outcome = outcomes.refund_rejected(response.code)
            if not isinstance(outcome, QueryNeeded):
                return outcome
        return outcomes.after_refund(await self.query_refund(order))

    async def _refund_instore(self, order: ChannelRefund) -> RefundOutcome:
        account = _alipay(order.order.account)
        response = await self._call(
            account, self._instore_url, requests.spot_refund(order), answers.read_spot_refund
        )
        match response:
            case Rejected():
                outcome = outcomes.refund_rejected(response.code)
            case answers.SpotRefund():
                outcome = outcomes.refund_outcome(response, order.order.syssn, order.syssn)
            case Accepted():
                return NO_NODE
            case NotSent() | Unknown():
                return response
            case _:
                assert_never(response)
        if isinstance(outcome, QueryNeeded):
            return outcomes.after_refund(await self.query_refund(order))
        return outcome

    # ---- notices -------------------------------------------------------------------------------------------

    async def read_notice(self, account: Account, headers: Mapping[str, str], body: bytes) -> Notice:
        """A notice with a valid signature that the wallet confirms. Raises BadSignature."""
        alipay = _alipay(account)
        fields = notices.verified_fields(_verifiers_of(alipay, self._clock.now()), body)
        if fields["sign_type"] != "RSA2":  # which only the wallet can make; the others are weak or shared
            await self._confirm_sender(alipay, fields["notify_id"])
        return notices.notice_of(fields, self._clock.now())

    def read_return(self, account: Account, query: Mapping[str, str]) -> str | None:
        """The syssn in a payer's return, if the wallet signed it: a hint to query."""
        return notices.returned_order(_verifiers_of(_alipay(account), self._clock.now()), query)

    async def _confirm_sender(self, account: AlipayAccount, notify_id: str) -> None:
        """Ask the wallet whether it sent the notice. Refused without a response; the wallet then sends it again."""
        fields = requests.notify_verify(account, notify_id)
        began_s = timer_s()
        with call_span(account.protocol, fields["service"]):
            result = await self._transport.call(
                "GET",
                f"{self._url(account)}?{requests.encoded(fields)}",
                timeout_s=TIMEOUT_S,
                account=account.account_id,
            )
        observe_call(began_s, account.protocol, fields["service"], unsigned_result(result))
        if not isinstance(result, Answer) or result.status != HTTP_OK or result.body != b"true":
            raise BadSignature("notice: the wallet does not confirm that it sent it")

    # ---- requests ------------------------------------------------------------------------------------------

    def _url(self, account: AlipayAccount) -> str:
        return self._gateway_url if account.scene == "online" else self._instore_url

    def _pay_link(self, order: ChannelOrder, account: AlipayAccount) -> Outcome:
        try:
            fields = requests.signed(requests.trade_page(order), account)
        except UnusableKey as error:
            return NotSent(str(error))
        return AwaitingPayer(PayLink(f"{self._gateway_url}?{requests.encoded(fields)}"))

    async def _look_up(self, order: ChannelOrder) -> Outcome:
        """A query after another request was sent. If the query was not sent, the other's outcome is unknown."""
        outcome = await self.query(order)
        return Unknown(f"query not sent: {outcome.reason}") if isinstance(outcome, NotSent) else outcome

    async def _trade(self, order: ChannelOrder) -> answers.Trade | Rejected | NotSent | Unknown:
        account = _alipay(order.account)
        if _is_in_store(order):
            url, fields, read = self._instore_url, requests.instore_query(order), answers.read_instore_trade
        else:
            url, fields, read = self._gateway_url, requests.online_query(order), answers.read_online_trade
        response = await self._call(account, url, fields, read)
        return NO_NODE if isinstance(response, Accepted) else response

    async def _call(
        self,
        account: AlipayAccount,
        url: str,
        fields: Mapping[str, str],
        read: Callable[[Mapping[str, str]], Parsed],
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> Parsed | Rejected | Accepted | NotSent | Unknown:
        """Send one request. `read` gets the node only if its signature is valid."""
        try:
            body = requests.encoded(requests.signed(fields, account)).encode()
        except UnusableKey as error:
            return NotSent(str(error))
        # Without the charset in the URL the gateway would read the form as GBK.
        url = f"{url}?_input_charset={requests.CHARSET}"
        began_s = timer_s()
        with call_span(account.protocol, fields["service"]):
            result = await self._transport.call(
                "POST", url, body=body, headers=FORM, timeout_s=timeout_s, account=account.account_id
            )
        response: Parsed | Rejected | Accepted | NotSent | Unknown
        verifier = None
        match result:
            case NothingSent():
                response = NotSent(result.reason)
            case NoAnswer():
                response = Unknown(result.reason)
            case Answer():
                response, verifier = _verified(_verifiers_of(account, self._clock.now()), result, read)
            case _:
                assert_never(result)
        observe_call(began_s, account.protocol, fields["service"], _result_of(result, response))
        if response is UNVERIFIED or not isinstance(response, Rejected | Accepted | NotSent | Unknown):
            await self._note_answer(account, verifier)
        return response


def _result_of(result: Result, response: object) -> CallResult:
    if not isinstance(result, Answer):
        return unsigned_result(result)
    match response:
        case Rejected():
            return CallResult.REFUSED
        case Unknown():
            return CallResult.UNVERIFIED if response is UNVERIFIED else CallResult.UNREADABLE
        case _:
            return CallResult.ANSWERED


def _verified(
    verifiers: Sequence[AlipayAccount], answer: Answer, read: Callable[[Mapping[str, str]], Parsed]
) -> tuple[Parsed | Rejected | Accepted | Unknown, AlipayAccount | None]:
    """The response, with the one of `verifiers` whose keys verified it, if any."""
    if answer.status != HTTP_OK:
        return Unknown(f"HTTP {answer.status}"), None
    try:
        envelope = read_envelope(answer.body)
        if isinstance(envelope, Rejected | Accepted):
            return envelope, None
        verifier = next((each for each in verifiers if envelope.is_genuine(each)), None)
        return (UNVERIFIED, None) if verifier is None else (read(envelope.fields), verifier)
    except Unreadable as error:
        return Unknown(f"unreadable response: {error}"), None


def _verifiers_of(account: AlipayAccount, now: datetime) -> list[AlipayAccount]:
    """The accounts that verify the wallet's messages at `now`."""
    return [_alipay(each) for each in account.verifiers(now)]


def _alipay(account: Account) -> AlipayAccount:
    if not isinstance(account, AlipayAccount):
        raise TypeError("this channel serves Alipay accounts only")
    return account


def _is_in_store(order: ChannelOrder) -> bool:
    return PRODUCTS[order.pay_type.code].service in IN_STORE


def _order_string(order: ChannelOrder, account: AlipayAccount) -> Outcome:
    try:
        return AwaitingPayer(PayParams(requests.order_string(order, account)))
    except UnusableKey as error:
        return NotSent(str(error))


def _is_malformed_code(auth_code: str) -> bool:
    """Whether no wallet shows such a code. It is never sent, since Alipay's response echoes it in XML."""
    return re.fullmatch(r"[!-~]+", auth_code) is None


def _is_wechat_code(auth_code: str) -> bool:
    has_length = len(auth_code) == WECHAT_CODE_LENGTH and auth_code.isdecimal()
    return has_length and auth_code.startswith(WECHAT_CODE_PREFIXES)
