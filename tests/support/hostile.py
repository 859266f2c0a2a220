"""Hostile input for any route, and a check that a page did not take it for markup."""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from html.parser import HTMLParser
from typing import Any, Final
from urllib.parse import quote_from_bytes, urlencode

SCRIPT: Final = "\"'><script>window.ran = 1</script><img src=x onerror='window.ran = 1'>{{7*7}}&amp;"
MIB: Final = 1 << 20

#: Values for a text argument of a form, a query or a message.
TEXTS: Final = (
    *("", " ", "\x00", "a\x00b", "\x1b[2J", "a\r\nSet-Cookie: b=c", "\u202e", "\ufffe", "\U0001f600" * 99),
    *("-1", "1.5", "1e999", "NaN", "9" * 400, "\uff19", "0x1f", "' OR 1=1 --", "%00", "%s%n", "[]", "null"),
    *("../../etc/passwd", "/etc/passwd", "http://[", "http://m.example:99999/", "javascript:alert(1)"),
    *("99999999999", "1" + "0" * 15, "1" + "0" * 30, "99999", "0001-01-01", "9999-12-31"),
    *("0001-01-01 00:00:00", "9999-12-31 23:59:59", "00010101000000", "99991231235959"),
    *(SCRIPT, "x" * 5_000),
)
#: Bytes that are not valid UTF-8.
RAW: Final = (b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\xaf", b"a\xf0\x28\x8c\x28")
#: Values where JSON has a text or a number.
VALUES: Final[tuple[Any, ...]] = (
    *(0, -1, 1.5, True, False, 2**63, 10**11, 10**15, 10**30, 10**400, float("nan"), float("inf")),
    *([], [[]], ["ada"], {}, {"a": {"b": None}}),
    *("\ud800", "a\udfff", *TEXTS),
)
#: Bodies where JSON is expected: none is a non-empty object, most are not JSON.
DOCUMENTS: Final = (
    *(
        b"",
        b" ",
        b"\x00",
        b"{",
        b"}",
        b'{"a"',
        b"{'a': 1}",
        b'{"a": 1}x',
        b"\xff\xfe{}",
        b"\xef\xbb\xbf\xef\xbb\xbf{}",
    ),
    *(
        b"null",
        b"true",
        b"7",
        b"1.5",
        b"-1",
        b"NaN",
        b"Infinity",
        b"1e999",
        b"9" * 5_000,
        b'"a"',
        b'"\\ud800"',
    ),
    *(
        b"[" * 30_000,
        b'{"a":' * 10_000,
        b"[[]]",
        b"[null]",
        b"[7]",
        b'["a"]',
        b"[{}]",
        b"\xed\xa0\x80",
        b"a=b&c=d",
    ),
)
KINDS: Final = (
    *(None, "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"),
    *("text/xml; charset=utf-16", "application/octet-stream", ";;;", "text/plain; charset=no-such"),
)
#: Replacements of one segment of a path.
SEGMENTS: Final = (
    *(
        "%00",
        "%ff",
        "%ed%a0%80",
        "%0d%0aSet-Cookie:%20b=c",
        "..",
        "%2e%2e",
        "..%2f..%2f..%2fetc%2fpasswd",
        "%2f",
    ),
    *(
        "'%20OR%201=1",
        "%3Cscript%3Ewindow.ran=1%3C/script%3E",
        "x" * 5_000,
        "-1",
        "9" * 400,
        "%F0%9F%98%80",
        "%",
        "%zz",
    ),
)


def spoiled(good: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """`good` with one field replaced, for each field and each invalid value."""
    for name in good:
        for value in VALUES:
            yield name, {**good, name: value}


def forms(good: Mapping[str, str]) -> Iterator[bytes]:
    """The same for forms and queries, with invalid UTF-8 and unexpected names."""
    for name in good:
        rest = urlencode({other: value for other, value in good.items() if other != name})
        for value in (*(text.encode() for text in TEXTS), *RAW):
            yield f"{rest}&{name}={quote_from_bytes(value)}".encode()
        yield urlencode([*good.items(), (name, "other")]).encode()
    for value in RAW:
        yield f"{quote_from_bytes(value)}={quote_from_bytes(value)}".encode()
    yield b"&".join(b"a%d=1" % number for number in range(3_000))


def refusal_in(body: bytes) -> str:
    """The error text of a control call's JSON."""
    error = json.loads(body)
    assert set(error) == {"error", "field"}, error
    assert isinstance(error["error"], str)
    assert error["error"].strip()
    assert error["field"] is None or isinstance(error["field"], str)
    return str(error["error"])


class _Markup(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))


@lru_cache(maxsize=256)
def check_markup(page: str) -> None:
    """Fails if anything but the page's author wrote an element, a handler or a scheme into it.

    The pages' own scripts are known by their source or their nonce; none of ours has an image.
    """
    markup = _Markup()
    markup.feed(page)
    for tag, attributes in markup.elements:
        assert tag not in ("img", "iframe", "object", "embed", "base"), (tag, attributes)
        if tag == "script":
            assert attributes.get("nonce") or attributes.get("src", "").startswith("/"), attributes
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, attributes)
            assert name not in ("srcdoc", "style"), (tag, attributes)
            is_address = name in ("href", "src", "action", "formaction", "data", "content", "xlink:href")
            assert not (is_address and "javascript:" in value.lower()), (tag, attributes)
    assert "<script>window.ran" not in page
