"""Faulty responses and notices of Alipay: system errors of each service, wrong signatures, wrong amounts.

Both wallets of Alipay share one address. A call belongs to AlipayHK once the barcode, `payment_inst` or the books show
that the payer is from Hong Kong, and to Alipay until then.
"""

import re
import sqlite3
from collections.abc import Mapping
from decimal import Decimal
from email.message import Message
from typing import Final
from urllib.parse import parse_qsl, urlencode
from xml.etree.ElementTree import Element

from defusedxml.ElementTree import fromstring
from starlette.responses import Response

from tael_sandbox.alipay.cashier import PRODUCT_OF_SERVICE
from tael_sandbox.alipay.files import FILES, SYSTEM_EXCEPTION
from tael_sandbox.alipay.gateway import SERVICES, VERIFY_NOTICE, Gateway, text_answer
from tael_sandbox.alipay.messages import (
    CHARSETS,
    XML_TYPE,
    Node,
    Refused,
    answer_xml,
    read_request,
    refusal_xml,
)
from tael_sandbox.alipay.pages import error_page
from tael_sandbox.alipay.payment_inst import ALIPAY, WALLET_OF, WALLETS, wallet_of
from tael_sandbox.alipay.phone import GATEWAY_PATH, NOTIFY_QUERY_PATH
from tael_sandbox.alipay.preconditions import Call, Preconditions
from tael_sandbox.alipay.signing import Keyring
from tael_sandbox.alipay.trades import Trade, by_order, by_trade_no
from tael_sandbox.books import Books
from tael_sandbox.clock import Clock
from tael_sandbox.codes import read_code
from tael_sandbox.fault_injection.tampering import Operation, WalletRequest, with_other_first_byte

SYSTEM_ERROR: Final = "SYSTEM_ERROR"
#: Fields with an amount in the order's currency. Amounts in CNY stay unchanged.
AMOUNTS: Final = frozenset({"trans_amount", "refund_amount", "total_fee", "rmb_fee", "price"})
#: Parameters with Alipay's number of a trade, which takes precedence, and with the merchant's.
TRADE_NUMBERS: Final = ("alipay_trans_id", "trade_no")
ORDER_NUMBERS: Final = ("partner_trans_id", "out_trade_no", "out_order_no")
_SIGN: Final = re.compile(rb"(?<=<sign>)[^<]+(?=</sign>)")


class AlipayTampering:
    wallets: tuple[str, ...] = WALLETS
    operations = frozenset((*SERVICES, *PRODUCT_OF_SERVICE, VERIFY_NOTICE))

    def __init__(self, clock: Clock, books: Books, keys: Keyring, gateway: Gateway) -> None:
        self._clock = clock
        self._books = books
        self._keys = keys
        self._gateway = gateway

    def serves_path(self, path: str) -> bool:
        return path in (GATEWAY_PATH, NOTIFY_QUERY_PATH)

    def operation_of(self, request: WalletRequest) -> Operation | None:
        if request.path == NOTIFY_QUERY_PATH:
            return Operation(ALIPAY, VERIFY_NOTICE)
        try:
            fields = read_request(request.query, request.body).fields
        except Refused:
            return None
        service = fields.get("service", "")
        return Operation(self._wallet_of(fields), service) if service in self.operations else None

    def system_error(self, request: WalletRequest) -> Response | None:
        """Signed and inside the node for services that respond with a node, bare and unsigned for the others."""
        preconditions = Preconditions(self._books.reader, self._keys, self._clock.now())
        try:
            call = self._gateway.admit(preconditions, read_request(request.query, request.body))
        except Refused:
            return None
        if call.service in PRODUCT_OF_SERVICE:
            return error_page(SYSTEM_ERROR)
        if call.service in FILES:
            return text_answer(SYSTEM_EXCEPTION)
        fields = _system_error_fields(call)
        if fields is None:
            return Response(refusal_xml(SYSTEM_ERROR), media_type=XML_TYPE)
        return Response(
            self._signed_xml(call.request.fields, "alipay", fields, call.sign_type), media_type=XML_TYPE
        )

    def with_wrong_signature(self, response: bytes) -> bytes | None:
        if _SIGN.search(response) is None:
            return None
        return _SIGN.sub(lambda sign: with_other_first_byte(sign[0].decode()).encode(), response)

    def with_wrong_amount(self, request: WalletRequest, response: bytes) -> bytes | None:
        if _SIGN.search(response) is None:  # a page, a bare response or a refusal
            return None
        document: Element = fromstring(response)
        node = document.findall("response/*")[0]
        fields = {child.tag: child.text or "" for child in node}
        changed = _with_higher_amounts(fields)
        if changed is None:
            return None
        sent = read_request(request.query, request.body).fields
        return self._signed_xml(sent, node.tag, changed, document.findtext("sign_type", ""))

    def notice_with_wrong_signature(self, notice: sqlite3.Row) -> bytes | None:
        fields, charset = _notice_fields(notice)
        return _form({**fields, "sign": with_other_first_byte(fields["sign"])}, charset)

    def notice_with_wrong_amount(self, notice: sqlite3.Row) -> bytes | None:
        fields, charset = _notice_fields(notice)
        changed = _with_higher_amounts(fields)
        if changed is None:
            return None
        row = self._books.reader.execute(
            "SELECT pid FROM alipay_notice WHERE notice_id = ?", (notice["id"],)
        ).fetchone()
        return _form(
            {**changed, "sign": self._keys.sign(row["pid"], changed, changed["sign_type"], charset)}, charset
        )

    def _wallet_of(self, fields: Mapping[str, str]) -> str:
        reader = self._books.reader
        code = read_code(reader, fields.get("buyer_identity_code", ""))
        if code is not None and code.wallet in WALLETS:
            return code.wallet
        trade = self._trade_of(fields)
        if trade is not None:
            return wallet_of(reader, trade)
        return WALLET_OF.get(fields.get("payment_inst", ""), ALIPAY)

    def _trade_of(self, fields: Mapping[str, str]) -> Trade | None:
        reader, pid = self._books.reader, fields.get("partner", "")
        for finder, names in ((by_trade_no, TRADE_NUMBERS), (by_order, ORDER_NUMBERS)):
            number = next((fields[name] for name in names if fields.get(name)), None)
            if number is not None:
                return finder(reader, pid, number)
        return None

    def _signed_xml(
        self, request: Mapping[str, str], name: str, fields: dict[str, str], sign_type: str
    ) -> bytes:
        sign = self._keys.sign(request["partner"], fields, sign_type, "utf-8")
        return answer_xml(request, Node(name, fields), sign, sign_type)


def _with_higher_amounts(fields: Mapping[str, str]) -> dict[str, str] | None:
    """The fields with each amount one minor unit higher. None if no field is an amount."""
    changed = {name: _plus_one_minor(fields[name]) for name in AMOUNTS if fields.get(name)}
    return {**fields, **changed} if changed else None


def _plus_one_minor(amount: str) -> str:
    """39.25 becomes 39.26; 100 of a currency without decimals becomes 101."""
    value = Decimal(amount)
    return str(value + Decimal(1).scaleb(int(value.as_tuple().exponent)))


def _system_error_fields(call: Call) -> dict[str, str] | None:
    match call.service:
        case "alipay.acquire.overseas.spot.pay":
            return {"result_code": "UNKNOW", "error": SYSTEM_ERROR}
        case "alipay.acquire.overseas.query":
            return {"result_code": "FAIL", "error": SYSTEM_ERROR}
        case "alipay.acquire.precreate":
            return {
                "result_code": "UNKNOWN",
                "detail_error_code": SYSTEM_ERROR,
                "detail_error_des": "system error",
            }
        case "alipay.acquire.overseas.spot.refund":
            return {"result_code": "FAILED", "error": SYSTEM_ERROR}
        case "alipay.acquire.refund.query":
            return {"response_code": SYSTEM_ERROR}
        case "alipay.acquire.cancel":
            return {
                "result_code": "FAIL",
                "detail_error_code": SYSTEM_ERROR,
                "detail_error_des": "system error",
                "out_trade_no": call.request.fields.get("out_trade_no", ""),
                "retry_flag": "Y",
            }
        case _:
            return None


def _notice_fields(notice: sqlite3.Row) -> tuple[dict[str, str], str]:
    headers = Message()
    headers["Content-Type"] = notice["content_type"]
    charset = CHARSETS[str(headers.get_param("charset")).lower()]
    body: bytes = notice["body"]
    return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, encoding=charset)), charset


def _form(fields: Mapping[str, str], charset: str) -> bytes:
    return urlencode(fields, encoding=charset).encode("ascii")
