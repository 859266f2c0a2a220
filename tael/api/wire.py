"""Parses requests to parameters and writes responses, in the forms that QFPay's clients use.

Independent of keys and of the parameters' meaning. Parameters may be in the query string, a form, a multipart body or a
body without a Content-Type, in UTF-8 or GB18030. The result is one set with each name once.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers
from starlette.responses import Response

from tael.merchants.domain.merchant import App
from tael.qfpay.errors import BadField, UnreadableMessage
from tael.qfpay.signature import sign_body

MAX_PARAMETERS: Final = 200
MAX_NAMES_BYTES: Final = 64 * 1024

#: Java and C# samples on a Chinese Windows send the system's charset but sign UTF-8.
CHARSETS: Final = ("utf-8", "gb18030")

#: Scanners may end a code with NUL. It is part of the signed text, is trimmed later and never stored. No other
#: parameter may contain NUL.
MAY_CONTAIN_NUL: Final = "auth_code"

ESCAPES: Final = re.compile(rb"(?:%[0-9A-Fa-f]{2})+")

BytePair = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of a request, not yet verified."""

    values: Mapping[str, str]  #: percent-decoded, with `sign`; not trimmed, since whitespace is signed
    raw_texts: tuple[bytes, ...]  #: the non-empty ones of query string and form body, exactly as sent
    charset: str  #: one of CHARSETS


def read_parameters(query_string: bytes, headers: Headers, body: bytes) -> Parameters:
    """All parameters of a request, whatever its method and Content-Type.

    Raises UnreadableMessage, and BadField for a name with two values.
    """
    if body.lstrip().startswith((b"{", b"[")):
        raise UnreadableMessage("the body is JSON; send a form")
    content_type, options = parse_options_header(headers.get("content-type", ""))
    raw = raw_pairs(query_string)
    if body and content_type == b"multipart/form-data":
        in_body, forms = multipart_pairs(body, options.get(b"boundary", b"")), [query_string]
    else:
        raw, in_body, forms = raw + raw_pairs(body), [], [query_string, body]
    check_count(len(raw) + len(in_body))  # before decoding, which is the expensive part
    pairs = [*((unquoted(name), unquoted(value)) for name, value in raw), *in_body]
    check_names(pairs)
    charset, decoded = decoded_pairs(pairs)
    return Parameters(each_once(decoded), tuple(form for form in forms if form), charset)


# ---- pairs out of bytes ------------------------------------------------------------------------------------


def raw_pairs(text: bytes) -> list[BytePair]:
    """The undecoded pairs of a form or query string."""
    chunks = (chunk.partition(b"=") for chunk in text.split(b"&") if chunk)
    return [(name, value) for name, _, value in chunks]


def unquoted(text: bytes) -> bytes:
    """Like `urllib.parse.unquote_to_bytes`, which takes forty times as long for a text of `%` only."""
    return ESCAPES.sub(_unescaped, text.replace(b"+", b" "))


def _unescaped(escapes: re.Match[bytes]) -> bytes:
    return bytes.fromhex(escapes[0].replace(b"%", b"").decode())


def multipart_pairs(body: bytes, boundary: bytes) -> list[BytePair]:
    """The text parts of a multipart body. Files are skipped: they are never signed."""
    parts = TextParts()
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": parts.begin,
                "on_header_field": parts.add_header_name,
                "on_header_value": parts.add_header_value,
                "on_header_end": parts.end_header,
                "on_part_data": parts.add_content,
                "on_part_end": parts.end,
                "on_end": parts.finish,
            },
        )
        parser.write(body)
    except FormParserError as error:
        raise UnreadableMessage("the multipart body is broken") from error
    if not boundary or not parts.finished:
        raise UnreadableMessage("the multipart body has no end")
    return parts.pairs


class TextParts:
    """Collects the text parts from the multipart parser's callbacks. `pairs` is complete once `finished`."""

    def __init__(self) -> None:
        self.pairs: list[BytePair] = []
        self.finished = False
        self._parts = -1
        self.begin()

    def begin(self) -> None:
        self._parts += 1
        check_count(self._parts)
        self._disposition: dict[bytes, bytes] = {}
        self._content = bytearray()
        self._reset_header()

    def add_header_name(self, text: bytes, start: int, end: int) -> None:
        self._header_name += text[start:end]

    def add_header_value(self, text: bytes, start: int, end: int) -> None:
        self._header_value += text[start:end]

    def end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            _, self._disposition = parse_options_header(bytes(self._header_value))
        self._reset_header()

    def add_content(self, text: bytes, start: int, end: int) -> None:
        self._content += text[start:end]

    def end(self) -> None:
        if b"filename" in self._disposition:
            return
        name = self._disposition.get(b"name")
        if name is None:
            raise UnreadableMessage("a part of the multipart body has no name")
        self.pairs.append((name, bytes(self._content)))

    def finish(self) -> None:
        self.finished = True

    def _reset_header(self) -> None:
        self._header_name, self._header_value = bytearray(), bytearray()


# ---- one set of values -------------------------------------------------------------------------------------


def check_count(parameters: int) -> None:
    if parameters > MAX_PARAMETERS:
        raise UnreadableMessage(f"there are more than {MAX_PARAMETERS} parameters")


def check_names(pairs: list[BytePair]) -> None:
    if sum(len(name) for name, _ in pairs) > MAX_NAMES_BYTES:
        raise UnreadableMessage("the names of the parameters are too long")


def decoded_pairs(pairs: list[BytePair]) -> tuple[str, list[tuple[str, str]]]:
    """The charset in which all pairs are valid, and the pairs as text."""
    for charset in CHARSETS:
        try:
            decoded = [(name.decode(charset), value.decode(charset)) for name, value in pairs]
        except UnicodeDecodeError:
            continue
        check_readable(decoded)
        return charset, decoded
    raise UnreadableMessage("the parameters are not UTF-8")


def check_readable(pairs: Iterable[tuple[str, str]]) -> None:
    """Refuses NUL characters, and JSON sent as a parameter.

    Our responses and new-style webhooks are JSON, signed over their exact bytes. If a name could begin like JSON, those
    bytes could be sent back as a signed request.
    """
    for name, value in pairs:
        if "\0" in name or ("\0" in value and name != MAY_CONTAIN_NUL):
            raise UnreadableMessage("a parameter holds a NUL character")
        if name.lstrip().startswith(("{", "[")):
            raise UnreadableMessage("the parameters are JSON; send a form")


def each_once(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Each name once. A repeated name must have the same value: two values would be ambiguous."""
    values: dict[str, str] = {}
    for name, value in pairs:
        if values.setdefault(name, value) != value:
            raise BadField.malformed(name, "was sent twice, with different values")
    return values


# ---- answers -----------------------------------------------------------------------------------------------


def json_text(members: Mapping[str, object]) -> bytes:
    """`members` as written by Python's json.dumps: one client unescapes exactly this form by hand."""
    return json.dumps(members, allow_nan=False).encode("ascii")


def answer(members: Mapping[str, object], app: App | None, status: int = 200) -> Response:
    """The response with `members`, signed with the key of `app`, whose signature on the request was verified.

    Other responses (`app` None) are never signed: an error that repeats text of an unknown sender would give the
    sender a signature for it.
    """
    body = json_text(members)
    headers = {"Content-Type": "application/json; charset=UTF-8", "X-Powered-By": "QF/1.1"}
    if app is not None:
        headers["X-QF-SIGN"] = sign_body(body, app.key, app.response_algorithm)
    return Response(body, status, headers)
