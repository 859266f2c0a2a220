"""One request to WeChat and its verified response: signed with the account's key, and about our request.

Every response that decides about money passes `call`. A response that fails a check is `Unknown`, never a refusal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Final

from msgspec import Struct

from tael.base import ids
from tael.base.clock import Clock
from tael.base.metrics import timer_s
from tael.base.transport import Answer, NoAnswer, NothingSent, Result, Transport
from tael.channels.base import NoteAnswer, note_nothing
from tael.channels.calls import CallResult, call_span, observe_call, unsigned_result
from tael.channels.outcomes import NotSent, Refusal, Refused, Unknown
from tael.channels.statements import MAX_FILE_BYTES
from tael.channels.wechat_v2 import certificates, messages
from tael.channels.wechat_v2.account import WeChatAccount, WeChatSignType
from tael.channels.wechat_v2.settlement_records import RECORD_FIELDS
from tael.channels.wechat_v2.signing import are_signed, signature

MONEY_TIMEOUT_S: Final = 30.0
TIMEOUT_S: Final = 10.0
MAX_MESSAGE_CHARS: Final = 128
HEADERS: Final = {"content-type": "text/xml; charset=utf-8"}
#: Part of the page with which WeChat's web server refuses a bad or missing client certificate.
CERTIFICATE_PAGE: Final = b"SSL certificate"


#: The outcome of a response without the wallet's signature; compared by identity.
UNVERIFIED: Final = Unknown("the response is not signed")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint of the V2 interface."""

    path: str
    timeout_s: float = TIMEOUT_S
    takes_sign_type: bool = True  #: if WeChat does not document `sign_type`, MD5 is the only safe algorithm
    needs_certificate: bool = False
    has_records: bool = False  #: whose fields may repeat

    @property
    def name(self) -> str:
        """Without the folder, for the metrics."""
        return self.path.rpartition("/")[2]


MICROPAY: Final = Endpoint("/pay/micropay", MONEY_TIMEOUT_S)
UNIFIEDORDER: Final = Endpoint("/pay/unifiedorder")
ORDERQUERY: Final = Endpoint("/pay/orderquery")
CLOSEORDER: Final = Endpoint("/pay/closeorder", takes_sign_type=False)
REVERSE: Final = Endpoint(
    "/secapi/pay/reverse", MONEY_TIMEOUT_S, takes_sign_type=False, needs_certificate=True
)
REFUND: Final = Endpoint("/secapi/pay/refund", MONEY_TIMEOUT_S, needs_certificate=True)
REFUNDQUERY: Final = Endpoint("/pay/refundquery")
SETTLEMENTQUERY: Final = Endpoint("/pay/settlementquery", takes_sign_type=False, has_records=True)
DOWNLOADBILL: Final = Endpoint("/pay/downloadbill", timeout_s=120.0)


class Succeeded(Struct, frozen=True):
    """Both result codes are SUCCESS. What that means for money depends on the fields."""

    fields: messages.Fields


class Failure(Struct, frozen=True):
    """A signed FAIL."""

    code: str
    text: str
    fields: messages.Fields


@dataclass(frozen=True, slots=True)
class Rejected:
    """A FAIL before the request was processed. WeChat does not sign it."""

    message: str


Response = Succeeded | Failure | Rejected | Refused | NotSent | Unknown


class Exchange:
    """Calls WeChat's host at `base_url` for any account."""

    def __init__(
        self,
        transport: Transport,
        clock: Clock,
        base_url: str,
        ca_pem: str | None,
        note_answer: NoteAnswer = note_nothing,
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._note_answer = note_answer
        self._base_url = base_url.rstrip("/")
        self._certificates = certificates.Certificates(ca_pem)

    async def call(self, endpoint: Endpoint, account: WeChatAccount, fields: messages.Fields) -> Response:
        """Sign and send `fields`. The response must be about the same account and numbers."""
        return (await self.call_with_body(endpoint, account, fields))[0]

    async def call_with_body(
        self, endpoint: Endpoint, account: WeChatAccount, fields: messages.Fields
    ) -> tuple[Response, bytes]:
        """The same, with the response as it arrived; empty if there is none."""
        sign_type: WeChatSignType = account.sign_type if endpoint.takes_sign_type else "MD5"
        request = complete(fields, account, sign_type)
        try:
            tls = (
                self._certificates.of_account(account)
                if endpoint.needs_certificate
                else self._certificates.anonymous()
            )
        except certificates.UnusableCertificate as error:
            return NotSent(f"our client certificate cannot be used: {error}"), b""
        began_s = timer_s()
        with call_span(account.protocol, endpoint.name):
            result = await self._transport.call(
                "POST",
                self._base_url + endpoint.path,
                body=messages.to_xml(request),
                headers=HEADERS,
                timeout_s=endpoint.timeout_s,
                tls=tls,
                account=account.account_id,
            )
        match result:
            case NothingSent(reason):
                observe_call(began_s, account.protocol, endpoint.name, CallResult.NOT_SENT)
                return NotSent(reason), b""
            case NoAnswer(reason):
                observe_call(began_s, account.protocol, endpoint.name, CallResult.NO_ANSWER)
                return Unknown(reason), b""
            case Answer():
                verifiers = verifiers_of(account, self._clock.now())
                response, verifier = parse_response(result, endpoint, verifiers, request, sign_type)
                observe_call(began_s, account.protocol, endpoint.name, _result_of(response))
                if response is UNVERIFIED or isinstance(response, Succeeded | Failure):
                    await self._note_answer(account, verifier)
                return response, result.body

    async def download(self, account: WeChatAccount, fields: messages.Fields, target: BinaryIO) -> Result:
        """A day's bill. It is not signed."""
        began_s = timer_s()
        with call_span(account.protocol, DOWNLOADBILL.name):
            result = await self._transport.download(
                "POST",
                self._base_url + DOWNLOADBILL.path,
                body=messages.to_xml(complete(fields, account, account.sign_type)),
                headers=HEADERS,
                timeout_s=DOWNLOADBILL.timeout_s,
                tls=self._certificates.anonymous(),
                account=account.account_id,
                target=target,
                max_bytes=MAX_FILE_BYTES,
            )
        observe_call(began_s, account.protocol, DOWNLOADBILL.name, unsigned_result(result))
        return result


#: What a response says about the account; a direct merchant's names no sub-merchant.
OF_ACCOUNT: Final = ("appid", "mch_id", "sub_mch_id")


def complete(fields: messages.Fields, account: WeChatAccount, sign_type: WeChatSignType) -> dict[str, str]:
    """`fields` with the account's identity, a nonce and the signature."""
    request = {**identity(account), **fields, "nonce_str": ids.nonce()}
    if sign_type != "MD5":  # WeChat's default
        request["sign_type"] = sign_type
    return {**request, "sign": signature(request, account.key, sign_type)}


def verifiers_of(account: WeChatAccount, now: datetime) -> list[WeChatAccount]:
    """The accounts that verify WeChat's messages at `now`."""
    return [each for each in account.verifiers(now) if isinstance(each, WeChatAccount)]


def identity(account: WeChatAccount) -> dict[str, str]:
    """The account in a request. An order of a mini program or an app replaces the merchant's appid by its own."""
    direct = {"appid": account.appid, "mch_id": account.mch_id}
    if account.is_direct:
        return direct
    return {**direct, "sub_mch_id": account.sub_mch_id, "sub_appid": account.sub_appid}


def names_account(fields: Mapping[str, str], account: WeChatAccount) -> str:
    """The first field of a notice that is not this account's; "" if all are."""
    appids = {account.appid, account.mini_appid, account.app_appid} if account.is_direct else {account.appid}
    if fields.get("appid") not in appids - {""}:
        return "appid"
    expected = {"mch_id": account.mch_id, "sub_mch_id": account.sub_mch_id}
    return next((name for name, value in expected.items() if fields.get(name, "") != value), "")


def parse_response(
    answer: Answer,
    endpoint: Endpoint,
    verifiers: Sequence[WeChatAccount],
    request: Mapping[str, str],
    sign_type: WeChatSignType,
) -> tuple[Response, WeChatAccount | None]:
    """The response, layer by layer: HTTP, communication, signature, identity, result.

    With the one of `verifiers` that has its key; None if the response is not signed with any. Its algorithm is always
    `sign_type`, that of the request.
    """
    if answer.status == 400 and endpoint.needs_certificate and CERTIFICATE_PAGE in answer.body:
        return Refused(Refusal.OUR_CERTIFICATE, "HTTP 400"), None
    if answer.status != 200:
        return Unknown(f"HTTP {answer.status}"), None
    try:
        pairs = messages.pairs_from_xml(answer.body, RECORD_FIELDS if endpoint.has_records else ())
    except messages.BadMessage as error:
        return Unknown(str(error)), None
    fields = dict(pairs)
    if fields.get("return_code") == "FAIL":
        return Rejected(fields.get("return_msg", "")[:MAX_MESSAGE_CHARS]), None
    verifier = next((each for each in verifiers if are_signed(pairs, each.key, sign_type)), None)
    if verifier is None:
        return UNVERIFIED, None
    return _verified(fields, request), verifier


def _result_of(response: Response) -> CallResult:
    match response:
        case Succeeded():
            return CallResult.ANSWERED
        case Failure() | Rejected() | Refused():
            return CallResult.REFUSED
        case NotSent():
            return CallResult.NOT_SENT
        case Unknown():
            return CallResult.UNVERIFIED if response is UNVERIFIED else CallResult.UNREADABLE


def _verified(fields: messages.Fields, request: Mapping[str, str]) -> Response:
    for name in (*OF_ACCOUNT, "out_trade_no"):
        is_about = name in OF_ACCOUNT or name in request
        if fields.get(name) and is_about and fields[name] != request.get(name):
            return Unknown(f"the response is about another {name}")
    match fields.get("return_code"), fields.get("result_code"):
        case "SUCCESS", "SUCCESS":
            return Succeeded(fields)
        case "SUCCESS", "FAIL":
            return Failure(fields.get("err_code", ""), fields.get("err_code_des", ""), fields)
        case codes:
            return Unknown(f"result codes {codes}")
