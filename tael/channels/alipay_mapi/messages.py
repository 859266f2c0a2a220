"""Parses Alipay's messages: the envelope of an XML response, and the form of a notice.

An envelope contains whether the gateway accepted the request, and at most one flat node with the result. Parsing is
strict: a document type, an entity, a nested or a repeated field is unreadable, because the signature covers only the
flat list of fields and must be unambiguous.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from tael.base.xml import NotXml, parse_xml
from tael.channels.alipay_mapi.account import AlipayAccount
from tael.channels.alipay_mapi.signing import is_genuine

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

PROLOG: Final = re.compile(rb"^\s*<\?xml\s[^>]*?\?>")
ENCODING: Final = re.compile(rb"""encoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
#: The gateway responds in GBK if it read our request as GBK, whatever charset was requested.
CHARSETS: Final = {"utf-8": "utf-8", "utf8": "utf-8", "gbk": "gbk", "gb2312": "gbk", "gb18030": "gb18030"}
MAX_FIELDS: Final = 200


class Unreadable(Exception):
    """Not a response or notice in Alipay's format."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """`is_success` F: the gateway or the service refused. Never signed."""

    code: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """`is_success` T without a node: the request was accepted. Unsigned, so it proves nothing."""


@dataclass(frozen=True, slots=True)
class Node:
    """`is_success` T with a node, not verified yet."""

    fields: Mapping[str, str]
    sign: str
    sign_type: str
    charset: str

    def is_genuine(self, account: AlipayAccount) -> bool:
        """Whether the wallet signed it. A response may omit its sign type."""
        sign_type = self.sign_type or account.sign_type
        return is_genuine(self.fields, self.sign, sign_type, account, self.charset)


Envelope = Rejected | Accepted | Node


def read_envelope(body: bytes) -> Envelope:
    """Parse an XML response. Raises Unreadable."""
    root, charset = _xml(body)
    if root.tag != "alipay":
        raise Unreadable(f"the root is {root.tag[:40]!r}")
    top = _flat(root, without={"request", "response"})
    match top.get("is_success"):
        case "F":
            return Rejected(top.get("error", ""))
        case "T":
            responses = root.findall("response")
            if not responses or (len(responses) == 1 and not len(responses[0])):
                return Accepted()
            if len(responses) > 1 or len(responses[0]) > 1:
                raise Unreadable("more than one node")
            return Node(_flat(responses[0][0]), top.get("sign", ""), top.get("sign_type", ""), charset)
        case other:
            raise Unreadable(f"is_success {other!r}")


def _xml(body: bytes) -> tuple["Element", str]:
    prolog = PROLOG.match(body)
    declared = ENCODING.search(prolog.group()) if prolog else None
    charset = CHARSETS.get(declared.group(1).decode().lower(), "") if declared else "utf-8"
    if not charset:
        raise Unreadable("an encoding that Alipay does not use")
    try:
        # The parser does not support GBK: decode here and drop the prolog that names the encoding.
        text = body[prolog.end() if prolog else 0 :].decode(charset)
        return parse_xml(text), charset
    except (NotXml, UnicodeDecodeError) as error:
        reason = error if isinstance(error, NotXml) else f"not {charset}"
        raise Unreadable(f"not valid XML: {reason}") from error


def _flat(element: "Element", without: Collection[str] = ()) -> dict[str, str]:
    fields: dict[str, str] = {}
    for child in element:
        if child.tag in without:
            continue
        if len(child) or child.tag in fields:
            raise Unreadable(f"{child.tag[:40]!r} is nested or repeated")
        fields[child.tag] = child.text or ""
    return fields


@dataclass(frozen=True, slots=True)
class Form:
    """A decoded notice, with the charset in which it was signed."""

    fields: Mapping[str, str]
    charset: str


def read_form(body: bytes) -> Form:
    """Parse a notice's form: UTF-8, or GBK if the bytes are not UTF-8. Raises Unreadable."""
    for charset in ("utf-8", "gbk"):
        try:
            pairs = parse_qsl(
                body.decode("ascii"),
                keep_blank_values=True,
                encoding=charset,
                errors="strict",
                max_num_fields=MAX_FIELDS,
            )
        except ValueError:  # undecodable in this charset, or too many fields
            continue
        fields = dict(pairs)
        if len(fields) != len(pairs):
            raise Unreadable("a field is repeated")
        return Form(fields, charset)
    raise Unreadable("not a form")
