"""A signed link to the checkout page, where the payer chooses the wallet. Pure.

As in QFPay's later documents: all parameters that have a value are signed, including `appcode` and `sign_type` but not
`lang`. Values are signed unencoded and percent-encoded in the link. The documents recommend SHA256 in lower case.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlencode

from tael_client.addresses import checked_base_url
from tael_client.injection import LINK_NAMES, NOT_IN_A_LINK, check_more, check_values
from tael_client.moments import wire_text
from tael_client.money import Money
from tael_client.orders import check_amount, check_number
from tael_client.signing import SIGN, Credentials, SignType, sign_params

#: The page's language. Not signed.
LANG: Final = "lang"
SOURCE_END: Final = "_checkout"


def checkout_link(
    base_url: str,
    credentials: Credentials,
    *,
    reference: str,
    amount: Money,
    at: datetime,
    paysource: str,
    return_url: str,
    failed_url: str,
    notify_url: str,
    sign_type: SignType = SignType.SHA256,
    more: Mapping[str, str] | None = None,
    allow_http: bool = False,
) -> str:
    """The address to open in the payer's browser.

    `paysource` is the name that QFPay gave your shop; it ends with `_checkout`. `at` is sent as `txdtm`. `more` has
    further parameters, such as `goods_name`, `expired_time` (minutes), `cancel_url` and `lang`. `allow_http` as in
    `Client`. Raises ValueError, also for a value that could be read as another parameter; see `injection`.
    """
    page = checked_base_url(base_url, allow_http=allow_http)
    check_number(reference)
    check_amount(amount)
    if not amount.currency:
        raise ValueError("amount must have a currency")
    if not paysource.endswith(SOURCE_END):
        raise ValueError(f"paysource must end with {SOURCE_END}")
    own = {
        "appcode": credentials.appcode,
        "sign_type": sign_type.value,
        "paysource": paysource,
        "txamt": str(amount.amount_minor),
        "txcurrcd": amount.currency,
        "out_trade_no": reference,
        "txdtm": wire_text(at),
        "return_url": return_url,
        "failed_url": failed_url,
        "notify_url": notify_url,
    }
    check_more(more or {}, own, NOT_IN_A_LINK)
    params = {name: value for name, value in {**(more or {}), **own}.items() if value}
    check_values(params, LINK_NAMES)
    signed = {name: value for name, value in params.items() if name != LANG}
    params[SIGN] = sign_params(signed, replace(credentials, sign_type=sign_type)).lower()
    return f"{page}/checkstand/#/?{urlencode(params, quote_via=quote, safe='')}"
