"""The form of the shop's first page: turns the submitted fields into an order, or into an error for each field."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tael_client import Money, PayType

from tael_sandbox.shop.goods import MAX_QUANTITY, BadQuantity, Basket, read_basket
from tael_sandbox.shop.order import Order

REFERENCE: Final = re.compile(r"shop-[0-9a-f]{12}")
AUTH_CODE: Final = re.compile(r"[0-9]{16,24}")
OPENID: Final = re.compile(r"[\w-]{1,128}", re.ASCII)
#: The fields with the payer's openid under the shop's official account, and under its mini program.
OPENID_FIELDS: Final = {PayType.WECHAT_IN_APP: "openid", PayType.WECHAT_MINI_PROGRAM: "mini_openid"}
Typed = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Checkout:
    """An order that can be placed."""

    reference: str
    basket: Basket
    pay_type: PayType
    auth_code: str
    openid: str


def total_of(typed: Typed, currency: str) -> Money:
    """The total price; 0 while a quantity is invalid."""
    try:
        return read_basket(typed).total(currency)
    except BadQuantity:
        return Money(0, currency)


def repeat_form(order: Order) -> dict[str, str]:
    """The form that orders the same again, without the barcode, which is valid once."""
    counts = {name: str(count) for name, count in order.basket.counts.items() if count}
    return {**counts, "pay_type": order.pay_type.value}


def read_checkout(typed: Typed) -> tuple[Checkout | None, dict[str, str]]:
    """The order to place, or None and the errors by name of the field."""
    errors: dict[str, str] = {}
    basket, pay_type = _basket(typed, errors), _pay_type(typed, errors)
    auth_code = openid = ""
    if pay_type is not None and pay_type.is_barcode:
        auth_code = _auth_code(typed, errors)
    if pay_type is not None and pay_type.needs_openid:
        openid = _openid(typed, OPENID_FIELDS[pay_type], errors)
    if not REFERENCE.fullmatch(typed.get("reference", "")):
        errors["form"] = "This form is out of date. Please order again."
    if errors or basket is None or pay_type is None:
        return None, errors
    return Checkout(typed["reference"], basket, pay_type, auth_code, openid), errors


def _basket(typed: Typed, errors: dict[str, str]) -> Basket | None:
    try:
        basket = read_basket(typed)
    except BadQuantity as error:
        errors[error.name] = f"How many? A number from 0 to {MAX_QUANTITY}."
        return None
    if not basket.lines:
        errors["basket"] = "The basket is empty. Choose at least one item."
    return basket


def _pay_type(typed: Typed, errors: dict[str, str]) -> PayType | None:
    try:
        return PayType(typed.get("pay_type", ""))
    except ValueError:
        errors["pay_type"] = "Choose a payment method."
        return None


def _auth_code(typed: Typed, errors: dict[str, str]) -> str:
    """The phone shows it in groups of digits, so spaces are removed."""
    auth_code = "".join(typed.get("auth_code", "").split())
    if not AUTH_CODE.fullmatch(auth_code):
        errors["auth_code"] = "The code on the payer's phone has 16 to 24 digits. Copy it from there."
    return auth_code


def _openid(typed: Typed, field: str, errors: dict[str, str]) -> str:
    openid = typed.get(field, "").strip()
    if not OPENID.fullmatch(openid):
        errors[field] = "Inside WeChat, the payer's openid is required: letters, digits, - and _."
    return openid
