"""A merchant's client, written from the protocol alone, with its own code for signing and verification.

`send` puts any bytes on the wire; `Merchant` makes valid calls, checks every response's form and signature, and brings
payments into the states that tests start from.
"""

import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar
from urllib.parse import urlencode, urlsplit

from tests.end_to_end.rig import WAIT_LIMIT_S, Demo, Members, eventually
from tests.support.http_calls import Answer, call

MOMENT: Final = "%Y-%m-%d %H:%M:%S"
CALLS: Final = ("payment", "close", "refund", "reversal", "query")
#: The pay types of the first API, for which every rule is tested; the later ones are in `test_pay_types.py`.
ONLINE: Final = ("800151", "800152", "800201", "800207")
ALIPAY_ONLINE: Final = ("800151", "800152")
OFFLINE: Final = ("800108", "800208", "800228")
#: Of every barcode payment: who shows the code.
WALLET_OF: Final = {
    "800108": "alipay",
    "800208": "wechat",
    "800228": "wechat_hk",
    "800008": "wechat",
    "801008": "wechat_hk",
}
#: The appid to which the payer's openid belongs.
APPID_OF: Final = {"800207": "sub_appid", "800213": "mini_appid"}
EXTEND_INFO: Final = json.dumps(
    {
        "scene_info": {"h5_info": {"type": "Wap", "wap_url": "http://127.0.0.1/shop", "wap_name": "Tea"}},
        "spbill_create_ip": "127.0.0.1",
    }
)
ALL_TYPES: Final = (*ONLINE, *OFFLINE)
#: The default price of a payment, in minor units.
PRICE: Final = "1000"
FORM: Final = "application/x-www-form-urlencoded"

_numbers: Final = itertools.count(1)
_run: Final = os.urandom(4).hex()
Result = TypeVar("Result")


def new_reference() -> str:
    """A merchant's reference that was never used."""
    return f"e2e-{_run}-{next(_numbers)}"


def digest(text: bytes, sha256: bool = False) -> str:
    return (hashlib.sha256 if sha256 else hashlib.md5)(text).hexdigest().upper()


def signed_text(params: Mapping[str, str]) -> str:
    """The text that a client signs, without the key: pairs sorted by name, values decoded."""
    return "&".join(f"{name}={params[name]}" for name in sorted(params))


def send(
    base: str, method: str, target: str, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()
) -> Answer:
    """Send these bytes over a new connection. Fails if the server fails."""
    return checked(call(base, method, target, body, headers))


def checked(answer: Answer) -> Answer:
    """No server error, and no stack trace."""
    assert answer.status < 500, answer
    assert b"Traceback" not in answer.body
    return answer


def at_once(how_many: int, work: Callable[[int], Result]) -> list[Result]:
    """The results of `work(0)`, `work(1)` …, run concurrently."""
    with ThreadPoolExecutor(how_many) as pool:
        return list(pool.map(work, range(how_many)))


@dataclass(frozen=True, slots=True)
class Merchant:
    """One app's client, by default for its first merchant."""

    demo: Demo
    appcode: str
    key: str
    mchid: str
    mchids: tuple[str, ...]
    sha256: bool = False
    shop: str = "demo"

    # ---- requests ------------------------------------------------------------------------------------------

    def sign(self, params: Mapping[str, str]) -> str:
        return digest((signed_text(params) + self.key).encode(), self.sha256)

    def headers(self, sign: str, content_type: str | None = FORM) -> list[tuple[str, str]]:
        kind = [("X-QF-SIGNTYPE", "SHA256")] if self.sha256 else []
        typed = [("Content-Type", content_type)] if content_type else []
        return [("X-QF-APPCODE", self.appcode), ("X-QF-SIGN", sign), *kind, *typed]

    def params(self, call: str, given: Mapping[str, str | None]) -> dict[str, str]:
        """`given` with mchid, txdtm and a reversal's amount filled in; None leaves a parameter out."""
        filled: dict[str, str | None] = {"mchid": self.mchid}
        if call != "query":
            filled["txdtm"] = self.demo.now().strftime(MOMENT)
        if call == "reversal":
            filled["txamt"] = PRICE
        return {name: value for name, value in (filled | dict(given)).items() if value is not None}

    def post(self, call: str, **given: str | None) -> Answer:
        """POST /trade/v1/CALL, signed; the response is not checked."""
        params = self.params(call, given)
        return send(
            self.demo.gateway,
            "POST",
            f"/trade/v1/{call}",
            urlencode(params).encode(),
            self.headers(self.sign(params)),
        )

    def call(self, name: str, **given: str | None) -> Answer:
        """`post`, with its response verified: status, form, content type and signature."""
        return self.proven(self.post(name, **given))

    def get_query(self, **given: str | None) -> Answer:
        params = self.params("query", given)
        target = f"/trade/v1/query?{urlencode(params)}"
        headers = self.headers(self.sign(params), None)
        return self.proven(send(self.demo.gateway, "GET", target, headers=headers))

    def proven(self, answer: Answer) -> Answer:
        """`answer`, checked to be a signed response to a signed request."""
        assert answer.status == 200
        assert answer.headers["content-type"].replace(" ", "").lower() == "application/json;charset=utf-8"
        assert answer.body == json.dumps(answer.members).encode("ascii")
        assert answer.sign == digest(answer.body + self.key.encode())
        return answer

    # ---- queries -------------------------------------------------------------------------------------------

    def rows(self, **filters: str) -> list[Members]:
        answer = self.call("query", **filters)
        assert answer.respcd == "0000", answer.members
        rows: list[Members] = answer["data"]
        return rows

    def row(self, syssn: str) -> Members:
        rows = self.rows(syssn=syssn)
        assert len(rows) == 1, rows
        return rows[0]

    def until(self, syssn: str, respcd: str, cancel: str = "0", limit_s: float = WAIT_LIMIT_S) -> Members:
        """Wait until the row shows this. Fails if it never does."""
        row = eventually(
            lambda: self.row(syssn),
            lambda seen: (seen["respcd"], seen["cancel"]) == (respcd, cancel),
            limit_s,
        )
        assert (row["respcd"], row["cancel"]) == (respcd, cancel), row
        return row

    # ---- payments in a given state ------------------------------------------------------------------------

    def payment_params(
        self, pay_type: str, behaviour: str = "pays", /, **given: str | None
    ) -> dict[str, str]:
        """Complete parameters of a payment of this type."""
        more: dict[str, str | None] = {}
        if pay_type in WALLET_OF:
            more["auth_code"] = self.demo.code(WALLET_OF[pay_type], behaviour)
        if pay_type in APPID_OF:
            more["sub_openid"] = self.demo.openid(self.shop, APPID_OF[pay_type])
        if pay_type == "800212":
            more["extend_info"] = EXTEND_INFO
        filled = {"pay_type": pay_type, "out_trade_no": new_reference(), "txamt": PRICE, **more, **given}
        return self.params("payment", filled)

    def open(self, pay_type: str, behaviour: str = "pays", /, **given: str | None) -> Answer:
        return self.call("payment", **self.payment_params(pay_type, behaviour, **given))

    def pay_by_phone(self, opened: Answer) -> Members:
        """The payer opens or scans an online payment's link or code, and pays."""
        return self.demo.confirm(url=scannable(opened))

    def paid(self, pay_type: str, /, **given: str | None) -> Answer:
        opened = self.open(pay_type, **given)
        assert opened.respcd == "0000", opened.members
        if pay_type not in WALLET_OF:
            self.pay_by_phone(opened)
            self.until(opened["syssn"], "0000")
        return opened

    def pending(self, pay_type: str, /, **given: str | None) -> Answer:
        """A pending payment: an online order that was not opened, or a barcode whose password is not typed."""
        opened = self.open(pay_type, "password", **given)
        assert opened.respcd == ("1145" if pay_type in WALLET_OF else "0000"), opened.members
        return opened

    def closed(self, pay_type: str, /, **given: str | None) -> Answer:
        """An unpaid order, closed if online, else reversed."""
        opened = self.pending(pay_type, **given)
        if pay_type in ONLINE:
            assert self.call("close", syssn=opened["syssn"]).respcd == "0000"
            self.until(opened["syssn"], "1142", "2")
        else:
            self.call("reversal", syssn=opened["syssn"])
            self.demo.advance(16)
            self.until(opened["syssn"], "1142", "1")
        return opened

    def expired(self, pay_type: str, /, **given: str | None) -> Answer:
        opened = self.pending(pay_type, **given)
        if pay_type in ONLINE:
            self.demo.advance(1900)
            self.until(opened["syssn"], "1181")
        else:
            self.demo.advance(190)
            self.until(opened["syssn"], "2005")
        return opened

    def reversed(self, pay_type: str, /, **given: str | None) -> Answer:
        opened = self.paid(pay_type, **given)
        assert self.call("reversal", syssn=opened["syssn"]).respcd in ("0000", "1145")
        self.until(opened["syssn"], "0000", "1")
        return opened

    def refunded(self, pay_type: str, amount: str = PRICE, /, **given: str | None) -> Answer:
        opened = self.paid(pay_type, **given)
        self.refund_and_wait(opened, amount)
        return opened

    def refund(self, opened: Answer, amount: str, **given: str | None) -> Answer:
        filled: dict[str, str | None] = {
            "syssn": opened["syssn"],
            "out_trade_no": new_reference(),
            "txamt": amount,
        }
        return self.call("refund", **(filled | given))

    def refund_and_wait(self, opened: Answer, amount: str, **given: str | None) -> Answer:
        self.demo.advance(4)  # Alipay takes one online refund of a PID in 3 s
        refund = self.refund(opened, amount, **given)
        assert refund.respcd in ("0000", "2999"), refund.members
        self.demo.advance(4)
        self.until(refund["syssn"], "0000")
        return refund


def wallet_page(opened: Answer) -> str:
    """The redirect of an Alipay order's `pay_url`."""
    parts = urlsplit(str(opened["pay_url"]))
    answer = send(f"{parts.scheme}://{parts.netloc}", "GET", parts.path)
    assert answer.status == 303, answer
    return answer.headers["location"]


def scannable(opened: Answer) -> str:
    """The link, code or parameters of an online order, as the payer's phone gets them."""
    if opened["pay_type"] == "800207":
        return str(opened["pay_params"]["package"])
    if "pay_params" in opened.members:
        return json.dumps(opened["pay_params"])
    return str(opened["pay_url"])
