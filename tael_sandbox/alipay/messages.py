"""Messages of the gateway: parameters from query and body, responses in XML.

A response is signed over the children of its one node. A refusal has an error code and no signature.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape, quoteattr

XML_TYPE: Final = "text/xml;charset=UTF-8"  # a Java client compares the text up to the semicolon
TEXT_TYPE: Final = "text/plain;charset=UTF-8"
CHARSETS: Final = {"utf-8": "utf-8", "gbk": "gbk", "gb2312": "gbk"}
DEFAULT_CHARSET: Final = "gbk"
FIELD_LIMIT: Final = 200
BODY_LIMIT_BYTES: Final = 256 * 1024
MAX_ECHO: Final = 100  #: characters of the name of a refused service
_UNFIT_FOR_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_BEYOND_ASCII: Final = re.compile(rb"[\x80-\xff]")


class Refused(Exception):
    """The gateway refuses the request: `is_success` F with this code, or an error page for a browser.

    `named` is the service's name if the service itself is refused.
    """

    def __init__(self, code: str, named: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.named = named


@dataclass(frozen=True, slots=True)
class Request:
    fields: Mapping[str, str]  #: all fields, decoded, including `sign`, `sign_type` and empty values
    charset: str  #: name of a codec


@dataclass(frozen=True, slots=True)
class Node:
    """A signed response: the name of the only element below `response`, and its flat children."""

    name: str
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bare:
    """`is_success` T and nothing else, unsigned: the response to refunds and closes of online trades."""


@dataclass(frozen=True, slots=True)
class Text:
    """A file, or the error of a request for one: plain text, unsigned."""

    content: str


def read_request(query: bytes, body: bytes) -> Request:
    """Merges query and body; the body takes precedence. Raises Refused for an unknown charset or too many fields."""
    named = _charset_named(query) or _charset_named(body) or DEFAULT_CHARSET
    charset = CHARSETS.get(named.lower())
    if charset is None:
        raise Refused("ILLEGAL_CHARSET")
    fields: dict[str, str] = {}
    for part in (query, body):
        fields.update(_decoded(part, charset))
    return Request(fields, charset)


def answer_xml(request: Mapping[str, str], node: Node, sign: str, sign_type: str) -> bytes:
    echo = _echo({name: value for name, value in request.items() if name not in ("sign", "sign_type")})
    children = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in node.fields.items())
    return _document(
        f"<is_success>T</is_success>{echo}"
        f"<response><{node.name}>{children}</{node.name}></response>"
        f"<sign>{sign}</sign><sign_type>{sign_type}</sign_type>"
    )


def bare_xml() -> bytes:
    return _document("<is_success>T</is_success>")


def refusal_xml(code: str, named: str = "") -> bytes:
    """Echoes the refused service, so that the response shows which call was refused."""
    echo = _echo({"service": _UNFIT_FOR_XML.sub("", named[:MAX_ECHO])}) if named else ""
    return _document(f"<is_success>F</is_success>{echo}<error>{code}</error>")


def is_fit_for_xml(text: str) -> bool:
    """No control characters and no lone surrogates: the echo cannot contain them."""
    return _UNFIT_FOR_XML.search(text) is None


def _echo(fields: Mapping[str, str]) -> str:
    params = (
        f"<param name={quoteattr(name)}>{escape(value)}</param>" for name, value in sorted(fields.items())
    )
    return f"<request>{''.join(params)}</request>"


def _document(content: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<alipay>{content}</alipay>'.encode()


def _charset_named(part: bytes) -> str | None:
    return next((value for name, value in _pairs(part, "latin-1") if name == "_input_charset"), None)


def _decoded(part: bytes, charset: str) -> dict[str, str]:
    return dict(_pairs(part, charset))


def _pairs(part: bytes, charset: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            _BEYOND_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], part).decode("ascii"),
            keep_blank_values=True,
            encoding=charset,
            errors="replace",
            max_num_fields=FIELD_LIMIT,
        )
    except ValueError:
        raise Refused("ILLEGAL_ARGUMENT") from None
