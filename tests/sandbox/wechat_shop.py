"""A WeChat shop for tests, with its own signer, XML and HTTP, so that the sandbox is tested from outside."""

import hashlib
import hmac
import http.client
import itertools
import json
import secrets
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import pytest

from tests.sandbox.conftest import Sandbox
from tests.support.http_calls import call_kept

#: Runs a test with both kinds of merchants: with a service provider, and direct. Its module has a fixture `demo`.
both_kinds = pytest.mark.parametrize("demo", ["demo", "direct"], indirect=True)
_numbers = itertools.count(1)
_RUN = secrets.token_hex(4)


def new_number(prefix: str = "T") -> str:
    """A number that no other test uses."""
    return f"{prefix}{_RUN}{next(_numbers):06d}"


def signature(fields: dict[str, str], key: str, sign_type: str) -> str:
    pairs = [f"{name}={fields[name]}" for name in sorted(fields) if fields[name] and name != "sign"]
    text = ("&".join(pairs) + "&key=" + key).encode()
    if sign_type == "HMAC-SHA256":
        return hmac.new(key.encode(), text, hashlib.sha256).hexdigest().upper()
    return hashlib.md5(text).hexdigest().upper()


def as_xml(fields: dict[str, str]) -> bytes:
    return ("<xml>" + "".join(f"<{n}>{escape(v)}</{n}>" for n, v in fields.items()) + "</xml>").encode()


def from_xml(body: bytes) -> dict[str, str]:
    return {child.tag: child.text or "" for child in ElementTree.fromstring(body)}  # noqa: S314


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    content_type: str
    body: bytes

    @property
    def fields(self) -> dict[str, str]:
        return from_xml(self.body)

    def __getitem__(self, name: str) -> str:
        return self.fields[name]

    @property
    def error(self) -> str:
        """`err_code`, or the text of a layer-1 FAIL, or ""."""
        fields = self.fields
        return fields.get("err_code") or (fields["return_msg"] if fields["return_code"] == "FAIL" else "")


@dataclass(frozen=True, slots=True)
class Shop:
    """One merchant account of the sandbox, using V2 over plain HTTP unless a TLS context is given."""

    account: dict[str, Any]

    @property
    def key(self) -> str:
        return str(self.account["key"])

    @property
    def is_direct(self) -> bool:
        return bool(self.account["kind"] == "direct")

    def identity(self) -> dict[str, str]:
        names = ("appid", "mch_id") if self.is_direct else ("appid", "mch_id", "sub_mch_id")
        return {name: str(self.account[name]) for name in names}

    @property
    def official_appid(self) -> str:
        return str(self.account["appid" if self.is_direct else "sub_appid"])

    def own_appid(self, name: str = "") -> dict[str, str]:
        """The element with an appid of the merchant's own, by default the official account's."""
        element = "appid" if self.is_direct else "sub_appid"
        return {element: str(self.account[name or element])}

    def signed(self, sign_type: str = "MD5", **fields: str | int) -> dict[str, str]:
        request = {**self.identity(), "nonce_str": secrets.token_hex(16)}
        if sign_type != "MD5":
            request["sign_type"] = sign_type
        request |= {name: str(value) for name, value in fields.items()}
        return {**request, "sign": signature(request, self.key, sign_type)}

    def call(
        self, path: str, sign_type: str = "MD5", tls: ssl.SSLContext | None = None, **fields: Any
    ) -> Reply:
        """Sends a signed request, and checks the signature of the reply."""
        request = self.signed(sign_type, **fields)
        reply = self.send(path, as_xml(request), tls=tls)
        received = reply.fields if reply.status == 200 else {}
        if received.get("return_code") == "SUCCESS":
            assert received["sign"] == signature(received, self.key, sign_type)
            for name in ("appid", "mch_id", "sub_appid", "sub_mch_id"):
                assert received.get(name, "") == request.get(name, "")
            assert received["nonce_str"]
        else:
            assert "sign" not in received
        return reply

    def send(
        self, path: str, body: bytes, *, method: str = "POST", tls: ssl.SSLContext | None = None
    ) -> Reply:
        if tls is None:
            kept = call_kept(str(self.account["http_url"]), method, path, body)
            return Reply(kept.status, kept.headers.get("content-type", ""), kept.body)
        base = urlsplit(str(self.account["base_url"]))
        assert base.hostname is not None
        connection = http.client.HTTPSConnection(base.hostname, base.port, context=tls, timeout=10)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return Reply(answer.status, answer.getheader("Content-Type", ""), answer.read())
        finally:
            connection.close()

    def order(self, **fields: Any) -> Reply:
        return self.call("/pay/unifiedorder", **(SALE | {"out_trade_no": new_number(), **NATIVE, **fields}))

    def jsapi(self, own_openid: str, appid_name: str = "") -> dict[str, str]:
        """The elements of an order inside WeChat: on a page, or with `mini_appid` in the mini program."""
        element = "openid" if self.is_direct else "sub_openid"
        return {"trade_type": "JSAPI", **self.own_appid(appid_name), element: own_openid}

    @property
    def app(self) -> dict[str, str]:
        """The elements of an order of the merchant's app."""
        return {"trade_type": "APP", **self.own_appid("app_appid")}

    @property
    def h5(self) -> dict[str, str]:
        """The elements of an order in a browser outside WeChat."""
        page = {"type": "Wap", "wap_url": "https://shop.example", "wap_name": "Demo Shop"}
        return {"trade_type": "MWEB", "scene_info": json.dumps({"h5_info": page})}

    def scan_code(self, auth_code: str, **fields: Any) -> Reply:
        return self.call(
            "/pay/micropay", **(SALE | {"out_trade_no": new_number(), "auth_code": auth_code, **fields})
        )

    def query(self, order: str, **fields: Any) -> Reply:
        return self.call("/pay/orderquery", out_trade_no=order, **fields)

    def state(self, order: str) -> str:
        return self.query(order)["trade_state"]

    def refund(self, order: str, refund_fee: int, **fields: Any) -> Reply:
        elements = {"out_trade_no": order, "out_refund_no": new_number("R"), "total_fee": 8800, **fields}
        return self.call("/secapi/pay/refund", refund_fee=refund_fee, **elements)

    def reverse(self, order: str, **fields: Any) -> Reply:
        return self.call("/secapi/pay/reverse", out_trade_no=order, **fields)

    def client_tls(self, *, with_certificate: bool = True) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.account["ca_pem"])
        if with_certificate:
            load_pair(context, self.account["cert_pem"], self.account["key_pem"])
        return context


SALE: dict[str, Any] = {
    "body": "Demo Shop-tea & <cups>",
    "total_fee": 8800,
    "fee_type": "HKD",
    "spbill_create_ip": "127.0.0.1",
}
NATIVE: dict[str, Any] = {
    "trade_type": "NATIVE",
    "product_id": "tea",
    "notify_url": "http://127.0.0.1:9/notices/wechat",
}


def load_pair(context: ssl.SSLContext, cert_pem: str, key_pem: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cert, key = Path(folder, "cert.pem"), Path(folder, "key.pem")
        cert.write_text(cert_pem)
        key.write_text(key_pem)
        context.load_cert_chain(cert, key)


def shop(sandbox: Sandbox, label: str = "demo") -> Shop:
    return Shop(sandbox.account("wechat", label))


def code(sandbox: Sandbox, behaviour: str = "pays", wallet: str = "wechat", payer: str | None = None) -> str:
    return sandbox.code(behaviour, wallet, payer)


def openid(sandbox: Sandbox, payer: str, appid: str) -> str:
    rows = sandbox.control("GET", "payers")
    return str(next(row for row in rows if row["payer"] == payer)["openids"][appid])


def balance(sandbox: Sandbox, payer: str) -> int:
    rows = sandbox.control("GET", "payers")
    return int(next(row for row in rows if row["payer"] == payer)["balance"])


def confirm(sandbox: Sandbox, action: str, **which: str) -> dict[str, Any]:
    answer: dict[str, Any] = sandbox.control("POST", "confirm", {"action": action, **which})
    return answer


@contextmanager
def spent(sandbox: Sandbox, payer: str, amount: int) -> Iterator[None]:
    """Checks that the block reduces the payer's balance by exactly this amount."""
    before = balance(sandbox, payer)
    yield
    assert before - balance(sandbox, payer) == amount
