"""Refuses values that could be read as another parameter, before they are signed. Pure.

Requests and links are signed as `name=value` joined with `&`, unescaped. A captured text can be split in another way: a
product name that contains `&txamt=1` becomes an amount, or the whole text becomes a webhook. The receiver cannot detect
all of this, so the signer has to prevent it.
"""

import re
from collections.abc import Collection, Mapping
from typing import Final

#: Addresses. They use `&` for their own parameters.
URL_NAMES: Final = frozenset({"notify_url", "return_url", "failed_url", "cancel_url"})
MERCHANT_NAMES: Final = frozenset({"mchid", "Mchid", "mchntid"})
#: Parameters of both payments and checkout links.
ORDER_NAMES: Final = (
    MERCHANT_NAMES
    | {"out_trade_no", "txdtm", "txamt", "txcurrcd", "udid", "sub_openid", "product_name", "goods_name"}
    | {"expired_time", "limit_pay"}
)
PAYMENT_NAMES: Final = ORDER_NAMES | {"pay_type", "auth_code", "valid_time"}
LINK_NAMES: Final = ORDER_NAMES | URL_NAMES | {"appcode", "sign_type", "paysource", "checkout_expired_time"}
#: Each kind of signed text has some of these that no other kind has. A text without them cannot become another kind.
KIND_NAMES: Final = frozenset(
    {"syssn", "pay_type", "paysource", "respcd", "respmsg", "respmesg", "auth_code"}
)
#: Never part of the text that this client signs.
UNSIGNED_NAMES: Final = frozenset({"sign", "lang"})
#: Every parameter of the calls, of links and of webhooks.
PROTOCOL_NAMES: Final = (
    PAYMENT_NAMES
    | LINK_NAMES
    | KIND_NAMES
    | UNSIGNED_NAMES
    | {"start_time", "end_time", "page", "page_size", "notify_type", "txzone"}
    | {"date_start", "date_end", "paymethod", "trade_date"}
)

#: Forbidden in `more`: parameters that would make it another kind of signed text.
NOT_IN_A_PAYMENT: Final = frozenset({"syssn", "paysource", "respmsg", "respmesg", "notify_type"})
NOT_IN_A_LINK: Final = frozenset(
    {"syssn", "pay_type", "auth_code", "respcd", "respmsg", "respmesg", "notify_type"}
)

MORE_NAME: Final = re.compile(r"[A-Za-z0-9_]+")
#: Each place where a text can be split, with the name and the value of the parameter that begins there.
PAIR: Final = re.compile(r"&([^&=]*)=([^&]*)")


def hidden_name(text: str, names: Collection[str] = PROTOCOL_NAMES) -> str:
    """The first of `names` that occurs in the text as a parameter, or ""."""
    return next((name for name, _ in PAIR.findall(text) if name in names), "")


def check_values(params: Mapping[str, str], own_names: Collection[str]) -> None:
    """Raises ValueError for a value that contains a parameter. The value itself is not in the message.

    `own_names` are the parameters that this call or link can have. In text, `&` must not be followed by a parameter
    name of the protocol. In an address, a parameter may repeat the value that it has here: splitting there changes
    nothing.
    """
    for name, value in params.items():
        if name in URL_NAMES:
            _check_url(name, value, params, own_names)
        else:
            _check_text(name, value, params)


def _check_text(name: str, value: str, params: Mapping[str, str]) -> None:
    hidden = hidden_name(value, PROTOCOL_NAMES | params.keys())
    if hidden:
        raise ValueError(
            f'{name} must not contain "&{hidden}=", which can be read as the parameter {hidden}; in text written by '
            "others, replace & with the fullwidth ＆ (U+FF06)"
        )


def _check_url(name: str, value: str, params: Mapping[str, str], own_names: Collection[str]) -> None:
    for hidden, repeated in PAIR.findall(value):
        is_known = hidden in own_names or hidden in KIND_NAMES or hidden in params
        if is_known and hidden not in UNSIGNED_NAMES and params.get(hidden) != repeated:
            raise ValueError(
                f'{name} must not contain "&{hidden}=" with a value other than that of {hidden} here: it can be read '
                f"as the parameter {hidden}; rename it in the address"
            )


def check_more(more: Mapping[str, str], own_names: Collection[str], foreign_names: Collection[str]) -> None:
    """Raises ValueError for an invalid name in `more`, one with its own argument, or one of another kind of message."""
    for name in more:
        if not MORE_NAME.fullmatch(name):
            raise ValueError("a name in more must consist of ASCII letters, digits and underscores")
        if name == "sign":
            raise ValueError("more must not contain sign: the client computes it")
        if name in foreign_names:
            raise ValueError(f"more must not contain {name}: it belongs to another kind of message")
        if name in own_names:
            raise ValueError(f"more must not contain {name}: it has an argument of its own")
