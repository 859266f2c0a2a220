"""The small calls beside trades: the day's exchange rate, a barcode's owner, and reports of how calls went."""

import json
from datetime import timedelta
from typing import Final

from starlette.responses import Response

from tael_sandbox import rates, statements
from tael_sandbox.statements import ONE_DAY
from tael_sandbox.wechat import numbering, resolved_codes
from tael_sandbox.wechat.calls import BAD_FORM, Ask, Missing, Rejection
from tael_sandbox.wechat.messages import Value, signed, xml_reply
from tael_sandbox.wechat.micropay import usable_code
from tael_sandbox.wechat.signing import MD5

RATE_HOUR: Final = timedelta(hours=10)
#: What a single report must tell; a report of many tells it of each in `trades`.
REPORT: Final = ("return_code", "result_code")


def queryexchagerate(ask: Ask) -> Response:
    """The rate in force on a day, from ten o'clock on. Its reply has neither a result_code nor a nonce_str."""
    try:
        day = numbering.read_wire_day(ask.text("date"))
    except ValueError:
        raise Rejection("date" + BAD_FORM) from None
    if day > statements.day_of(ask.now):
        raise Rejection("date" + BAD_FORM)
    published_at = statements.start_of(day) + RATE_HOUR
    if ask.now < published_at:
        published_at -= ONE_DAY
    reply: dict[str, Value] = {
        "return_code": "SUCCESS",
        "return_msg": "OK",
        "appid": ask.text("appid"),
        "mch_id": ask.text("mch_id"),
    }
    if ask.text("sub_mch_id"):
        reply["sub_mch_id"] = ask.text("sub_mch_id")
    reply |= {
        "fee_type": ask.text("fee_type"),
        "rate_time": numbering.wire_time(published_at),
        "rate": str(int(rates.rate_to_cny(ask.text("fee_type")).scaleb(8))),
    }
    return xml_reply(signed(reply, ask.provider.key, ask.text("sign_type") or MD5))


def authcodetoopenid(ask: Ask) -> dict[str, Value]:
    """Whose barcode this is. The code is not used up, and only this shop may charge it now."""
    code = usable_code(ask)
    resolved_codes.hold(ask.connection, code.auth_code, ask.sub_mch_id)
    said: dict[str, Value] = {"openid": ask.registry.openid(code.payer, ask.text("appid"))}
    if ask.text("sub_appid"):
        said["sub_openid"] = ask.registry.openid(code.payer, ask.text("sub_appid"))
    return said


def report(ask: Ask) -> Response:
    """Thanks for it and changes nothing; the answer is not signed."""
    if ask.text("trades"):
        _check_trades(ask.text("trades"))
    else:
        for name in REPORT:
            if not ask.text(name):
                raise Missing(name)
    return xml_reply({"return_code": "SUCCESS", "return_msg": "OK", "result_code": "SUCCESS"})


def _check_trades(text: str) -> None:
    try:
        is_list = isinstance(json.loads(text), list)
    except (ValueError, RecursionError):
        is_list = False
    if not is_list:
        raise Rejection("trades" + BAD_FORM)
