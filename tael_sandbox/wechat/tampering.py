"""Faulty responses and notices of WeChat Pay: SYSTEMERROR, wrong signatures, wrong amounts.

Both wallets of WeChat share their paths. A call belongs to WeChat Pay HK once the barcode or the books show that the
payer is from Hong Kong, and to WeChat Pay until then.
"""

import re
import sqlite3
from collections.abc import Mapping
from typing import Final

from starlette.responses import JSONResponse, Response

from tael_sandbox.books import Books
from tael_sandbox.codes import read_code
from tael_sandbox.fault_injection.tampering import Operation, WalletRequest, with_other_first_byte
from tael_sandbox.profiles import current_profile
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
#: Responses of these calls have no err_code.
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

    def serves_path(self, path: str) -> bool:
        return path in _PATHS

    def operation_of(self, request: WalletRequest) -> Operation | None:
        call = _CALLS.get(request.path)
        return Operation(self._wallet_of(request), call.operation if call is not None else request.path)

    def system_error(self, request: WalletRequest) -> Response | None:
        if request.path == OPENID_PATH:
            return JSONResponse({"errcode": -1, "errmsg": "system error"})
        call = _CALLS[request.path]
        try:
            fields, merchants = admit(self._registry, call, request.body, current_profile(self._books.reader))
        except Rejection:
            return None
        if call.operation == bills.PATH:
            return bills.system_error()
        if call.operation in CALLS_WITHOUT_ERRORS:
            return failure("system error")
        error: dict[str, Value] = {
            "result_code": "FAIL",
            "err_code": "SYSTEMERROR",
            "err_code_des": "系统超时",
        }
        if call.operation == REVERSE_PATH:
            error["recall"] = "Y"
        return signed_reply(fields, merchants[0].account, error)

    def with_wrong_signature(self, response: bytes) -> bytes | None:
        if _SIGN.search(response) is None:
            return None
        return _SIGN.sub(lambda sign: with_other_first_byte(sign[0].decode()).encode(), response)

    def with_wrong_amount(self, request: WalletRequest, response: bytes) -> bytes | None:
        fields = _fields(response)
        if "sign" not in fields:
            return None
        return self._signed_with_higher_amounts(
            fields, self._registry.key(_stored_mch_id(request, fields.get("mch_id", "")))
        )

    def notice_with_wrong_signature(self, notice: sqlite3.Row) -> bytes | None:
        """None for a refund notice, which is encrypted and has no signature."""
        return self.with_wrong_signature(notice["body"])

    def notice_with_wrong_amount(self, notice: sqlite3.Row) -> bytes | None:
        fields = _fields(notice["body"])
        key = self._key_of_notice(fields)
        if "req_info" not in fields:
            return self._signed_with_higher_amounts(fields, key)
        event = read_message(decrypt_req_info(fields["req_info"], key), root="root")
        encrypted = encrypt_req_info(write_message(_with_higher_amounts(event), root="root"), key)
        return write_message({**fields, "req_info": encrypted})

    def _key_of_notice(self, fields: dict[str, str]) -> str:
        """The live key, or the key of WeChat Pay's own sandbox: a notice does not name the one it comes from."""
        key = self._registry.key(fields["mch_id"])
        is_encrypted = "req_info" in fields
        is_live = _is_encrypted_with(key, fields["req_info"]) if is_encrypted else is_signed(fields, key)
        return key if is_live else self._registry.key(VENDOR_SANDBOX + fields["mch_id"])

    def _signed_with_higher_amounts(self, fields: dict[str, str], key: str) -> bytes | None:
        sign = fields.pop("sign", None)
        if sign is None or not any(_AMOUNT.fullmatch(name) for name in fields):
            return None
        sign_type = MD5 if len(sign) == 32 else HMAC_SHA256  # a response does not name its algorithm
        return write_message(signed(_with_higher_amounts(fields), key, sign_type))

    def _wallet_of(self, request: WalletRequest) -> str:
        fields = _fields(request.body)
        code = read_code(self._books.reader, fields.get("auth_code", ""))
        if code is not None and code.wallet in WALLETS:
            return code.wallet
        trade = self._trade_of(fields, _stored_mch_id(request, fields.get("mch_id", "")))
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


def _stored_mch_id(request: WalletRequest, mch_id: str) -> str:
    call = _CALLS.get(request.path)
    return VENDOR_SANDBOX + mch_id if call is not None and call.in_vendor_sandbox else mch_id


def _is_encrypted_with(key: str, req_info: str) -> bool:
    try:
        read_message(decrypt_req_info(req_info, key), root="root")
    except (ValueError, BadXml):
        return False
    return True


def _fields(body: bytes) -> dict[str, str]:
    """Empty if it is not a message. Any root is accepted; the wallet refuses a wrong one itself."""
    try:
        return read_message(body, root=None)
    except BadXml:
        return {}


def _with_higher_amounts(fields: Mapping[str, str]) -> dict[str, Value]:
    """The refunded amounts of a message about refunds, otherwise the price, one minor unit higher."""
    names = [name for name in fields if _AMOUNT.fullmatch(name)]
    names = [name for name in names if name.startswith("refund_fee")] or names
    return {**fields, **{name: int(fields[name]) + 1 for name in names}}
