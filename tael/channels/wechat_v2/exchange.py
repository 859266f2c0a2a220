"""One question to WeChat and its answer, proven: signed by the provider's key, and about what we asked.

Everything that money is decided on passes `ask`. An answer that fails a check is `Unknown`, never a refusal.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tael.base.transport import Answer, NoAnswer, NothingSent, Transport
from tael.channels.base import NoteAnswer, note_nothing
from tael.channels.outcomes import NotSent, Refusal, Refused, Unknown
from tael.channels.wechat_v2 import certificates, messages
from tael.channels.wechat_v2.signing import is_signed, signature
from tael.merchants.domain.account import WeChatAccount, WeChatSignType

MONEY_TIMEOUT_S: Final = 30.0
TIMEOUT_S: Final = 10.0
MAX_MESSAGE_CHARS: Final = 128
HEADERS: Final = {"content-type": "text/xml; charset=utf-8"}
#: In the page with which WeChat's web server turns away a client certificate, or its absence.
CERTIFICATE_PAGE: Final = b"SSL certificate"


#: By identity: what an answer without the wallet's signature is read as.
UNVERIFIED: Final = Unknown("the answer is not signed")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A call of the V2 interface."""

    path: str
    timeout_s: float = TIMEOUT_S
    takes_sign_type: bool = True  #: where WeChat does not list `sign_type`, MD5 is the only sure algorithm
    needs_certificate: bool = False


MICROPAY: Final = Endpoint("/pay/micropay", MONEY_TIMEOUT_S)
UNIFIEDORDER: Final = Endpoint("/pay/unifiedorder")
ORDERQUERY: Final = Endpoint("/pay/orderquery")
CLOSEORDER: Final = Endpoint("/pay/closeorder", takes_sign_type=False)
REVERSE: Final = Endpoint(
    "/secapi/pay/reverse", MONEY_TIMEOUT_S, takes_sign_type=False, needs_certificate=True
)
REFUND: Final = Endpoint("/secapi/pay/refund", MONEY_TIMEOUT_S, needs_certificate=True)
REFUNDQUERY: Final = Endpoint("/pay/refundquery")


@dataclass(frozen=True, slots=True)
class Granted:
    """Both result codes are SUCCESS: the call was done. What that means for money is in the fields."""

    fields: messages.Fields


@dataclass(frozen=True, slots=True)
class Failure:
    """A signed FAIL of the call."""

    code: str
    text: str
    fields: messages.Fields


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """A FAIL before the call was looked at. WeChat does not sign it."""

    message: str


Said = Granted | Failure | TurnedAway | Refused | NotSent | Unknown


def new_nonce() -> str:
    return secrets.token_hex(16)


class Exchange:
    """Asks WeChat's host at `base_url` in the name of any account."""

    def __init__(
        self,
        transport: Transport,
        base_url: str,
        ca_pem: str | None,
        note_answer: NoteAnswer = note_nothing,
    ) -> None:
        self._transport = transport
        self._note_answer = note_answer
        self._base_url = base_url.rstrip("/")
        self._certificates = certificates.Certificates(ca_pem)

    async def ask(self, endpoint: Endpoint, account: WeChatAccount, question: messages.Fields) -> Said:
        """Signs and sends `question`; the answer must name the same account and the same numbers."""
        provider = account.provider
        sign_type: WeChatSignType = account.sign_type if endpoint.takes_sign_type else "MD5"
        fields = complete(question, account, sign_type)
        try:
            tls = (
                self._certificates.of_provider(provider)
                if endpoint.needs_certificate
                else self._certificates.anonymous()
            )
        except certificates.UnusableCertificate as error:
            return NotSent(f"our client certificate cannot be used: {error}")
        result = await self._transport.call(
            "POST",
            self._base_url + endpoint.path,
            body=messages.to_xml(fields),
            headers=HEADERS,
            timeout_s=endpoint.timeout_s,
            tls=tls,
            account=account.account_id,
        )
        match result:
            case NothingSent(reason):
                return NotSent(reason)
            case NoAnswer(reason):
                return Unknown(reason)
            case Answer():
                response = understand(result, endpoint, account, fields, sign_type)
                if response is UNVERIFIED or isinstance(response, Granted | Failure):
                    await self._note_answer(account, response is not UNVERIFIED)
                return response


def complete(question: messages.Fields, account: WeChatAccount, sign_type: WeChatSignType) -> dict[str, str]:
    """`question` with who asks, a nonce and the signature."""
    fields = {**question, **identity(account), "sub_appid": account.sub_appid, "nonce_str": new_nonce()}
    if sign_type != "MD5":  # MD5 is what WeChat takes it for when nothing is said
        fields["sign_type"] = sign_type
    return {**fields, "sign": signature(fields, account.provider.key, sign_type)}


def identity(account: WeChatAccount) -> dict[str, str]:
    """Who an answer or a notice must be for."""
    return {
        "appid": account.provider.appid,
        "mch_id": account.provider.mch_id,
        "sub_mch_id": account.sub_mch_id,
    }


def understand(
    answer: Answer,
    endpoint: Endpoint,
    account: WeChatAccount,
    asked: Mapping[str, str],
    sign_type: WeChatSignType,
) -> Said:
    """The answer, layer by layer: HTTP, communication, signature, whom it is about, the call's result."""
    if answer.status == 400 and endpoint.needs_certificate and CERTIFICATE_PAGE in answer.body:
        return Refused(Refusal.OUR_CERTIFICATE, "HTTP 400")
    if answer.status != 200:
        return Unknown(f"HTTP {answer.status}")
    try:
        fields = messages.from_xml(answer.body)
    except messages.BadMessage as error:
        return Unknown(str(error))
    if fields.get("return_code") == "FAIL":
        return TurnedAway(fields.get("return_msg", "")[:MAX_MESSAGE_CHARS])
    if not is_signed(fields, account.provider.key, sign_type):
        return UNVERIFIED
    for name in (*identity(account), "out_trade_no"):
        if fields.get(name) and name in asked and fields[name] != asked[name]:
            return Unknown(f"the answer is about another {name}")
    match fields.get("return_code"), fields.get("result_code"):
        case "SUCCESS", "SUCCESS":
            return Granted(fields)
        case "SUCCESS", "FAIL":
            return Failure(fields.get("err_code", ""), fields.get("err_code_des", ""), fields)
        case codes:
            return Unknown(f"result codes {codes}")
