"""An Alipay merchant for tests, with its own signer, XML and HTTP, so that the sandbox is tested from outside."""

import base64
import hashlib
import itertools
import secrets
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any
from xml.etree import ElementTree

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from tests.sandbox.conftest import Sandbox
from tests.support.http_calls import call_kept

HTTP_OK = 200
FORM = "application/x-www-form-urlencoded"
BEIJING = timezone(timedelta(hours=8))
_numbers = itertools.count(1)
_RUN = secrets.token_hex(4)


def new_number(prefix: str = "T") -> str:
    """A number that no other test uses."""
    return f"{prefix}{_RUN}{next(_numbers):06d}"


def text_of(fields: Mapping[str, str], *, with_empties: bool = False) -> str:
    names = sorted(n for n in fields if n not in ("sign", "sign_type") and (fields[n] or with_empties))
    return "&".join(f"{name}={fields[name]}" for name in names)


def quoted(fields: Mapping[str, str]) -> str:
    return "&".join(f'{name}="{value}"' for name, value in fields.items())


def without_empties(fields: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value}


@dataclass(frozen=True, slots=True)
class Reply:
    content_type: str
    body: bytes

    @property
    def tree(self) -> ElementTree.Element:
        return ElementTree.fromstring(self.body)  # noqa: S314 - our own sandbox's answer

    @property
    def error(self) -> str | None:
        """The code of a refusal by the gateway; None if it accepted the request."""
        is_success = self.tree.findtext("is_success")
        assert is_success in ("T", "F")
        if is_success == "F":
            assert self.tree.find("sign") is None
            return self.tree.findtext("error")
        return None

    @property
    def node(self) -> dict[str, str]:
        response = self.tree.find("response")
        assert response is not None, self.body
        assert len(response) == 1
        return {child.tag: child.text or "" for child in response[0]}

    def __getitem__(self, name: str) -> str:
        return self.node[name]


@dataclass(frozen=True, slots=True)
class Shop:
    """One PID of the sandbox."""

    sandbox: Sandbox
    account: dict[str, Any]

    @property
    def pid(self) -> str:
        return str(self.account["pid"])

    def sign(self, text: str, sign_type: str, charset: str = "utf-8") -> str:
        if sign_type == "MD5":
            return hashlib.md5((text + str(self.account["key"])).encode(charset)).hexdigest()
        pem = str(self.account["private_key_pem"]).encode()
        key = load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
        assert isinstance(key, rsa.RSAPrivateKey)
        digest = hashes.SHA1() if sign_type == "RSA" else hashes.SHA256()
        return base64.b64encode(key.sign(text.encode(charset), padding.PKCS1v15(), digest)).decode()

    def is_signed(self, fields: Mapping[str, str], charset: str = "utf-8") -> bool:
        """Whether Alipay signed these fields, as a merchant checks it."""
        text, sign, sign_type = text_of(fields), fields["sign"], fields["sign_type"]
        if sign_type == "MD5":
            return sign == self.sign(text, "MD5", charset)
        key = load_pem_public_key(str(self.account["alipay_public_key_pem"]).encode())
        assert isinstance(key, rsa.RSAPublicKey)
        digest = hashes.SHA1() if sign_type == "RSA" else hashes.SHA256()
        key.verify(base64.b64decode(sign), text.encode(charset), padding.PKCS1v15(), digest)
        return True

    def signed(
        self, service: str, fields: Mapping[str, str], sign_type: str | None = None, charset: str = "utf-8"
    ) -> dict[str, str]:
        sign_type = sign_type or str(self.account["sign_type"])
        request = {"service": service, "partner": self.pid, "_input_charset": charset, **fields}
        return {**request, "sign": self.sign(text_of(request), sign_type, charset), "sign_type": sign_type}

    def call(self, service: str, sign_type: str | None = None, **fields: str) -> Reply:
        """Sends a signed POST. Checks the signature of an accepted request's response if it has a node."""
        request = self.signed(service, fields, sign_type)
        reply = self.post(request)
        if reply.error is None and reply.tree.find("response") is not None:
            sign, used = reply.tree.findtext("sign") or "", reply.tree.findtext("sign_type") or ""
            assert self.is_signed({**reply.node, "sign": sign, "sign_type": used})
            assert used == request["sign_type"]
        return reply

    def post(self, fields: Mapping[str, str], query: Mapping[str, str] | None = None) -> Reply:
        query_string = f"?{urllib.parse.urlencode(query)}" if query else ""
        body = urllib.parse.urlencode(fields).encode()
        return self.open(str(self.account["gateway_url"]) + query_string, body)

    def open(self, url: str, body: bytes | None = None) -> Reply:
        parts = urllib.parse.urlsplit(url)
        method, headers = ("GET", []) if body is None else ("POST", [("Content-Type", FORM)])
        answer = call_kept(url, method, parts._replace(scheme="", netloc="").geturl(), body or b"", headers)
        assert answer.status == HTTP_OK, answer
        return Reply(answer.headers["content-type"], answer.body)

    def link(self, service: str, fields: Mapping[str, str], sign_type: str | None = None) -> str:
        request = self.signed(service, fields, sign_type)
        return f"{self.account['gateway_url']}?{urllib.parse.urlencode(request)}"

    # Calls that many tests make.

    def pay_spot(self, auth_code: str, order: str, **fields: str) -> Reply:
        return self.call("alipay.acquire.overseas.spot.pay", **self.spot_fields(auth_code, order) | fields)

    def spot_fields(self, auth_code: str, order: str) -> dict[str, str]:
        return {
            "alipay_seller_id": self.pid,
            "trans_name": "Milk tea",
            "partner_trans_id": order,
            "currency": "HKD",
            "trans_amount": "39.25",
            "buyer_identity_code": auth_code,
            "identity_code_type": "barcode",
            "trans_create_time": f"{self.now():%Y%m%d%H%M%S}",
            "biz_product": "OVERSEAS_MBARCODE_PAY",
        }

    def precreate_fields(self, order: str) -> dict[str, str]:
        return {
            "timestamp": f"{self.now():%Y-%m-%d %H:%M:%S}",
            "out_trade_no": order,
            "subject": "Milk tea",
            "total_fee": "39.25",
            "currency": "HKD",
            "trans_currency": "HKD",
            "seller_id": self.pid,
            "product_code": "OVERSEAS_MBARCODE_PAY",
            "notify_url": "http://127.0.0.1:9/notices/alipay",
            "extend_params": '{"secondary_merchant_name":"Tea","store_id":"1","store_name":"Tea"}',
        }

    def query_spot(self, order: str) -> Reply:
        return self.call("alipay.acquire.overseas.query", partner_trans_id=order)

    def cancel(self, order: str) -> Reply:
        timestamp = str(int(self.now().timestamp() * 1000))
        return self.call("alipay.acquire.cancel", out_trade_no=order, timestamp=timestamp)

    def refund_spot(self, order: str, refund: str, amount: str, **fields: str) -> Reply:
        defaults = {
            "partner_trans_id": order,
            "partner_refund_id": refund,
            "refund_amount": amount,
            "currency": "HKD",
            "is_sync": "Y",
        }
        return self.call("alipay.acquire.overseas.spot.refund", **defaults | fields)

    def online_fields(self, order: str, *, is_wap: bool = False) -> dict[str, str]:
        return {
            "subject": "Two tickets",
            "out_trade_no": order,
            "currency": "HKD",
            "total_fee": "120.00",
            "product_code": "NEW_WAP_OVERSEAS_SELLER" if is_wap else "NEW_OVERSEAS_SELLER",
        }

    def pc_link(self, order: str, sign_type: str | None = None, **fields: str) -> str:
        return self.link("create_forex_trade", self.online_fields(order) | fields, sign_type)

    def wap_link(self, order: str, sign_type: str | None = None, **fields: str) -> str:
        whole = self.online_fields(order, is_wap=True) | fields
        return self.link("create_forex_trade_wap", whole, sign_type)

    def app_fields(self, order: str) -> dict[str, str]:
        """The members of `mobile.securitypay.pay`, without the signature."""
        return {
            "service": "mobile.securitypay.pay",
            "partner": self.pid,
            "_input_charset": "utf-8",
            "seller_id": self.pid,
            "subject": "Two tickets",
            "body": "Row 5, seats 7 & 8",
            "total_fee": "120.00",
            "currency": "HKD",
            "notify_url": "http://127.0.0.1:9/notices/alipay",
            "payment_type": "1",
            "it_b_pay": "30m",
            "return_url": "m.alipay.com",
            "forex_biz": "FP",
            "product_code": "NEW_WAP_OVERSEAS_SELLER",
            "out_trade_no": order,
            "secondary_merchant_id": "12",
            "secondary_merchant_name": "Harbour Cinema",
            "secondary_merchant_industry": "7832",
        }

    def order_string(self, order: str, **fields: str) -> str:
        """What an app passes to the wallet, in the order of the fields. A field "" is left out."""
        return self.signed_string(without_empties(self.app_fields(order) | fields))

    def signed_string(self, fields: Mapping[str, str]) -> str:
        text = quoted(fields)
        return f'{text}&sign="{urllib.parse.quote(self.sign(text, "RSA"), safe="")}"&sign_type="RSA"'

    def pay_params(self, order: str, **fields: str) -> dict[str, str]:
        """The same as the members of a JSON object, signed as the app sorts them."""
        members = without_empties(self.app_fields(order) | fields)
        sign = self.sign(quoted(dict(sorted(members.items()))), "RSA")
        return {"sign_type": "RSA", "sign": urllib.parse.quote(sign, safe=""), **members}

    def query_online(self, order: str) -> Reply:
        return self.call("single_trade_query", out_trade_no=order)

    def refund_online(self, order: str, refund: str, amount: str, **fields: str) -> Reply:
        defaults = {
            "out_trade_no": order,
            "out_return_no": refund,
            "return_amount": amount,
            "currency": "HKD",
            "gmt_return": f"{self.now():%Y-%m-%d %H:%M:%S}",
            "product_code": "NEW_OVERSEAS_SELLER",
            "is_sync": "Y",
        }
        return self.call("forex_refund", **defaults | fields)

    def now(self) -> datetime:
        """Beijing time by the sandbox's clock."""
        return datetime.fromisoformat(self.sandbox.control("GET", "clock")["now"]).astimezone(BEIJING)

    def book_row(self, order: str) -> dict[str, Any]:
        rows = self.sandbox.control("GET", "book?wallet=alipay")["trades"]
        return next(row for row in rows if row["order"] == order)


def shop(sandbox: Sandbox, scene: str, label: str = "demo") -> Shop:
    return Shop(sandbox, sandbox.account("alipay", label, scene))


def confirm(sandbox: Sandbox, action: str = "pay", **target: str) -> dict[str, Any]:
    answer: dict[str, Any] = sandbox.control("POST", "confirm", {"action": action, **target})
    return answer


def scan(sandbox: Sandbox, url: str) -> dict[str, Any]:
    seen: dict[str, Any] = sandbox.control("POST", "scan", {"url": url})
    return seen


def form_of(body: bytes, encoding: str = "utf-8") -> dict[str, str]:
    return dict(urllib.parse.parse_qsl(body.decode("ascii"), encoding=encoding, strict_parsing=True))


def balance(sandbox: Sandbox, payer: str) -> int:
    rows = sandbox.control("GET", "payers")
    return int(next(row["balance"] for row in rows if row["payer"] == payer))
