"""What WeChat Pay answers to calls that the sandbox does not have: of V2, of V3, and of its web pages."""

from typing import Final

from starlette.responses import JSONResponse, Response

from tael_sandbox.unserved import UnservedCall
from tael_sandbox.wechat.messages import failure

#: First folders of V2's paths, also of those that are for the mainland only.
_FOLDERS: Final = frozenset(
    (
        *("pay", "secapi", "tools", "payitil", "sandboxnew", "xdc", "mch", "risk", "deposit", "transit"),
        *("mmpaymkttransfers", "mmpaysptrans", "papay", "pappay", "billcommentsp", "facepay", "vehicle"),
        *("appcc", "profitsharing", "promotion", "fraud", "customs", "cgi-bin", "sns", "connect", "wxa"),
        *("v3", "hk"),
    )
)
_V3: Final = "v3"
_PAGES: Final = frozenset(("cgi-bin", "sns", "connect", "wxa"))
#: WeChat's own words for an address that is none, and for one that takes GET only.
_NO_ADDRESS, _NEEDS_GET = 40066, 43001


def refuse(call: UnservedCall) -> Response | None:
    """None if the call is not WeChat Pay's: a page that a browser looks for, say."""
    folder = call.path.split("/")[1] if "/" in call.path else ""
    if call.wallet_of_host != "wechat" and call.is_over_get and folder not in _FOLDERS:
        return None
    if folder == _V3:
        return JSONResponse({"code": "NOT_FOUND", "message": call.text}, 404)
    if folder in _PAGES:
        errcode = _NEEDS_GET if call.status == 405 else _NO_ADDRESS
        return JSONResponse({"errcode": errcode, "errmsg": call.text}, call.status_or_ok)
    answer = failure(call.text)
    answer.status_code = call.status_or_ok
    return answer
