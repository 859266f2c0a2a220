"""What unifiedorder requires of an order because of its trade type, beyond the form of its elements.

NATIVE: a QR code                       JSAPI: a page inside WeChat, or a mini program
APP: a merchant's mobile app
"""

from tael_sandbox.profiles import current_profile
from tael_sandbox.wechat.calls import UNBOUND, AdmittedRequest, Missing, Rejection, UnknownSender


def check_trade_type(request: AdmittedRequest) -> None:
    """Raises Rejection."""
    if request.text("sub_appid") not in _allowed_appids(request):
        raise UnknownSender(UNBOUND, "APPID_MCHID_NOT_MATCH")
    match request.text("trade_type"):
        case "NATIVE":
            _check_product(request)
        case "MWEB":
            raise Rejection("商户号该产品权限未开通，请前往商户平台>产品中心检查后重试")


def _allowed_appids(request: AdmittedRequest) -> tuple[str, ...]:
    """An app has an appid of its own, which the provider's official account cannot replace."""
    contract = request.merchant.contract
    match request.text("trade_type"):
        case "APP":
            return (contract.app_appid,)
        case "JSAPI":
            return "", contract.sub_appid, contract.mini_appid
        case _:
            return "", contract.sub_appid


def _check_product(request: AdmittedRequest) -> None:
    if not request.text("product_id") and current_profile(request.connection).is_strict:
        raise Missing("product_id")
