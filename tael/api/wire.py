"""Parses requests to parameters and writes responses, in the forms that QFPay's clients use.

Independent of keys and of the parameters' meaning. Parameters may be in the query string, a form, a multipart body or a
body without a Content-Type, in UTF-8 or GB18030. The result is one set with each name once.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from typing import Final

from msgspec import Struct
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

#: Whether a text has nothing to unquote.
IS_PLAIN: Final = re.compile(rb"[^%+]*").fullmatch
ESCAPES: Final = re.compile(rb"(?:%[0-9A-Fa-f]{2})+")
BEGINS_LIKE_JSON: Final = re.compile(r"\s*[{\[]").match
#: The first of a pair.
NAME_OF: Final = itemgetter(0)

BytePair = tuple[bytes, bytes]

ENCODER: Final = json.JSONEncoder(allow_nan=False)


class Parameters(Struct, frozen=True):
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
    boundary = multipart_boundary(headers)
    if body and boundary is not None:
        parts = Parts(boundary)
        parts.write(body)
        parts.close()
        return multipart_parameters(query_string, parts.pairs)
    return _parameters(raw_pairs(query_string) + raw_pairs(body), [], [query_string, body])


def multipart_boundary(headers: Headers) -> bytes | None:
    """The boundary of a multipart body, perhaps empty; None for any other body."""
    content_type, options = parse_options_header(headers.get("content-type", ""))
    return options.get(b"boundary", b"") if content_type == b"multipart/form-data" else None


def multipart_parameters(query_string: bytes, in_body: list[BytePair]) -> Parameters:
    """As `read_parameters`, with the text parts of a multipart body. Raises UnreadableMessage, BadField."""
    return _parameters(raw_pairs(query_string), in_body, [query_string])


def _parameters(raw: list[BytePair], in_body: list[BytePair], forms: list[bytes]) -> Parameters:
    check_count(len(raw) + len(in_body))  # before decoding, which is the expensive part
    pairs = [
        (name if IS_PLAIN(name) else unquoted(name), value if IS_PLAIN(value) else unquoted(value))
        for name, value in raw
    ]
    pairs += in_body
    check_names(pairs)
    charset, decoded = decoded_pairs(pairs)
    return Parameters(each_once(decoded), tuple(form for form in forms if form), charset)


# ---- pairs out of bytes ------------------------------------------------------------------------------------


def raw_pairs(text: bytes) -> list[BytePair]:
    """The undecoded pairs of a form or query string."""
    return [chunk.partition(b"=")[::2] for chunk in text.split(b"&") if chunk]


def unquoted(text: bytes) -> bytes:
    """Like `urllib.parse.unquote_to_bytes`, which takes forty times as long for a text of `%` only."""
    return ESCAPES.sub(_unescaped, text.replace(b"+", b" "))


def _unescaped(escapes: re.Match[bytes]) -> bytes:
    return bytes.fromhex(escapes[0].replace(b"%", b"").decode())


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file of a multipart body. Its file name and declared type are not kept."""

    name: bytes  #: the parameter's
    content: bytes = field(repr=False)
    is_too_large: bool  #: then `content` is not whole


class Parts:
    """The parts of a multipart body, from its bytes in order: `write` each piece, then `close`.

    Files are kept up to `max_file_bytes` each; they are never signed. The size of the whole body is the caller's to
    limit, that of all text parts is limited here. Raises UnreadableMessage.
    """

    def __init__(
        self, boundary: bytes, *, max_file_bytes: int = 0, max_text_bytes: int | None = None
    ) -> None:
        self.pairs: list[BytePair] = []
        self.files: list[FilePart] = []
        self._max_file_bytes = max_file_bytes
        self._remaining_text_bytes = max_text_bytes
        self._is_finished = False
        self._parts = -1
        self._begin()
        self._boundary = boundary
        self._parser: MultipartParser | None = None

    def write(self, piece: bytes) -> None:
        with _unreadable():
            self._parser = self._parser or self._new_parser()
            self._parser.write(piece)

    def _new_parser(self) -> MultipartParser:
        if not self._boundary:
            raise UnreadableMessage("the multipart body has no end")
        return MultipartParser(
            self._boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._add_header_name,
                "on_header_value": self._add_header_value,
                "on_header_end": self._end_header,
                "on_part_data": self._add_content,
                "on_part_end": self._end,
                "on_end": self._finish,
            },
        )

    def close(self) -> None:
        """The body is complete: `pairs` and `files` are all that it has."""
        if not self._is_finished:
            raise UnreadableMessage("the multipart body has no end")

    def _begin(self) -> None:
        self._parts += 1
        check_count(self._parts)
        self._disposition: dict[bytes, bytes] = {}
        self._content = bytearray()
        self._length = 0
        self._reset_header()

    def _add_header_name(self, text: bytes, start: int, end: int) -> None:
        self._header_name += text[start:end]

    def _add_header_value(self, text: bytes, start: int, end: int) -> None:
        self._header_value += text[start:end]

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            _, self._disposition = parse_options_header(bytes(self._header_value))
        self._reset_header()

    def _add_content(self, text: bytes, start: int, end: int) -> None:
        self._length += end - start
        if not self._is_file:
            self._count_text(end - start)
            self._content += text[start:end]
        elif self._length <= self._max_file_bytes:
            self._content += text[start:end]

    def _count_text(self, length: int) -> None:
        if self._remaining_text_bytes is not None:
            self._remaining_text_bytes -= length
            if self._remaining_text_bytes < 0:
                raise UnreadableMessage("the text parts of the multipart body are too long")

    def _end(self) -> None:
        name = self._disposition.get(b"name")
        if self._is_file:
            self._end_file(name)
        elif name is None:
            raise UnreadableMessage("a part of the multipart body has no name")
        else:
            self.pairs.append((name, bytes(self._content)))

    def _end_file(self, name: bytes | None) -> None:
        # A browser sends a field without a chosen file as one without a name and without content.
        if self._length or self._disposition[b"filename"]:
            is_too_large = self._length > self._max_file_bytes
            content = b"" if is_too_large else bytes(self._content)
            self.files.append(FilePart(name or b"", content, is_too_large))
        self._content = bytearray()

    def _finish(self) -> None:
        self._is_finished = True

    @property
    def _is_file(self) -> bool:
        return b"filename" in self._disposition

    def _reset_header(self) -> None:
        self._header_name, self._header_value = bytearray(), bytearray()


@contextmanager
def _unreadable() -> Iterator[None]:
    try:
        yield
    except FormParserError as error:
        raise UnreadableMessage("the multipart body is broken") from error


# ---- one set of values -------------------------------------------------------------------------------------


def check_count(parameters: int) -> None:
    if parameters > MAX_PARAMETERS:
        raise UnreadableMessage(f"there are more than {MAX_PARAMETERS} parameters")


def check_names(pairs: list[BytePair]) -> None:
    if sum(map(len, map(NAME_OF, pairs))) > MAX_NAMES_BYTES:
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


def check_readable(pairs: Sequence[tuple[str, str]]) -> None:
    """Refuses NUL characters, and JSON sent as a parameter.

    Our responses and new-style webhooks are JSON, signed over their exact bytes. If a name could begin like JSON, those
    bytes could be sent back as a signed request.
    """
    if "\0" in "".join(chain.from_iterable(pairs)) and any(
        "\0" in name or ("\0" in value and name != MAY_CONTAIN_NUL) for name, value in pairs
    ):
        raise UnreadableMessage("a parameter holds a NUL character")
    if any(map(BEGINS_LIKE_JSON, map(NAME_OF, pairs))):
        raise UnreadableMessage("the parameters are JSON; send a form")


def each_once(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Each name once. A repeated name must have the same value: two values would be ambiguous."""
    values = dict(pairs)
    if len(values) < len(pairs):
        for name, value in pairs:
            if values[name] != value:
                raise BadField.malformed(name, "was sent twice, with different values")
    return values


# ---- answers -----------------------------------------------------------------------------------------------


def json_text(members: Mapping[str, object]) -> bytes:
    """`members` as written by Python's json.dumps: one client unescapes exactly this form by hand."""
    return ENCODER.encode(members).encode("ascii")


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
