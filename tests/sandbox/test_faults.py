"""The fault list: every kind at both wallets over real HTTP, its draws and counts, and invalid faults."""

import asyncio
import http.client
import json
import math
import signal
import socket
import time
import urllib.error
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvloop

from tael_sandbox.fault_injection.faults import KINDS, Fault
from tael_sandbox.fault_injection.middleware import reset
from tests.sandbox import alipay_shop, wechat_shop
from tests.sandbox.alipay_shop import form_of
from tests.sandbox.conftest import ControlRefused, Receiver, Sandbox
from tests.sandbox.test_wechat_notices import decrypted, url_of
from tests.sandbox.wechat_shop import as_xml, from_xml, signature

ROOT = Path(__file__).parents[2]
SPOT_PAY, SPOT_QUERY = "alipay.acquire.overseas.spot.pay", "alipay.acquire.overseas.query"
OK = {"alipay": (200, b"success"), "wechat": (200, b"<xml><return_code>SUCCESS</return_code></xml>")}
WALLETS = pytest.mark.parametrize("wallet", ["alipay", "wechat"])
#: The caller's error without a response: a reset, or its own timeout.
SILENCE = (ConnectionResetError, TimeoutError, http.client.RemoteDisconnected, urllib.error.URLError)


@dataclass(frozen=True, slots=True)
class WalletClient:
    """A shop's client of one wallet, with the same methods for both wallets."""

    sandbox: Sandbox
    wallet: str

    @property
    def pay_operation(self) -> str:
        return SPOT_PAY if self.wallet == "alipay" else "/pay/micropay"

    @property
    def query_operation(self) -> str:
        return SPOT_QUERY if self.wallet == "alipay" else "/pay/orderquery"

    def fault(self, kind: str, operation: str | None = None, **more: Any) -> None:
        self.faults([{"wallet": self.wallet, "operation": operation, "kind": kind, **more}])

    def faults(self, faults: list[dict[str, Any]]) -> None:
        put(self.sandbox, faults)

    def request(self, order: str) -> tuple[str, bytes]:
        """The path and the body of a barcode payment."""
        if self.wallet == "alipay":
            shop = alipay_shop.shop(self.sandbox, "offline")
            fields = shop.signed(SPOT_PAY, shop.spot_fields(self.sandbox.code(), order))
            return "/gateway.do", urllib.parse.urlencode(fields).encode()
        code = self.sandbox.code(wallet="wechat")
        members = wechat_shop.SALE | {"out_trade_no": order, "auth_code": code}
        return "/pay/micropay", as_xml(wechat_shop.shop(self.sandbox).signed(**members))

    def pay(self, order: str, *, limit_s: float = 10) -> tuple[int, bytes]:
        """Raises the socket's exceptions."""
        path, body = self.request(order)
        base = urlsplit(self.sandbox.http)
        connection = http.client.HTTPConnection(str(base.hostname), base.port, timeout=limit_s)
        try:
            connection.request("POST", path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def fields(self, body: bytes) -> dict[str, str]:
        """The fields of a response to `pay`, including the signature."""
        if self.wallet == "wechat":
            return from_xml(body)
        tree = alipay_shop.Reply("", body).tree
        signed = {name: tree.findtext(name) or "" for name in ("sign", "sign_type")}
        return alipay_shop.Reply("", body).node | {name: text for name, text in signed.items() if text}

    def is_signed(self, fields: dict[str, str]) -> bool:
        if self.wallet == "wechat":
            return fields["sign"] == signature(fields, wechat_shop.shop(self.sandbox).key, "MD5")
        scene = "online" if "notify_id" in fields else "offline"
        return alipay_shop.shop(self.sandbox, scene).is_signed(fields)

    def amount(self, fields: dict[str, str]) -> int:
        if self.wallet == "wechat":
            return int(fields["total_fee"])
        return round(float(fields.get("trans_amount") or fields["total_fee"]) * 100)

    def hits(self) -> list[int]:
        return [fault["hits"] for fault in self.sandbox.control("GET", "faults")]

    def book_rows(self, order: str) -> list[dict[str, Any]]:
        rows = self.sandbox.control("GET", f"book?wallet={self.wallet}")["trades"]
        return [row for row in rows if row["order"] == order]

    def pay_online(self, receiver: Receiver) -> str:
        """Makes an online payment with notices to the receiver. Returns the order's number."""
        receiver.answer = OK[self.wallet]
        order = alipay_shop.new_number()
        if self.wallet == "alipay":
            link = alipay_shop.shop(self.sandbox, "online").pc_link(order, "MD5", notify_url=receiver.url)
        else:
            shop = wechat_shop.shop(self.sandbox)
            link = shop.order(out_trade_no=order, notify_url=url_of(receiver))["code_url"]
        self.sandbox.control("POST", "confirm", {"action": "pay", "url": link})
        return order

    def notice(self, body: bytes) -> dict[str, str]:
        return form_of(body) if self.wallet == "alipay" else from_xml(body)


def put(sandbox: Sandbox, faults: Any) -> list[dict[str, Any]]:
    status, answer = sandbox.call("PUT", "/control/faults", json.dumps(faults).encode())
    rows = json.loads(answer)
    if status != 200:
        raise ControlRefused(status, rows)
    shown: list[dict[str, Any]] = rows
    return shown


class Closing(asyncio.Protocol):
    """Sets an event when its connection is closed."""

    def __init__(self, lost: asyncio.Event) -> None:
        self._lost = lost

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost.set()


@pytest.fixture
def clients(sandbox: Sandbox) -> Iterator[Callable[[str], WalletClient]]:
    yield lambda wallet: WalletClient(sandbox, wallet)
    sandbox.control("DELETE", "faults")


@WALLETS
@pytest.mark.parametrize("kind", ["refuse_connection", "timeout_before"])
def test_nothing_is_done_and_no_response_comes(
    clients: Callable[[str], WalletClient], wallet: str, kind: str
) -> None:
    client, order = clients(wallet), alipay_shop.new_number()
    client.fault(kind, client.pay_operation, times=1)
    with pytest.raises(SILENCE):
        client.pay(order, limit_s=0.5)
    assert client.book_rows(order) == []
    assert client.hits() == [1]
    assert client.pay(order)[0] == 200
    assert len(client.book_rows(order)) == 1


@WALLETS
def test_a_refused_connection_is_a_reset_before_any_byte(
    clients: Callable[[str], WalletClient], wallet: str
) -> None:
    client = clients(wallet)
    client.fault("refuse_connection")
    path, body = client.request(alipay_shop.new_number())
    base = urlsplit(client.sandbox.http)
    with socket.create_connection((base.hostname, base.port), timeout=10) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        connection.sendall(body)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_connection_that_the_caller_has_closed_need_not_be_reset(run: Callable[[Any], None]) -> None:
    async def scenario() -> None:
        ours, theirs = socket.socketpair()
        lost = asyncio.Event()
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: Closing(lost), sock=ours)
        theirs.close()
        await lost.wait()
        reset(transport)

    run(scenario())


def test_a_refused_connection_over_tls_ends_without_an_answer(clients: Callable[[str], WalletClient]) -> None:
    client, order = clients("wechat"), alipay_shop.new_number()
    shop = wechat_shop.shop(client.sandbox)
    client.fault("refuse_connection", "/secapi/pay/reverse", times=1)
    client.pay(order)
    with pytest.raises((*SILENCE, OSError)):
        shop.reverse(order, tls=shop.client_tls())
    assert client.book_rows(order)[0]["state"] == "SUCCESS"
    assert shop.reverse(order, tls=shop.client_tls())["result_code"] == "SUCCESS"


@WALLETS
def test_a_lost_response_hides_a_done_payment(clients: Callable[[str], WalletClient], wallet: str) -> None:
    client, order = clients(wallet), alipay_shop.new_number()
    client.fault("timeout_after", client.pay_operation)
    with pytest.raises(TimeoutError):
        client.pay(order, limit_s=0.5)
    assert len(client.book_rows(order)) == 1
    assert client.hits() == [1]


@WALLETS
@pytest.mark.parametrize("kind", ["timeout_before", "timeout_after"])
def test_a_held_connection_is_finally_reset(
    clients: Callable[[str], WalletClient], wallet: str, kind: str
) -> None:
    client = clients(wallet)
    client.fault(kind, hold_s=0.2)
    began = time.monotonic()
    with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
        client.pay(alipay_shop.new_number())
    assert 0.2 <= time.monotonic() - began < 5


@WALLETS
def test_http_500_is_sent_and_nothing_is_done(clients: Callable[[str], WalletClient], wallet: str) -> None:
    client, order = clients(wallet), alipay_shop.new_number()
    client.fault("http_500")
    assert client.pay(order)[0] == 500
    assert client.book_rows(order) == []


@WALLETS
def test_a_slow_response_is_unchanged(clients: Callable[[str], WalletClient], wallet: str) -> None:
    client, order = clients(wallet), alipay_shop.new_number()
    client.fault("slow", delay_s=0.3)
    began = time.monotonic()
    status, body = client.pay(order)
    assert time.monotonic() - began >= 0.3
    assert status == 200
    assert client.is_signed(client.fields(body))
    assert len(client.book_rows(order)) == 1


@WALLETS
def test_a_system_error_is_signed_and_nothing_is_done(
    clients: Callable[[str], WalletClient], wallet: str
) -> None:
    client, order = clients(wallet), alipay_shop.new_number()
    client.fault("system_error")
    fields = client.fields(client.pay(order)[1])
    assert client.is_signed(fields)
    expected = {"alipay": ("UNKNOW", "SYSTEM_ERROR"), "wechat": ("FAIL", "SYSTEMERROR")}[wallet]
    assert (fields["result_code"], fields.get("err_code") or fields.get("error")) == expected
    assert client.book_rows(order) == []


def test_every_service_of_alipay_has_a_system_error(clients: Callable[[str], WalletClient]) -> None:
    client, order = clients("alipay"), alipay_shop.new_number()
    offline, online = (alipay_shop.shop(client.sandbox, scene) for scene in ("offline", "online"))
    offline.pay_spot(client.sandbox.code(), order)
    client.fault("system_error")
    assert offline.query_spot(order)["error"] == "SYSTEM_ERROR"
    cancelled = offline.cancel(order)
    assert (cancelled["detail_error_code"], cancelled["retry_flag"]) == ("SYSTEM_ERROR", "Y")
    assert offline.refund_spot(order, "r1", "1.00")["error"] == "SYSTEM_ERROR"
    refund = offline.call("alipay.acquire.refund.query", out_trade_no=order, out_return_no="r1")
    assert refund["response_code"] == "SYSTEM_ERROR"
    assert online.query_online(order).error == "SYSTEM_ERROR"
    assert online.call("close_trade", out_order_no=order).error == "SYSTEM_ERROR"
    assert online.refund_online(order, "r2", "1.00").error == "SYSTEM_ERROR"
    page = online.open(online.pc_link(alipay_shop.new_number()))
    assert b"SYSTEM_ERROR" in page.body
    assert page.content_type.startswith("text/html")
    assert client.hits() == [8]
    assert offline.book_row(order)["refunded"] == 0
    for service in ("forex_compare_file", "forex_liquidation_file", "forex_rate_file"):
        members = online.signed(service, {"start_date": "20261101", "end_date": "20261101"})
        assert online.post(members).body == b"System exception"
        assert online.post({**members, "sign": "0" * 32}).error == "ILLEGAL_SIGN"
    created = offline.call("alipay.acquire.precreate", **offline.precreate_fields(order))
    assert (created["result_code"], created["detail_error_code"]) == ("UNKNOWN", "SYSTEM_ERROR")
    assert client.hits() == [12]


def test_every_call_of_wechat_has_a_system_error(clients: Callable[[str], WalletClient]) -> None:
    client, order = clients("wechat"), alipay_shop.new_number()
    shop = wechat_shop.shop(client.sandbox)
    client.pay(order)
    client.fault("system_error")
    assert shop.order().error == "SYSTEMERROR"
    assert shop.query(order).error == "SYSTEMERROR"
    assert shop.call("/pay/closeorder", out_trade_no=order).error == "SYSTEMERROR"
    assert shop.refund(order, 100).error == "SYSTEMERROR"
    assert shop.call("/pay/refundquery", out_trade_no=order).error == "SYSTEMERROR"
    reversed_ = shop.reverse(order, sign_type="HMAC-SHA256")
    assert (reversed_.error, reversed_["recall"]) == ("SYSTEMERROR", "Y")
    days: dict[str, Any] = {"date_start": "20261101", "date_end": "20261101"}
    assert shop.call("/pay/settlementquery", usetag=1, offset=0, limit=1, **days).error == "SYSTEMERROR"
    assert shop.call("/tools/authcodetoopenid", auth_code="1").error == "SYSTEMERROR"
    assert shop.call("/tools/shorturl", long_url="weixin://").error == "SYSTEMERROR"
    rate = shop.call("/pay/queryexchagerate", fee_type="HKD", date="20261101")
    assert rate.fields == {"return_code": "FAIL", "return_msg": "system error"}
    of_provider = as_xml(shop.signed(sub_mch_id="", bill_date="20261101", bill_type="ALL"))
    bill = shop.send("/pay/downloadbill", of_provider).fields
    assert bill == {"return_code": "FAIL", "return_msg": "SYSTEMERROR", "error_code": "20003"}
    status, body = client.sandbox.call("GET", "/sns/oauth2/access_token?appid=x")
    assert (status, json.loads(body)["errcode"]) == (200, -1)
    renamed = as_xml(shop.signed(out_trade_no=order)).replace(b"xml>", b"request>")
    assert shop.send("/pay/orderquery", renamed).error == "SYSTEMERROR"
    assert client.hits() == [13]
    assert client.book_rows(order)[0]["state"] == "SUCCESS"


@WALLETS
def test_an_invalid_request_does_not_trigger_a_system_error(
    clients: Callable[[str], WalletClient], wallet: str
) -> None:
    client = clients(wallet)
    client.fault("system_error")
    path, body = client.request(alipay_shop.new_number())
    changed = body.replace(b"HKD", b"USD")
    assert b"SYSTEM" not in client.sandbox.call("POST", path, changed)[1]
    assert client.hits() == [0]


@WALLETS
def test_a_bad_signature_is_off_by_one_byte(clients: Callable[[str], WalletClient], wallet: str) -> None:
    client, order = clients(wallet), alipay_shop.new_number()
    client.fault("bad_signature")
    fields = client.fields(client.pay(order)[1])
    assert not client.is_signed(fields)
    wrong = fields["sign"]
    assert any(client.is_signed({**fields, "sign": digit + wrong[1:]}) for digit in "0123456789abcdefABCDEF")
    assert len(client.book_rows(order)) == 1


@WALLETS
def test_a_wrong_amount_is_correctly_signed_and_not_in_the_book(
    clients: Callable[[str], WalletClient], wallet: str
) -> None:
    client, order = clients(wallet), alipay_shop.new_number()
    client.fault("wrong_amount", times=1)
    fields = client.fields(client.pay(order)[1])
    assert client.is_signed(fields)
    (row,) = client.book_rows(order)
    assert client.amount(fields) == row["amount"] + 1
    assert client.hits() == [1]


@pytest.mark.parametrize("sign_type", ["MD5", "HMAC-SHA256"])
def test_wechat_tampers_with_the_refunded_amount(
    clients: Callable[[str], WalletClient], sign_type: str
) -> None:
    client, order = clients("wechat"), alipay_shop.new_number()
    shop = wechat_shop.shop(client.sandbox)
    client.pay(order)
    client.fault("wrong_amount")
    done = shop.refund(order, 100, sign_type=sign_type)
    assert (done["refund_fee"], done["total_fee"]) == ("101", "8800")
    members = shop.call("/pay/refundquery", sign_type, out_trade_no=order)
    assert (members["refund_fee_0"], members["total_fee"]) == ("101", "8800")
    assert client.book_rows(order)[0]["refunded"] == 100


def test_alipay_tampers_with_amounts_in_every_sign_type(clients: Callable[[str], WalletClient]) -> None:
    client, order = clients("alipay"), alipay_shop.new_number()
    online = alipay_shop.shop(client.sandbox, "online")
    alipay_shop.confirm(client.sandbox, url=online.pc_link(order))
    true = online.query_online(order)["total_fee"]
    client.fault("wrong_amount")
    for sign_type in ("MD5", "RSA", "RSA2"):
        tampered = online.call("single_trade_query", sign_type, out_trade_no=order)["total_fee"]
        assert round(float(tampered) * 100) == round(float(true) * 100) + 1
    assert online.refund_online(order, "r1", "1.00").error is None
    assert client.hits() == [3]


@WALLETS
def test_a_fault_applies_to_its_own_wallet_and_operation_only(
    clients: Callable[[str], WalletClient], wallet: str
) -> None:
    client = clients(wallet)
    other = clients({"alipay": "wechat", "wechat": "alipay"}[wallet])
    client.fault("http_500", client.query_operation)
    assert client.pay(alipay_shop.new_number())[0] == 200
    client.fault("http_500", "")
    assert other.pay(alipay_shop.new_number())[0] == 200
    assert client.pay(alipay_shop.new_number())[0] == 500


def test_a_call_belongs_to_hong_kong_once_its_payer_is_known(clients: Callable[[str], WalletClient]) -> None:
    client = clients("wechat")
    shop, mainland, hong_kong = (
        wechat_shop.shop(client.sandbox),
        alipay_shop.new_number(),
        alipay_shop.new_number(),
    )
    client.pay(mainland)
    put(client.sandbox, [{"wallet": "wechat_hk", "kind": "system_error"}])
    code = client.sandbox.code(wallet="wechat_hk")
    assert shop.scan_code(code, out_trade_no=hong_kong).error == "SYSTEMERROR"
    put(client.sandbox, [])
    assert shop.scan_code(code, out_trade_no=hong_kong)["result_code"] == "SUCCESS"
    put(client.sandbox, [{"wallet": "wechat_hk", "kind": "system_error", "operation": "/pay/orderquery"}])
    assert shop.query(hong_kong).error == "SYSTEMERROR"
    assert shop.query(mainland)["trade_state"] == "SUCCESS"
    put(client.sandbox, [{"wallet": "wechat", "kind": "system_error"}])
    assert shop.query(hong_kong)["trade_state"] == "SUCCESS"
    assert shop.query(mainland).error == "SYSTEMERROR"
    assert shop.order().error == "SYSTEMERROR"


def test_times_count_down_and_the_next_fault_follows(clients: Callable[[str], WalletClient]) -> None:
    client = clients("wechat")
    client.faults(
        [
            {"wallet": "wechat", "kind": "http_500", "times": 2},
            {"wallet": "wechat", "kind": "system_error", "times": 1},
        ]
    )
    statuses = [client.pay(alipay_shop.new_number()) for _ in range(4)]
    assert [status for status, _ in statuses] == [500, 500, 200, 200]
    assert b"SYSTEMERROR" in statuses[2][1]
    assert b"SYSTEMERROR" not in statuses[3][1]
    assert [(row["hits"], row["left"]) for row in client.sandbox.control("GET", "faults")] == [(2, 0), (1, 0)]


def _pattern(client: WalletClient, calls: int) -> list[bool]:
    return [client.pay(alipay_shop.new_number())[0] == 500 for _ in range(calls)]


def test_the_same_seed_triggers_on_the_same_calls_across_a_restart(own_sandbox: Sandbox) -> None:
    client = WalletClient(own_sandbox, "wechat")
    fault: dict[str, Any] = {"probability": 0.5, "seed": 7}
    client.fault("http_500", **fault)
    whole = _pattern(client, 16)
    assert {True, False} == set(whole)
    client.fault("http_500", **fault)
    first = _pattern(client, 9)
    seen = own_sandbox.control("GET", "faults")
    own_sandbox.restart(number=signal.SIGKILL)
    assert own_sandbox.control("GET", "faults") == seen
    assert first + _pattern(client, 7) == whole
    assert client.hits() == [whole.count(True)]


def test_draws_are_fair_and_independent_for_each_fault() -> None:
    def draws(kind: str, seed: int, share: float) -> list[bool]:
        fault = Fault("alipay", "*", kind, None, share, seed, None, None)
        return [fault.triggers_on(call) for call in range(2000)]

    assert 0.25 < draws("slow", 1, 0.3).count(True) / 2000 < 0.35
    assert draws("slow", 1, 0.3) != draws("slow", 2, 0.3)
    assert draws("slow", 1, 0.3) != draws("http_500", 1, 0.3)
    assert all(draws("slow", 1, 1))
    assert not any(draws("slow", 1, 0))


# Notices.


@WALLETS
def test_a_dropped_notice_is_repeated_on_schedule(
    own_sandbox: Sandbox, receiver: Receiver, wallet: str
) -> None:
    client = WalletClient(own_sandbox, wallet)
    client.fault("drop_notice", times=1)
    client.pay_online(receiver)
    _until_hits(client, [1])
    assert receiver.bodies == []
    own_sandbox.advance({"alipay": 120, "wechat": 15}[wallet])
    receiver.wait_for(1)


@WALLETS
def test_a_delayed_notice_arrives_later_as_the_same_attempt(
    own_sandbox: Sandbox, receiver: Receiver, wallet: str
) -> None:
    client = WalletClient(own_sandbox, wallet)
    client.fault("delay_notice", delay_s=5000)
    order = client.pay_online(receiver)
    _until_hits(client, [1])
    own_sandbox.advance(4900)
    assert receiver.bodies == []
    receiver.answers = [(500, b"")]
    own_sandbox.advance(101)
    (body,) = receiver.wait_for(1)
    assert client.notice(body)["out_trade_no"] == order
    own_sandbox.control("DELETE", "faults")
    own_sandbox.advance({"alipay": 120, "wechat": 15}[wallet])
    receiver.wait_for(2)


@WALLETS
def test_a_duplicated_notice_arrives_twice(
    clients: Callable[[str], WalletClient], receiver: Receiver, wallet: str
) -> None:
    client = clients(wallet)
    client.fault("duplicate_notice", times=1)
    client.pay_online(receiver)
    first, second = receiver.wait_for(2)
    assert first == second
    assert client.hits() == [1]


@WALLETS
def test_a_notice_is_overtaken_by_the_next_one(
    clients: Callable[[str], WalletClient], receiver: Receiver, wallet: str
) -> None:
    client = clients(wallet)
    client.fault("reorder_notices")
    first = client.pay_online(receiver)
    _until_hits(client, [1])
    second = client.pay_online(receiver)
    orders = [client.notice(body)["out_trade_no"] for body in receiver.wait_for(2)]
    assert orders == [second, first]
    assert client.hits() == [1]


@WALLETS
def test_a_reordered_notice_without_a_successor_waits_five_seconds(
    own_sandbox: Sandbox, receiver: Receiver, wallet: str
) -> None:
    client = WalletClient(own_sandbox, wallet)
    client.fault("reorder_notices")
    client.pay_online(receiver)
    _until_hits(client, [1])
    own_sandbox.restart(number=signal.SIGKILL)
    assert receiver.bodies == []
    own_sandbox.advance(5)
    receiver.wait_for(1)


@WALLETS
@pytest.mark.parametrize("kind", ["bad_signature", "wrong_amount"])
def test_a_tampered_notice_is_followed_by_an_unchanged_attempt(
    own_sandbox: Sandbox, receiver: Receiver, wallet: str, kind: str
) -> None:
    client = WalletClient(own_sandbox, wallet)
    client.fault(kind, "notice", times=1)
    receiver.answers = [(500, b"")]
    order = client.pay_online(receiver)
    tampered = client.notice(receiver.wait_for(1)[0])
    (row,) = client.book_rows(order)
    assert client.is_signed(tampered) == (kind == "wrong_amount")
    assert client.amount(tampered) == row["amount"] + (kind == "wrong_amount")
    own_sandbox.advance({"alipay": 120, "wechat": 15}[wallet])
    true = client.notice(receiver.wait_for(2)[1])
    assert client.is_signed(true)
    assert client.amount(true) == row["amount"]


def test_a_wrong_amount_is_inside_the_encrypted_refund_notice(
    own_sandbox: Sandbox, receiver: Receiver
) -> None:
    client, order = WalletClient(own_sandbox, "wechat"), alipay_shop.new_number()
    shop = wechat_shop.shop(own_sandbox)
    client.pay(order)
    put(
        own_sandbox,
        [
            {"wallet": "wechat", "operation": "notice", "kind": kind}
            for kind in ("bad_signature", "wrong_amount")
        ],
    )
    receiver.answer = OK["wechat"]
    shop.refund(order, 100, notify_url=url_of(receiver))
    own_sandbox.advance(3)
    (body,) = receiver.wait_for(1)
    event = from_xml(decrypted(from_xml(body)["req_info"], shop.key))
    assert (event["refund_fee"], event["total_fee"]) == ("101", "8800")
    assert client.hits() == [0, 1]


def _until_hits(client: WalletClient, hits: list[int]) -> None:
    """Waits until the courier has processed the notice."""
    give_up_at = time.monotonic() + 10
    while client.hits() != hits:
        assert time.monotonic() < give_up_at


# The list itself.


def test_the_list_shows_what_is_in_force(clients: Callable[[str], WalletClient]) -> None:
    sandbox = clients("alipay").sandbox
    assert sandbox.control("GET", "faults") == []
    row = {"wallet": "alipay", "kind": "slow"}
    shown = {
        **row,
        "operation": "*",
        "times": None,
        "probability": 1,
        "seed": 0,
        "delay_s": 3,
        "hold_s": None,
        "hits": 0,
        "left": None,
    }
    assert put(sandbox, [row]) == sandbox.control("GET", "faults") == [shown]
    assert sandbox.control("DELETE", "faults") == sandbox.control("GET", "faults") == []


@pytest.mark.parametrize(
    ("fault", "field"),
    [
        ({"wallet": None}, "wallet"),
        ({"wallet": "paypal"}, "wallet"),
        ({"wallet": ["alipay"]}, "wallet"),
        ({"kind": None}, "kind"),
        ({"kind": "explodes"}, "kind"),
        ({"kind": {}}, "kind"),
        ({"operation": "/pay/micropay"}, "operation"),
        ({"operation": "pay"}, "operation"),
        ({"operation": 7}, "operation"),
        ({"operation": [SPOT_PAY]}, "operation"),
        ({"operation": "notice"}, "operation"),
        ({"kind": "drop_notice", "operation": SPOT_PAY}, "operation"),
        ({"times": 0}, "times"),
        ({"times": -1}, "times"),
        ({"times": 1.5}, "times"),
        ({"times": True}, "times"),
        ({"times": "1"}, "times"),
        ({"times": 10**10}, "times"),
        ({"probability": -0.1}, "probability"),
        ({"probability": 1.1}, "probability"),
        ({"probability": math.nan}, "probability"),
        ({"probability": True}, "probability"),
        ({"seed": 1.5}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"seed": "x"}, "seed"),
        ({"delay_s": 3}, "delay_s"),
        ({"hold_s": 3}, "hold_s"),
        ({"kind": "slow", "delay_s": 0}, "delay_s"),
        ({"kind": "slow", "delay_s": 601}, "delay_s"),
        ({"kind": "slow", "delay_s": 10**400}, "delay_s"),
        ({"kind": "slow", "delay_s": math.inf}, "delay_s"),
        ({"kind": "timeout_after", "hold_s": -1}, "hold_s"),
        ({"kind": "timeout_after", "hold_s": 601}, "hold_s"),
        ({"kinds": "slow"}, "kinds"),
    ],
)
def test_an_invalid_fault_is_refused_and_the_old_list_stays(
    clients: Callable[[str], WalletClient], fault: dict[str, Any], field: str
) -> None:
    sandbox, good = clients("alipay").sandbox, {"wallet": "alipay", "kind": "http_500"}
    before = put(sandbox, [good])
    with pytest.raises(ControlRefused) as refused:
        put(sandbox, [good, good | fault])
    assert (refused.value.status, refused.value.field) == (400, field)
    assert refused.value.text.startswith("fault 2: ")
    assert sandbox.control("GET", "faults") == before


@pytest.mark.parametrize(
    "members", [{}, 1, "x", None, [1], [[]], [{"wallet": "alipay", "kind": "slow"}] * 101]
)
def test_a_body_that_is_not_a_list_of_faults_is_refused(sandbox: Sandbox, members: object) -> None:
    with pytest.raises(ControlRefused) as refused:
        put(sandbox, members)
    assert refused.value.status == 400


def test_every_kind_is_documented() -> None:
    page = (ROOT / "docs" / "sandbox.md").read_text("utf-8")
    assert [kind for kind in KINDS if f"| `{kind}` |" not in page] == []
