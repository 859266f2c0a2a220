"""A merchant's receiver that behaves correctly, or with one mistake: `DEFECTS` names them.

`POST /notify` is the receiver, `GET /orders/NUMBER` the state of an order, as a word and how often it was booked.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from tael_conformance.listener import Listener, Received, Reply, listening

KEY: Final = "kit-receiver-key-0123456789abcdef"
AMOUNT: Final = "1200"
DEFECTS: Final = (
    "accepts a wrong signature",
    "accepts no signature",
    "accepts an empty signature",
    "has an empty key",
    "has the appcode as its key",
    "accepts both styles",
    "signs parsed JSON",
    "accepts any signed object",
    "answers success to garbage",
    "books before it verifies",
    "rejects repeats",
    "counts repeats",
    "pays any order",
    "trusts the amount",
    "trusts the currency",
    "ignores respcd",
    "answers success with 500",
    "answers OK",
    "fails on unknown members",
    "rejects late webhooks",
    "needs a Content-Type",
    "wants integers as text",
    "breaks on Chinese",
    "fails for refunds",
)
SUCCESS: Final = Reply(200, b"SUCCESS")
BAD: Final = Reply(400, b"bad")
OLD: Final = {
    *(
        "mchid",
        "syssn",
        "pay_type",
        "out_trade_no",
        "txdtm",
        "txamt",
        "respcd",
        "respmsg",
        "respmesg",
        "udid",
    ),
}
NEW: Final = {
    *OLD,
    *(
        "status",
        "notify_type",
        "sysdtm",
        "paydtm",
        "txcurrcd",
        "cancel",
        "goods_name",
        "goods_info",
        "cardcd",
    ),
    *("chnlsn", "chnlsn2", "exchange_rate", "cash_fee", "cash_fee_type"),
    *("orig_syssn", "orig_out_trade_no", "cash_refund_fee", "cash_refund_fee_type"),
}


@dataclass(slots=True)
class Order:
    amount: str = AMOUNT
    currency: str = "HKD"
    booked: set[str] = field(default_factory=set)
    times: int = 0


@dataclass(slots=True)
class Merchant:
    style: Literal["old", "new"]
    defect: str = ""
    key: str = KEY
    orders: dict[str, Order] = field(default_factory=dict)
    seen: dict[bytes, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def new_order(self) -> str:
        number = f"shop-{len(self.orders) + 1}"
        self.orders[number] = Order()
        return number

    def __call__(self, request: Received) -> Reply:
        with self.lock:
            if request.method == "GET":
                order = self.orders[request.target.rpartition("/")[2]]
                return Reply(200, f"{'paid' if order.times else 'unpaid'} {order.times}".encode())
            return self.receive(request)

    def receive(self, request: Received) -> Reply:
        self.seen[request.body] = self.seen.get(request.body, 0) + 1
        try:
            members = json.loads(
                request.body, parse_int=str if self.defect != "wants integers as text" else int
            )
        except ValueError:
            return SUCCESS if self.defect == "answers success to garbage" else BAD
        if not isinstance(members, dict):
            return BAD
        if self.defect == "books before it verifies":
            self.book(members)
        if not self.is_genuine(request, members):
            return BAD
        if self.defect == "needs a Content-Type" and "content-type" not in request.headers:
            return Reply(415, b"")
        if self.defect == "fails on unknown members" and members.keys() - NEW:
            return Reply(500, b"")
        if self.defect == "breaks on Chinese" and not "".join(map(str, members.values())).isascii():
            return Reply(500, b"")
        if self.defect == "rejects late webhooks" and self.is_late(members):
            return BAD
        if self.defect == "rejects repeats" and self.seen[request.body] > 1:
            return Reply(409, b"")
        return self.acknowledged(members)

    def acknowledged(self, members: dict[str, Any]) -> Reply:
        if members.get("notify_type") == "refund":
            order = self.orders.get(members["orig_out_trade_no"])
            is_failing = self.defect == "fails for refunds"
            return Reply(500, b"") if is_failing or order is None else SUCCESS
        self.book(members)
        if self.defect == "answers success with 500":
            return Reply(500, b"SUCCESS")
        return Reply(200, b"OK") if self.defect == "answers OK" else SUCCESS

    def book(self, members: dict[str, Any]) -> None:
        number = members.get("out_trade_no")
        if self.defect == "pays any order" and number not in self.orders:
            number = next(iter(self.orders))
        order = self.orders.get(number or "")
        if order is None or (members.get("respcd") != "0000" and self.defect != "ignores respcd"):
            return
        if members.get("txamt") != order.amount and self.defect != "trusts the amount":
            return
        if members.get("txcurrcd", order.currency) != order.currency and self.defect != "trusts the currency":
            return
        if not order.booked or self.defect == "counts repeats":
            order.times += 1
        order.booked.add(str(members["syssn"]))

    # ---- signatures ----------------------------------------------------------------------------------------

    def is_genuine(self, request: Received, members: dict[str, Any]) -> bool:
        sign = request.headers.get("x-qf-sign")
        if sign is None:
            return self.defect == "accepts no signature"
        if not sign:
            return self.defect == "accepts an empty signature"
        if self.defect == "accepts a wrong signature":
            return True
        keys = [self.key]
        if self.defect == "has an empty key":
            keys.append("")
        if self.defect == "has the appcode as its key":
            keys.append("shop-appcode")
        texts = list(self.texts(request.body, members))
        return any(
            hashlib.md5(text + key.encode()).hexdigest().upper() == sign for text in texts for key in keys
        )

    def texts(self, body: bytes, members: dict[str, Any]) -> Iterator[bytes]:
        """What may be signed, if the body has the form of a webhook."""
        is_any = self.defect == "accepts any signed object"
        is_new = self.style == "new" or self.defect == "accepts both styles"
        if is_new and (is_any or "notify_type" in members):
            yield json.dumps(members).encode() if self.defect == "signs parsed JSON" else body
        if self.style == "old" or self.defect in ("accepts both styles", "accepts any signed object"):
            is_whole = members.keys() <= OLD and "respmsg" in members
            if is_any or is_whole or self.defect == "accepts both styles":
                yield "&".join(f"{name}={members[name]}" for name in sorted(members)).encode()

    def is_late(self, members: dict[str, Any]) -> bool:
        at = datetime.strptime(members["txdtm"], "%Y-%m-%d %H:%M:%S")
        return timedelta(hours=12) < datetime.now() - at < timedelta(days=5)


@contextmanager
def receiving(merchant: Merchant) -> Iterator[Listener]:
    with listening(merchant) as listener:
        yield listener
