"""One signature, one reading: counts the parameters that a call reads or refuses in the signed text. Pure.

Requests and checkout links sign `name=value` joined with `&`, unescaped. One text can therefore be split in several
ways: a product name that contains `&txamt=1` can become a parameter of its own, and a whole text can be sent to another
call. After the signature is verified, each name that the call reads must occur in the text exactly as often as it was
sent: once or never. Names that the call refuses must not occur at all.

An added parameter cannot be detected: if the signer sent no `limit_pay` and one of the values contains
`&limit_pay=no_credit`, the text with the parameter is the signed one. Only the signer can prevent that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from tael.qfpay.signature import SIGN, joined

#: An address may repeat parameters of its own order. Splitting it there gives the same values.
URLS: Final = frozenset({"notify_url", "return_url", "failed_url", "cancel_url"})
#: Of the link that leads a payer to WeChat's consent.
REDIRECT_URI: Final = "redirect_uri"
#: Members of webhooks only, in one spelling or both. The same key signs them.
WEBHOOK: Final = frozenset({"respmsg", "respmesg"})
#: Every checkout link has it, nothing else does.
PAYSOURCE: Final = "paysource"
#: Every link to WeChat's consent has it, nothing else does.
APP_CODE: Final = "app_code"


@dataclass(frozen=True)
class Names:
    """The parameters known to a call."""

    read: frozenset[str]
    refused: frozenset[str] = (
        frozenset()
    )  #: refused with a value; clients that send every field leave them empty
    foreign: frozenset[str] = frozenset()  #: of another kind of message: refused even if empty

    @cached_property
    def known(self) -> tuple[str, ...]:
        """All of them, in alphabetical order."""
        return tuple(sorted(self.read | self.unwanted))

    @cached_property
    def unwanted(self) -> frozenset[str]:
        """Those that the call refuses, with a value or at all."""
        return self.refused | self.foreign


def misread(values: Mapping[str, str], names: Names) -> str:
    """The first parameter that the call refuses or that makes the text ambiguous; "" if none.

    `values` are all received parameters. `sign` is never part of the signed text.
    """
    if values.keys().isdisjoint(names.unwanted) and _is_plain(values):
        return ""
    text = _text(values, names)
    for name in names.known:
        if text.count(f"&{name}=") != _allowed(name, values, names):
            return name
    return ""


def _is_plain(values: Mapping[str, str]) -> bool:
    """Whether no value and no name contains a separator: then the text cannot be split in another way."""
    names = "".join(values)
    return "&" not in names and "=" not in names and "&" not in "".join(values.values())


def _allowed(name: str, values: Mapping[str, str], names: Names) -> int:
    """How often `name` may occur in the text."""
    if name in names.foreign or (name in names.refused and values.get(name)):
        return 0
    return int(name in values)


def _text(values: Mapping[str, str], names: Names) -> str:
    """All parameters sorted by name, with a `&` also before the first."""
    pairs = sorted((name, value) for name, value in values.items() if name != SIGN)
    return "&" + joined((name, _without_repeats(name, value, values, names)) for name, value in pairs)


def _without_repeats(name: str, value: str, values: Mapping[str, str], names: Names) -> str:
    """An address without pairs that repeat a parameter of the request with the same value."""
    if name not in URLS | {REDIRECT_URI} or "&" not in value:
        return value
    first, *pairs = value.split("&")
    repeats = {f"{each}={values[each]}" for each in names.read & values.keys()}
    return "&".join([first, *(pair for pair in pairs if pair not in repeats)])
