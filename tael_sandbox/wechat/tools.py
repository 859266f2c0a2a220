"""Auxiliary calls: the day's exchange rate, the owner of a barcode, and reports about calls."""

import json
from datetime import timedelta
from typing import Final

from starlette.responses import Response

from tael_sandbox import rates, statements
from tael_sandbox.statements import ONE_DAY
from tael_sandbox.wechat import numbering, resolved_codes
from tael_sandbox.wechat.calls import BAD_FORM, AdmittedRequest, Missing, Rejection
from tael_sandbox.wechat.messages import Value, signed, xml_reply
from tael_sandbox.wechat.micropay import usable_code
from tael_sandbox.wechat.signing import MD5

RATE_HOUR: Final = timedelta(hours=10)
#: Required in a report about a single call; a report about many has them in `trades`.
REPORT: Final = ("return_code", "result_code")


def queryexchagerate(request: AdmittedRequest) -> Response:
    """The rate of a day, which applies from ten o'clock. The reply has neither a result_code nor a nonce_str."""
    try:
        day = numbering.read_wire_day(request.text("date"))
    except ValueError:
        raise Rejection("date" + BAD_FORM) from None
    if day > statements.day_of(request.now):
        raise Rejection("date" + BAD_FORM)
    published_at = statements.start_of(day) + RATE_HOUR
    if request.now < published_at:
        published_at -= ONE_DAY
    reply: dict[str, Value] = {
        "return_code": "SUCCESS",
        "return_msg": "OK",
        "appid": request.text("appid"),
        "mch_id": request.text("mch_id"),
    }
    if request.text("sub_mch_id"):
        reply["sub_mch_id"] = request.text("sub_mch_id")
    reply |= {
        "fee_type": request.text("fee_type"),
        "rate_time": numbering.wire_time(published_at),
        "rate": str(int(rates.rate_to_cny(request.text("fee_type")).scaleb(8))),
    }
    return xml_reply(signed(reply, request.account.key, request.text("sign_type") or MD5))


def authcodetoopenid(request: AdmittedRequest) -> dict[str, Value]:
    """The openid of a barcode's payer. The code stays unused, and from now on only this shop can charge it."""
    code = usable_code(request)
    resolved_codes.reserve(request.connection, code.auth_code, request.merchant.number)
    fields: dict[str, Value] = {"openid": request.registry.openid(code.payer, request.text("appid"))}
    if request.text("sub_appid"):
        fields["sub_openid"] = request.registry.openid(code.payer, request.text("sub_appid"))
    return fields


def report(request: AdmittedRequest) -> Response:
    """Accepts the report and changes nothing. The reply is not signed."""
    if request.text("trades"):
        _check_trades(request.text("trades"))
    else:
        for name in REPORT:
            if not request.text(name):
                raise Missing(name)
    return xml_reply({"return_code": "SUCCESS", "return_msg": "OK", "result_code": "SUCCESS"})


def _check_trades(text: str) -> None:
    try:
        is_list = isinstance(json.loads(text), list)
    except (ValueError, RecursionError):
        is_list = False
    if not is_list:
        raise Rejection("trades" + BAD_FORM)
