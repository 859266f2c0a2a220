"""The XML of V2: reads requests, writes replies and notices.

A message is one flat element, named `xml` when the wallet writes it. DTDs and entities are refused, since expanding
them would let a sender read local files. Values keep their spaces, because spaces are signed.
"""

import re
from collections.abc import Mapping
from typing import Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring
from starlette.responses import Response

from tael_sandbox.wechat.signing import sign

MAX_BODY_BYTES: Final = 256 * 1024

Value = str | int
Fields = Mapping[str, Value]

_OUTSIDE_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class BadXml(Exception):
    """Not a flat UTF-8 message."""


def read_message(body: bytes, root: str | None = "xml") -> dict[str, str]:
    """The fields of a message; empty elements are empty strings. With `root` None any root is accepted."""
    if len(body) > MAX_BODY_BYTES:
        raise BadXml("too long")
    try:
        # Decoded here, so that an encoding in the XML declaration cannot change the signed text.
        message_root: Element = fromstring(body.decode("utf-8-sig"), forbid_dtd=True)
    except (UnicodeDecodeError, ParseError, DefusedXmlException, ValueError) as error:
        raise BadXml(str(error)) from error
    if root not in (None, message_root.tag) or message_root.attrib:
        raise BadXml(f"the root is not a plain {root or ''} element")
    fields: dict[str, str] = {}
    for child in message_root:
        if len(child) or child.attrib or child.tag in fields:
            raise BadXml(f"{child.tag!r} is not flat, or is repeated")
        fields[child.tag] = child.text or ""
    return fields


def write_message(fields: Fields, root: str = "xml") -> bytes:
    """One element per line, text in CDATA and integers bare, as the wallet writes them."""
    lines = [f"<{name}>{_formatted(value)}</{name}>" for name, value in fields.items()]
    return "\n".join([f"<{root}>", *lines, f"</{root}>"]).encode()


def _formatted(value: Value) -> str:
    if isinstance(value, int):
        return str(value)
    text = _OUTSIDE_XML.sub("", value)
    if "\r" in text:  # XML parsers turn it into a line feed inside CDATA, which would break the signature
        escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return escaped.replace("\r", "&#13;")
    return "<![CDATA[" + text.replace("]]>", "]]]]><![CDATA[>") + "]]>"


def signed(fields: Fields, key: str, sign_type: str) -> dict[str, Value]:
    """The same fields with `sign` added."""
    return {**fields, "sign": sign({name: str(value) for name, value in fields.items()}, key, sign_type)}


def xml_reply(fields: Fields) -> Response:
    return Response(write_message(fields), media_type="text/plain")


def unsigned_refusal(err_code: str, err_code_des: str) -> Response:
    """A layer-2 FAIL for a sender whose numbers are unknown or do not match."""
    error = {"result_code": "FAIL", "err_code": err_code, "err_code_des": err_code_des}
    return xml_reply({"return_code": "SUCCESS", "return_msg": "OK", **error})


def failure(return_msg: str) -> Response:
    """A layer-1 FAIL: the call did not reach the business layer, and the reply is not signed."""
    return xml_reply({"return_code": "FAIL", "return_msg": return_msg})
