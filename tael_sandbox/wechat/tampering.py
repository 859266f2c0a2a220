"""What WeChat Pay says when it is told to err: its SYSTEMERROR, wrong signatures, wrong amounts.

Both wallets of WeChat share their paths: a call is WeChat Pay HK's once it is known that a payer of Hong Kong
has the order, by the barcode or by the book. Until then it is WeChat Pay's.
"""

import re
import sqlite3
from collections.abc import Mapping
from typing import Final

from starlette.responses import JSONResponse, Response

from tael_sandbox.books import Books
from tael_sandbox.codes import read_code
from tael_sandbox.profiles import in_force
from tael_sandbox.tampering import Ask, Operation, other_first_byte
from tael_sandbox.wechat import bills, refunds, trades
from tael_sandbox.wechat.calls import Rejection
from tael_sandbox.wechat.endpoints import CALLS
from tael_sandbox.wechat.messages import BadXml, Value, failure, read_message, signed, write_message
from tael_sandbox.wechat.pipeline import admit, signed_reply
from tael_sandbox.wechat.registry import VENDOR_SANDBOX, WALLETS, Registry
from tael_sandbox.wechat.signing import HMAC_SHA256, MD5, decrypt_req_info, encrypt_req_info, is_signed
from tael_sandbox.wechat.trades import Trade
from tael_sandbox.wechat.vendor_sandbox import KEY_PATHS, VENDOR_SANDBOX_CALLS

OPENID_PATH: Final = "/sns/oauth2/access_token"
REVERSE_PATH: Final = "/secapi/pay/reverse"
#: Their answers have no err_code.
CALLS_WITHOUT_ERRORS: Final = frozenset({"/pay/queryexchagerate", "/payitil/report", KEY_PATHS[0]})
_CALLS: Final = {call.path: call for call in (*CALLS, *VENDOR_SANDBOX_CALLS)}
_PATHS: Final = frozenset(_CALLS) | {OPENID_PATH}
_AMOUNT: Final = re.compile(r"total_fee|refund_fee(_\d+)?")
_SIGN: Final = re.compile(rb"(?<=<sign><!\[CDATA\[)[0-9A-F]+(?=\]\]></sign>)")


class WeChatTampering:
    wallets: tuple[str, ...] = WALLETS
    operations = frozenset(call.operation for call in _CALLS.values()) | {OPENID_PATH}

    def __init__(self, books: Books, registry: Registry) -> None:
        self._books = books
        self._registry = registry

    def listens_at(self, path: str) -> bool:
        return path in _PATHS

    def operation_of(self, ask: Ask) -> Operation | None:
        call = _CALLS.get(ask.path)
        return Operation(self._wallet_of(ask), call.operation if call is not None else ask.path)

    def system_error(self, ask: Ask) -> Response | None:
        if ask.path == OPENID_PATH:
            return JSONResponse({"errcode": -1, "errmsg": "system error"})
        call = _CALLS[ask.path]
        try:
            fields, merchants = admit(self._registry, call, ask.body, in_force(self._books.reader))
        except Rejection:
            return None
        if call.operation == bills.PATH:
            return bills.system_error()
        if call.operation in CALLS_WITHOUT_ERRORS:
            return failure("system error")
        said: dict[str, Value] = {
            "result_code": "FAIL",
            "err_code": "SYSTEMERROR",
            "err_code_des": "系统超时",
        }
        if call.operation == REVERSE_PATH:
            said["recall"] = "Y"
        return signed_reply(fields, merchants[0].provider, said)

    def missigned(self, answer: bytes) -> bytes | None:
        if _SIGN.search(answer) is None:
            return None
        return _SIGN.sub(lambda sign: other_first_byte(sign[0].decode()).encode(), answer)

    def misquoted(self, ask: Ask, answer: bytes) -> bytes | None:
        fields = _fields(answer)
        if "sign" not in fields:
            return None
        return self._misquoted(fields, self._registry.key(_book_number(ask, fields.get("mch_id", ""))))

    def missigned_notice(self, notice: sqlite3.Row) -> bytes | None:
        """News of a refund is sealed and carries no signature that could be wrong."""
        return self.missigned(notice["body"])

    def misquoted_notice(self, notice: sqlite3.Row) -> bytes | None:
        fields = _fields(notice["body"])
        key = self._key_of_notice(fields)
        if "req_info" not in fields:
            return self._misquoted(fields, key)
        news = read_message(decrypt_req_info(fields["req_info"], key), root="root")
        encrypted = encrypt_req_info(write_message(_with_one_more(news), root="root"), key)
        return write_message({**fields, "req_info": encrypted})

    def _key_of_notice(self, fields: dict[str, str]) -> str:
        """The real one, or that of WeChat Pay's own sandbox: a notice does not say from where it comes."""
        key = self._registry.key(fields["mch_id"])
        is_encrypted = "req_info" in fields
        is_real = _is_encrypted_with(key, fields["req_info"]) if is_encrypted else is_signed(fields, key)
        return key if is_real else self._registry.key(VENDOR_SANDBOX + fields["mch_id"])

    def _misquoted(self, fields: dict[str, str], key: str) -> bytes | None:
        sign = fields.pop("sign", None)
        if sign is None or not any(_AMOUNT.fullmatch(name) for name in fields):
            return None
        sign_type = MD5 if len(sign) == 32 else HMAC_SHA256  # an answer does not name its algorithm
        return write_message(signed(_with_one_more(fields), key, sign_type))

    def _wallet_of(self, ask: Ask) -> str:
        fields = _fields(ask.body)
        code = read_code(self._books.reader, fields.get("auth_code", ""))
        if code is not None and code.wallet in WALLETS:
            return code.wallet
        trade = self._trade_of(fields, _book_number(ask, fields.get("mch_id", "")))
        return trade.wallet if trade is not None else WALLETS[0]

    def _trade_of(self, fields: Mapping[str, str], mch_id: str) -> Trade | None:
        reader = self._books.reader
        if fields.get("transaction_id"):
            return trades.by_transaction(reader, fields["transaction_id"])
        if fields.get("out_trade_no"):
            return trades.by_order(reader, mch_id, fields["out_trade_no"])
        if fields.get("refund_id"):
            refund = refunds.by_refund_id(reader, mch_id, fields["refund_id"])
        else:
            refund = refunds.by_number(reader, mch_id, fields.get("out_refund_no", ""))
        return trades.by_id(reader, refund.trade_id) if refund is not None else None


def _book_number(ask: Ask, mch_id: str) -> str:
    call = _CALLS.get(ask.path)
    return VENDOR_SANDBOX + mch_id if call is not None and call.in_vendor_sandbox else mch_id


def _is_encrypted_with(key: str, req_info: str) -> bool:
    try:
        read_message(decrypt_req_info(req_info, key), root="root")
    except (ValueError, BadXml):
        return False
    return True


def _fields(body: bytes) -> dict[str, str]:
    """None of them if it is not a message; whose root may be called what it will, a bad one is refused later."""
    try:
        return read_message(body, root=None)
    except BadXml:
        return {}


def _with_one_more(fields: Mapping[str, str]) -> dict[str, Value]:
    """Of a message about refunds it is the refunded amount that grows, else the price."""
    names = [name for name in fields if _AMOUNT.fullmatch(name)]
    names = [name for name in names if name.startswith("refund_fee")] or names
    return {**fields, **{name: int(fields[name]) + 1 for name in names}}
