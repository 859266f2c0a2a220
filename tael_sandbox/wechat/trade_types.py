"""What an order requires because of its trade type, beyond the form of its elements.

NATIVE is a QR code, JSAPI a page inside WeChat or a mini program, APP a mobile app, and MWEB a page in another browser,
from which the payer changes to WeChat.
"""

import json
from collections.abc import Mapping
from typing import Final

from tael_sandbox.profiles import current_profile
from tael_sandbox.wechat.addresses import is_ip_address
from tael_sandbox.wechat.calls import BAD_FORM, UNBOUND, AdmittedRequest, Missing, Rejection, UnknownAccount
from tael_sandbox.wechat.registry import Merchant

#: By type of page in `scene_info`: what else it names.
_SCENES: Final[Mapping[object, tuple[str, str]]] = {
    "Wap": ("wap_url", "wap_name"),
    "IOS": ("app_name", "bundle_id"),
    "Android": ("app_name", "package_name"),
}


def check_trade_type(request: AdmittedRequest) -> None:
    """Raises Rejection."""
    check_appid(request, request.text("trade_type"))
    match request.text("trade_type"):
        case "NATIVE":
            _check_product(request)
        case "MWEB":
            _check_browser(request)


def check_appid(request: AdmittedRequest, trade_type: str) -> None:
    """Whether the trade type belongs to the merchant's own appid. Raises UnknownAccount."""
    merchant = request.merchant
    own_appid = request.text("appid" if merchant.is_direct else "sub_appid")
    if own_appid not in _allowed_appids(merchant, trade_type):
        raise UnknownAccount(UNBOUND, "APPID_MCHID_NOT_MATCH")


def _allowed_appids(merchant: Merchant, trade_type: str) -> tuple[str, ...]:
    """An app has an appid of its own, which the provider's official account cannot replace."""
    match trade_type:
        case "APP":
            return (merchant.contract.app_appid,)
        case "JSAPI":
            return "", merchant.official_appid, merchant.contract.mini_appid
        case _:
            return "", merchant.official_appid


def _check_product(request: AdmittedRequest) -> None:
    if not request.text("product_id") and current_profile(request.connection).is_strict:
        raise Missing("product_id")


def _check_browser(request: AdmittedRequest) -> None:
    if not request.text("scene_info"):
        raise Missing("scene_info")
    if not _is_scene(request.text("scene_info")):
        raise Rejection("scene_info" + BAD_FORM)
    if not is_ip_address(request.text("spbill_create_ip")):
        raise Rejection("spbill_create_ip" + BAD_FORM)


def _is_scene(text: str) -> bool:
    try:
        page = json.loads(text)["h5_info"]
        values = [page[name] for name in _SCENES[page["type"]]]
    except (ValueError, RecursionError, TypeError, KeyError):
        return False
    return all(isinstance(value, str) and value for value in values)
