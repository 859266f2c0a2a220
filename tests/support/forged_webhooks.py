"""Webhooks that a receiver must refuse although our key signed a text with this signature.

Requests, checkout links and old-style webhooks are signed as `name=value` joined with `&`, unescaped, with one key. So
one text can be split differently: a payer who types a product name with `&` in it gets chosen members signed.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

KEY: Final = "123456"
REFERENCE: Final = "ORDER-7"
TXAMT: Final = "500000"
Algorithm: TypeAlias = Literal["MD5", "SHA256"]

#: A product name that turns an unpaid link into a webhook that reports order REFERENCE as paid.
HOSTILE_NAME: Final = (
    "Tea&mchid=M&out_trade_no={reference}&pay_type=800201&respcd=0000&respmsg="
    "&syssn=202611280900990000000015&t="
)
#: A webhook of the old style as the gateway sends it.
OLD: Final[Mapping[str, str]] = {
    "mchid": "eqqmYMn0Zj6pncw5ZDxjgMqbzV",
    "syssn": "202611280900990000000015",
    "pay_type": "800201",
    "out_trade_no": REFERENCE,
    "txdtm": "2026-11-28 09:00:00",
    "txamt": TXAMT,
    "respcd": "0000",
    "respmsg": "",
    "respmesg": "",
}


@dataclass(frozen=True, slots=True)
class Posted:
    """The body of a webhook and its `X-QF-SIGN`."""

    body: bytes
    sign: str


def digest(text: bytes, algorithm: Algorithm = "MD5", key: str = KEY) -> str:
    made = hashlib.sha256 if algorithm == "SHA256" else hashlib.md5
    return made(text + key.encode()).hexdigest().upper()


def signed_text(members: Mapping[str, str]) -> str:
    return "&".join(f"{name}={members[name]}" for name in sorted(members))


def old_webhook(members: Mapping[str, str]) -> Posted:
    """Any members, signed as in the old style."""
    return Posted(json.dumps(dict(members)).encode(), digest(signed_text(members).encode()))


def over_bytes(body: bytes, algorithm: Algorithm = "MD5") -> Posted:
    """Signed as responses and webhooks of the new style are."""
    return Posted(body, digest(body, algorithm))


def cut(text: str) -> dict[str, str]:
    """Members with this signed text. A name that is not in order stays in the value before it."""
    members: dict[str, str] = {}
    last = ""
    for pair in text.split("&"):
        name, _, value = pair.partition("=")
        if name > last:
            members[name] = value
            last = name
        else:
            members[last] += f"&{pair}"
    assert signed_text(members) == text
    return members


def link_text(product_name: str, algorithm: Algorithm, txamt: str = TXAMT) -> str:
    """What a merchant signs for a checkout link."""
    return signed_text(
        {
            "appcode": "123456",
            "failed_url": "https://m.example/f",
            "goods_name": product_name,
            "out_trade_no": "TEA-1",
            "paysource": "tea_checkout",
            "return_url": "https://m.example/r",
            "sign_type": algorithm.lower(),
            "txamt": txamt,
            "txdtm": "2026-11-28 09:00:00",
        }
    )


def from_link(algorithm: Algorithm = "MD5", reference: str = REFERENCE, txamt: str = TXAMT) -> Posted:
    """A "paid" webhook of `reference`, cut out of a link to another order."""
    text = link_text(HOSTILE_NAME.format(reference=reference), algorithm, txamt)
    members = cut(text)
    assert (members["out_trade_no"], members["txamt"], members["respcd"]) == (reference, txamt, "0000")
    return Posted(json.dumps(members).encode(), digest(text.encode(), algorithm))


def forgeries() -> dict[str, Posted]:
    """Signed texts of another kind, presented as webhooks. Refused in each style."""
    hostile = HOSTILE_NAME.format(reference=REFERENCE)
    found: dict[str, Posted] = {}
    algorithms: tuple[Algorithm, ...] = ("MD5", "SHA256")
    for algorithm in algorithms:
        for kind, name in (("hostile", hostile), ("plain", "Tea")):
            text = link_text(name, algorithm)
            sign = digest(text.encode(), algorithm)
            found[f"{algorithm} link with a {kind} name, cut"] = Posted(json.dumps(cut(text)).encode(), sign)
            found[f"{algorithm} link with a {kind} name, as text"] = Posted(text.encode(), sign)
    # A request has no appcode in its text. The product name adds what a webhook has and a payment has not.
    request = {name: OLD[name] for name in ("mchid", "out_trade_no", "pay_type", "txamt", "txdtm")}
    request["product_name"] = "Tea&respcd=0000&respmsg=&syssn=202611280900990000000015"
    found["payment request, cut"] = old_webhook(cut(signed_text(request)))
    found["payment request, inside a member"] = old_webhook(
        {**OLD, "pay_type": f"800201&product_name={request['product_name']}"}
    )
    found["query, cut"] = old_webhook({name: OLD[name] for name in OLD if not name.startswith("respm")})
    answer = {name: OLD[name] for name in OLD if name not in ("mchid", "respmesg")} | {"resperr": ""}
    found["answer"] = over_bytes(json.dumps(answer).encode())
    found["SHA256 answer"] = over_bytes(json.dumps(answer).encode(), "SHA256")
    found["array of answers"] = over_bytes(json.dumps([answer, {"notify_type": "payment"}]).encode())
    found["answer that names notify_type"] = over_bytes(
        json.dumps(answer | {"out_trade_no": "notify_type"}).encode()
    )
    return found


def malformed() -> dict[str, Posted]:
    """Old-style webhooks with the signature of exactly their members, and not in the form of a webhook."""
    changes = {
        "mchid": ("", "M&N", "M" * 65),
        "syssn": ("", "20261128x", "1" * 41, "１２３"),
        "pay_type": ("", "80020", "8002011", "800201\n"),
        "out_trade_no": (
            "",
            "A B",
            "A&B=C",
            "A=B",
            "A+B",
            "A%42",
            "A,B",
            "A'B",
            'A"B',
            "A\\B",
            "茶",
            "A" * 129,
        ),
        "txamt": ("", "0", "01", "-1", "1.0", "1" * 12, "500000&txdtm=1"),
        "respcd": ("", "000", "00000", "OK00"),
        "txdtm": ("yesterday", "2026-11-28", "2026-11-28 09:00:00&udid=1"),
        "respmsg": ("a&b", "a=b", "&syssn=1"),
        "respmesg": ("a&b", "a=b"),
        "udid": (
            "&page=1&page_size=10",
            "till&lnglat=1",
        ),  # the rest of a request whose reference an attacker chose
    }
    found = {
        f"{name} is {value[:20]!r}": old_webhook({**OLD, name: value})
        for name, values in changes.items()
        for value in values
    }
    for name in ("mchid", "syssn", "pay_type", "out_trade_no", "txamt", "respcd"):
        found[f"without {name}"] = old_webhook({key: value for key, value in OLD.items() if key != name})
    found["without respmsg and respmesg"] = old_webhook(
        {name: value for name, value in OLD.items() if name not in ("respmsg", "respmesg")}
    )
    found["with a member of another kind"] = old_webhook({**OLD, "t": ""})
    found["with notify_type"] = old_webhook({**OLD, "notify_type": "payment"})
    genuine = old_webhook(OLD)
    txamt = f'"txamt": "{TXAMT}"'.encode()
    found["a member twice"] = Posted(genuine.body.replace(txamt, b'"txamt": "1", ' + txamt), genuine.sign)
    found["a member twice, escaped"] = Posted(
        genuine.body.replace(txamt, b'"tx\\u0061mt": "1", ' + txamt), genuine.sign
    )
    found["another amount"] = Posted(genuine.body.replace(txamt, b'"txamt": "1"'), genuine.sign)
    found["no signature"] = Posted(genuine.body, "")
    found["a signature that is not ASCII"] = Posted(genuine.body, "é" * 32)
    found["another key"] = Posted(genuine.body, digest(signed_text(OLD).encode(), key="other"))
    found["SHA256"] = Posted(genuine.body, digest(signed_text(OLD).encode(), "SHA256"))
    values = (b"null", b"true", b"5.0", b"[]", b"{}", b"5e5", b"-500000")
    for value in values:
        text = signed_text({**OLD, "txamt": value.decode()}).encode()
        found[f"txamt is {value.decode()}"] = Posted(
            genuine.body.replace(txamt, b'"txamt": ' + value), digest(text)
        )
    for body in (
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b"1",
        b'"{"',
        b"[" * 30_000,
        b'{"a":' * 30_000,
        b'{"a": 1}',
        b'{"udid": "\\ud800"}',
    ):
        found[f"body {body[:20]!r}"] = over_bytes(body)
    return found
