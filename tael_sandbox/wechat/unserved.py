"""WeChat Pay's refusals of calls that the sandbox does not serve, of V2, V3 and its web pages."""

from typing import Final

from starlette.responses import JSONResponse, Response

from tael_sandbox.unserved import UnservedCall
from tael_sandbox.wechat.messages import failure

#: First segments of V2's paths, including those for the mainland only.
_SEGMENTS: Final = frozenset(
    (
        *("pay", "secapi", "tools", "payitil", "sandboxnew", "xdc", "mch", "risk", "deposit", "transit"),
        *("mmpaymkttransfers", "mmpaysptrans", "papay", "pappay", "billcommentsp", "facepay", "vehicle"),
        *("appcc", "profitsharing", "promotion", "fraud", "customs", "cgi-bin", "sns", "connect", "wxa"),
        *("v3", "hk"),
    )
)
_V3: Final = "v3"
_PAGES: Final = frozenset(("cgi-bin", "sns", "connect", "wxa"))
#: WeChat's errcodes for an unknown address, and for one that accepts only GET.
_NO_ADDRESS, _NEEDS_GET = 40066, 43001


def refuse(call: UnservedCall) -> Response | None:
    """None if the call is not WeChat Pay's, such as a page that a browser requests."""
    segment = call.path.split("/")[1] if "/" in call.path else ""
    if call.wallet_of_host != "wechat" and call.is_over_get and segment not in _SEGMENTS:
        return None
    if segment == _V3:
        return JSONResponse({"code": "NOT_FOUND", "message": call.text}, 404)
    if segment in _PAGES:
        errcode = _NEEDS_GET if call.status == 405 else _NO_ADDRESS
        return JSONResponse({"errcode": errcode, "errmsg": call.text}, call.status_or_ok)
    answer = failure(call.text)
    answer.status_code = call.status_or_ok
    return answer
