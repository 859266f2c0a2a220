"""Alipay for tests: builders of its signed XML and forms, and a small wallet server that sends them.

It signs with its own code, so that the gateway's signing is not checked against itself.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from typing import Final, Self
from urllib.parse import parse_qsl, urlencode
from xml.sax.saxutils import escape

from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tael.base.money import Money
from tael.base.pay_types import PAY_TYPES
from tael.base.secret import Secret
from tael.channels.alipay_mapi.account import AlipayAccount, AlipaySignType
from tael.channels.base import ChannelOrder, ChannelRefund

KEY: Final = "sim0key0sim0key0sim0key0sim0key0"
PID: Final = "2088000000000001"
SYSSN: Final = "202601020101990000000001"
REFUND_SYSSN: Final = "202601020101990000000002"
TRADE_NO: Final = "2026010222001300000000000002"
NOW: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SIGN_TYPES: Final[tuple[AlipaySignType, ...]] = ("MD5", "RSA", "RSA2")


@dataclass
class TestClock:
    """Stands still until it is moved."""

    __test__ = False
    at: datetime = NOW

    def now(self) -> datetime:
        return self.at


#: No test needs more at once, and to make one takes as long as a whole command.
RSA_KEYS: Final = 8
_next_key = count()


def another_rsa_key() -> rsa.RSAPrivateKey:
    """A key of 2048 bits, another one with each of eight calls in a row."""
    return private_key(f"owner {next(_next_key) % RSA_KEYS}")


@cache
def private_key(owner: str) -> rsa.RSAPrivateKey:
    """`owner` is "merchant", "wallet" or whoever."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(owner: str) -> str:
    key = private_key(owner)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(owner: str) -> str:
    key = private_key(owner).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def alipay_account(
    sign_type: AlipaySignType = "MD5", *, online: bool = True, supports_close: bool = True, key: str = KEY
) -> AlipayAccount:
    is_md5 = sign_type == "MD5"
    return AlipayAccount(
        account_id="acc1",
        mchid="mch1",
        scene="online" if online else "offline",
        currency="HKD",
        pid=PID,
        sign_type=sign_type,
        key=Secret(key if is_md5 else ""),
        private_key=Secret("" if is_md5 else private_pem("merchant")),
        alipay_public_key="" if is_md5 else public_pem("wallet"),
        supports_close=supports_close,
    )


def alipay_order(
    pay_type: str,
    account: AlipayAccount,
    *,
    amount: Money | None = None,
    subject: str = "Tea",
    auth_code: str = "280000000000000001",
    created_at: datetime = NOW,
    valid_s: int = 600,
    syssn: str = SYSSN,
    notice_url: str = "https://gw.example/notices/alipay/acc1",
) -> ChannelOrder:
    return ChannelOrder(
        account=account,
        pay_type=PAY_TYPES[pay_type],
        syssn=syssn,
        amount=amount or Money(3925, "HKD"),
        subject=subject,
        created_at=created_at,
        expires_at=created_at + timedelta(seconds=valid_s),
        notice_url=notice_url,
        return_url="https://gw.example/return/alipay/acc1",
        auth_code=auth_code,
    )


def alipay_refund(
    order: ChannelOrder, amount_minor: int = 1000, syssn: str = REFUND_SYSSN, asked_at: datetime = NOW
) -> ChannelRefund:
    return ChannelRefund(order, syssn, Money(amount_minor, order.amount.currency), asked_at, "")


def wallet_signature(
    fields: Mapping[str, str], sign_type: str, charset: str = "utf-8", key: str = KEY
) -> str:
    """Alipay's signature by the rule in its documentation."""
    text = "&".join(
        name + "=" + fields[name]
        for name in sorted(fields)
        if fields[name] != "" and name not in ("sign", "sign_type")
    )
    if sign_type == "MD5":
        return hashlib.md5((text + key).encode(charset)).hexdigest()
    digest = hashes.SHA256() if sign_type == "RSA2" else hashes.SHA1()
    signed = private_key("wallet").sign(text.encode(charset), padding.PKCS1v15(), digest)
    return base64.b64encode(signed).decode()


def xml_answer(
    fields: Mapping[str, str],
    sign_type: str = "MD5",
    *,
    node: str = "alipay",
    sign: str | None = None,
    encoding: str = "UTF-8",
) -> bytes:
    """A whole response with one node; `sign` replaces the right signature, "" leaves it out."""
    signature = wallet_signature(fields, sign_type, encoding) if sign is None else sign
    children = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
    tail = f"<sign>{signature}</sign><sign_type>{sign_type}</sign_type>" if signature else ""
    return (
        f'<?xml version="1.0" encoding="{encoding}"?>\n<alipay><is_success>T</is_success>'
        f'<request><param name="partner">{PID}</param></request>'
        f"<response><{node}>{children}</{node}></response>{tail}</alipay>"
    ).encode(encoding)


BARE: Final = b'<?xml version="1.0" encoding="UTF-8"?><alipay><is_success>T</is_success></alipay>'


def xml_rejection(code: str) -> bytes:
    prolog = '<?xml version="1.0" encoding="GBK"?>'
    return f"{prolog}<alipay><is_success>F</is_success><error>{code}</error></alipay>".encode()


def notice_body(
    fields: Mapping[str, str], sign_type: str = "MD5", charset: str = "utf-8", sign: str | None = None
) -> bytes:
    signature = wallet_signature(fields, sign_type, charset) if sign is None else sign
    return urlencode({**fields, "sign": signature, "sign_type": sign_type}, encoding=charset).encode()


def flipped(value: str) -> str:
    """`value` with one character changed to its neighbour."""
    last = value[-1]
    return value[:-1] + ("0" if last == "9" else chr(ord(last) + 1))


@dataclass
class StubWallet:
    """An Alipay gateway on loopback: answers each service with the given bytes and records the requests."""

    answers: dict[str, bytes] = field(default_factory=dict)
    status: int = 200
    leaves_after: int | None = None  #: it stops listening after this many responses
    asked: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/gateway.do", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await self._site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/gateway.do"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        form = dict(parse_qsl((await request.read()).decode(), keep_blank_values=True))
        fields = {**dict(request.query), **form}
        self.asked.append(fields)
        answer = web.Response(body=self.answers[fields["service"]], status=self.status)
        if len(self.asked) == self.leaves_after:
            await self._site.stop()
            answer.force_close()
        return answer

    @property
    def services(self) -> list[str]:
        return [fields["service"] for fields in self.asked]
