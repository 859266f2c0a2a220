"""Checkout links: the parameters that one has, and what they mean. Pure."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from tael.base import ids
from tael.base.money import Money
from tael.merchants.domain.merchant import App, Merchant
from tael.payments.domain.checkout import CheckoutLink
from tael.qfpay import fields
from tael.qfpay.requests import ORDER
from tael.qfpay.signature import LANG
from tael.qfpay.signed_names import APP_CODE, PAYSOURCE, URLS, WEBHOOK, Names

#: Without `lang`, which most clients do not sign.
LINK_NAMES: Final = Names(
    read=ORDER
    | URLS
    | {"appcode", "sign_type", PAYSOURCE, "txamt", "txcurrcd", "udid", "sub_openid", "limit_pay"}
    | {"product_name", "goods_name", "expired_time", "checkout_expired_time"},
    refused=frozenset({"pay_type", "auth_code", "syssn", "respcd"}),
    foreign=WEBHOOK | {APP_CODE},
)
LINK_NAMES_WITH_LANG: Final = replace(LINK_NAMES, read=LINK_NAMES.read | {LANG})

CHECKOUT_SOURCE: Final = re.compile(r"[A-Za-z0-9_-]{0,64}_checkout")
CHECKOUT_DEFAULT_MIN: Final = 120
CHECKOUT_MAX_MIN: Final = 999
#: A Unix time in milliseconds.
UNIX_MS: Final = re.compile(r"[0-9]{13}")
UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def link_of(params: Mapping[str, str], app: App, merchant: Merchant, now: datetime) -> CheckoutLink:
    """The signed link. Raises BadField."""
    fields.shaped(params, PAYSOURCE, CHECKOUT_SOURCE, "a name that ends in _checkout", required=True)
    fields.web_url(params, "notify_url")
    order_min = fields.expired_time(params)
    fixed_end = checkout_end(params)
    return CheckoutLink(
        mchid=merchant.mchid,
        reference=fields.reference(params),
        link_id=ids.link_id(),
        appcode=app.appcode,
        amount=Money(
            fields.amount_minor(params),
            fields.text(params, "txcurrcd", max_len=3) or merchant.currency,
        ),
        subject=fields.product_name(params),
        openid=fields.openid(params, required=False),
        client_time=fields.moment_text(params, required=False),
        device=fields.device(params),
        return_url=fields.web_url(params, "return_url"),
        failed_url=fields.web_url(params, "failed_url"),
        cancel_url=fields.web_url(params, "cancel_url"),
        order_s=None if order_min is None else order_min * 60,
        forbid_credit=fields.forbid_credit(params),
        created_at=now,
        expires_at=fixed_end or now + timedelta(minutes=checkout_min(params)),
        has_fixed_end=fixed_end is not None,
    )


def checkout_end(params: Mapping[str, str]) -> datetime | None:
    """The expiry of the link, if the merchant gives an instant. It may be in the past."""
    value = params.get("checkout_expired_time", "")
    return UNIX_EPOCH + timedelta(milliseconds=int(value)) if UNIX_MS.fullmatch(value) else None


def checkout_min(params: Mapping[str, str]) -> int:
    """How long the link can be used, in minutes from its first opening."""
    what = (
        f"a whole number of minutes from 1 to {CHECKOUT_MAX_MIN}, or a Unix time in milliseconds of 13 digits"
    )
    minutes = fields.whole_number(
        params, "checkout_expired_time", what, lambda number: 1 <= number <= CHECKOUT_MAX_MIN
    )
    return CHECKOUT_DEFAULT_MIN if minutes is None else minutes
