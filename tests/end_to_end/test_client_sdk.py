"""The merchant's client against a whole demo: every pay type and call, sync and async, and its webhook receivers."""

import asyncio
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx
import pytest
import uvicorn
from tael_client import (
    AnswerNotProven,
    AsyncClient,
    Client,
    Credentials,
    Filters,
    Money,
    Notification,
    OutcomePending,
    Paid,
    Payment,
    PaymentOrder,
    Pending,
    Refused,
    RowKind,
    SignType,
    Undone,
    asgi_app,
    read_return,
    wsgi_app,
)
from tael_client.notifications import Style

from tests.end_to_end.merchant import ALL_TYPES, OFFLINE, ONLINE, WALLET_OF, Merchant, new_reference
from tests.end_to_end.rig import ROOT, Demo, eventually

AMOUNT: Final = Money(1000, "HKD")
#: Real seconds for the gateway's jobs to catch up after the clock was moved.
LEAP_LIMIT_S: Final = 0.5


def credentials_of(merchant: Merchant) -> Credentials:
    sign_type = SignType.SHA256 if merchant.sha256 else SignType.MD5
    return Credentials(merchant.appcode, merchant.key, merchant.mchid, sign_type)


@dataclass(slots=True)
class Terminal:
    """The sync or async client of a merchant of the demo. Its sleeps move the demo's clock."""

    merchant: Merchant
    is_async: bool = False
    credentials: Credentials = field(init=False)
    reference: str = ""  #: of the order that was made last
    rested: list[float] = field(default_factory=list)
    #: Called during every sleep.
    meanwhile: Callable[[], object] = lambda: None

    def __post_init__(self) -> None:
        self.credentials = credentials_of(self.merchant)

    @property
    def demo(self) -> Demo:
        return self.merchant.demo

    def rest(self, rest_s: float) -> None:
        """Move the clock, and give the gateway some real time for the work of those seconds."""
        self.rested.append(rest_s)
        self.demo.advance(rest_s)
        self.meanwhile()
        eventually(
            lambda: self.merchant.rows(out_trade_no=self.reference),
            lambda rows: bool(rows) and (rows[0]["respcd"], rows[0]["cancel"]) != ("1145", "0"),
            LEAP_LIMIT_S,
        )

    async def rest_async(self, rest_s: float) -> None:
        await asyncio.to_thread(self.rest, rest_s)

    def monotonic(self) -> float:
        return sum(self.rested)

    def do(self, name: str, *args: Any, **kwargs: Any) -> Any:
        if self.is_async:
            return asyncio.run(self._do_async(name, args, kwargs))
        with Client(
            self.demo.gateway,
            self.credentials,
            now=self.demo.now,
            monotonic=self.monotonic,
            sleep=self.rest,
        ) as client:
            got = getattr(client, name)(*args, **kwargs)
            return list(got) if name == "query_all" else got

    async def _do_async(self, name: str, args: Any, kwargs: Any) -> Any:
        async with AsyncClient(
            self.demo.gateway,
            self.credentials,
            now=self.demo.now,
            monotonic=self.monotonic,
            sleep=self.rest_async,
        ) as client:
            method = getattr(client, name)
            if name == "query_all":
                return [row async for row in method(*args, **kwargs)]
            return await method(*args, **kwargs)

    def pays_when_shown(self, shown: list[Payment]) -> None:
        """During the next sleep the payer sees the shown payment and pays once."""

        def look() -> None:
            if shown:
                self.meanwhile = lambda: None
                self.pay_by_phone(shown[0])

        self.meanwhile = look

    # ---- payments in a given state ------------------------------------------------------------------------

    def order(self, pay_type: str, behaviour: str = "pays", amount: Money = AMOUNT) -> PaymentOrder:
        self.reference = reference = new_reference()
        if pay_type in WALLET_OF:
            code = self.demo.code(WALLET_OF[pay_type], behaviour)
            make = {
                "800108": PaymentOrder.alipay_barcode,
                "800208": PaymentOrder.wechat_barcode,
                "800228": PaymentOrder.wechat_hk_barcode,
            }[pay_type]
            return make(reference, amount, code)
        if pay_type == "800207":
            return PaymentOrder.wechat_in_app(reference, amount, self.demo.openid())
        make_online = {
            "800151": PaymentOrder.alipay_web,
            "800152": PaymentOrder.alipay_wap,
            "800201": PaymentOrder.wechat_qr,
        }[pay_type]
        return make_online(reference, amount, product_name="茶 & 水")

    def pay_by_phone(self, payment: Payment) -> Any:
        return self.demo.confirm(url=payment.bridge_params.get("package") or payment.pay_url)

    def row(self, syssn: str) -> Any:
        rows = self.do("query", Filters(syssns=[syssn])).rows
        assert len(rows) == 1
        return rows[0]

    def until(self, syssn: str, is_so: Callable[[Any], bool]) -> Any:
        row = eventually(lambda: self.row(syssn), is_so)
        assert is_so(row), row
        return row

    def paid(self, pay_type: str) -> Payment:
        payment: Payment = self.do("payment", self.order(pay_type))
        if not payment.is_paid:
            self.pay_by_phone(payment)
            self.until(payment.syssn, lambda row: row.is_paid)
        return payment


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def terminal(request: pytest.FixtureRequest, shop: Merchant) -> Terminal:
    return Terminal(shop, is_async=request.param)


# ---- payments ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pay_type", ALL_TYPES)
def test_every_pay_type_is_opened_and_paid(terminal: Terminal, demo: Demo, pay_type: str) -> None:
    order = terminal.order(pay_type)
    payment = terminal.do("payment", order)

    assert (payment.reference, payment.pay_type, payment.amount) == (order.reference, pay_type, AMOUNT)
    assert re.fullmatch(r"[0-9]{24}", payment.syssn)
    assert abs(payment.server_time - demo.now()) < timedelta(minutes=1)
    assert payment.is_paid == (pay_type in OFFLINE)
    assert bool(payment.payer_ref) == (pay_type in OFFLINE)
    if pay_type in ONLINE:
        assert not terminal.row(payment.syssn).is_paid
        terminal.pay_by_phone(payment)
    row = terminal.until(payment.syssn, lambda row: row.is_paid)
    assert (row.kind, row.amount, row.reference) == (RowKind.PAYMENT, AMOUNT, order.reference)
    assert demo.held(payment.syssn) == 1000


def test_the_same_order_sent_twice_is_one_payment(terminal: Terminal, demo: Demo) -> None:
    order = terminal.order("800208")
    first, second = terminal.do("payment", order), terminal.do("payment", order)
    assert first.syssn == second.syssn
    assert demo.held(first.syssn) == 1000


def test_the_client_works_with_an_app_for_sha256_only(chain: Merchant) -> None:
    terminal = Terminal(chain)
    assert terminal.do("payment", terminal.order("800208")).is_paid
    with pytest.raises(AnswerNotProven) as raised:
        Terminal(replace(chain, sha256=False)).do("query")
    assert raised.value.respcd == "1108"


def test_a_wrong_key_is_reported_and_decides_nothing_since_its_refusal_is_unsigned(shop: Merchant) -> None:
    terminal = Terminal(replace(shop, key="wrong"))
    with pytest.raises(AnswerNotProven, match="1108") as raised:
        terminal.do("payment", terminal.order("800201"))
    assert raised.value.respcd == "1108"


@pytest.mark.parametrize("behaviour", ["insufficient"])
def test_a_payer_without_money_is_a_refusal_with_the_text_for_the_cashier(
    terminal: Terminal, behaviour: str
) -> None:
    with pytest.raises(Refused) as raised:
        terminal.do("payment", terminal.order("800208", "insufficient"))
    assert (raised.value.respcd, raised.value.is_final) == ("1201", True)
    assert "1201" in raised.value.resperr


# ---- waiting -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pay_type", OFFLINE)
def test_a_payer_who_types_a_password_is_awaited(terminal: Terminal, demo: Demo, pay_type: str) -> None:
    order = terminal.order(pay_type, "password_then_pays")
    paid = terminal.do("pay_and_wait", order)

    assert isinstance(paid, Paid)
    assert (paid.reference, paid.amount) == (order.reference, AMOUNT)
    assert terminal.rested
    assert demo.held(paid.syssn) == 1000


@pytest.mark.parametrize("pay_type", OFFLINE)
def test_a_payer_who_never_types_is_reversed_at_the_deadline(
    terminal: Terminal, demo: Demo, pay_type: str
) -> None:
    undone = terminal.do(
        "pay_and_wait", terminal.order(pay_type, "password"), deadline_s=10.0, on_deadline="reverse"
    )
    assert isinstance(undone, Undone)
    assert undone.by is not None
    assert demo.held(undone.syssn) == 0
    assert not terminal.row(undone.syssn).is_paid


def test_a_payment_left_open_at_the_deadline_is_pending_and_may_still_be_paid(
    terminal: Terminal, demo: Demo
) -> None:
    pending = terminal.do("pay_and_wait", terminal.order("800208", "password"), deadline_s=7.0)
    assert isinstance(pending, Pending)
    assert terminal.rested == [5.0, 2.0]

    demo.confirm(trade=pending.syssn)
    terminal.until(pending.syssn, lambda row: row.is_paid)


class Cut(httpx.HTTPTransport):
    """Delivers every request, and loses the first responses."""

    def __init__(self, lost: int) -> None:
        super().__init__()
        self.lost = lost
        self.paths: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.paths.append(request.url.path.rpartition("/")[2])
        answer = super().handle_request(request)
        if len(self.paths) <= self.lost:
            answer.read()
            answer.close()
            raise httpx.ReadTimeout("the answer got lost")
        return answer


@pytest.mark.parametrize("pay_type", ["800208", "800201"])
def test_a_lost_response_costs_the_payer_nothing(demo: Demo, shop: Merchant, pay_type: str) -> None:
    terminal = Terminal(shop)
    shown: list[Payment] = []
    terminal.pays_when_shown(shown)
    order = terminal.order(pay_type)
    with (
        Cut(lost=1) as cut,
        httpx.Client(transport=cut) as http,
        Client(
            demo.gateway,
            terminal.credentials,
            http=http,
            now=demo.now,
            monotonic=terminal.monotonic,
            sleep=terminal.rest,
        ) as client,
    ):
        paid = client.pay_and_wait(order, on_opened=shown.append)

    assert isinstance(paid, Paid)
    assert cut.paths[:2] == ["payment", "query"]
    assert cut.paths.count("payment") == (1 if order.is_barcode else 2)
    assert len(terminal.do("query", Filters(references=[order.reference])).rows) == 1
    assert demo.held(paid.syssn) == 1000


def test_an_online_order_is_shown_awaited_and_paid(terminal: Terminal) -> None:
    shown: list[Payment] = []
    terminal.pays_when_shown(shown)
    paid = terminal.do("pay_and_wait", terminal.order("800201"), on_opened=shown.append)
    assert isinstance(paid, Paid)
    assert [payment.syssn for payment in shown] == [paid.syssn]


def test_an_unpaid_online_order_is_closed_at_the_deadline(terminal: Terminal) -> None:
    payment = terminal.do("payment", terminal.order("800201"))
    undone = terminal.do("wait", payment, deadline_s=5.0, on_deadline="close")
    assert isinstance(undone, Undone)
    assert terminal.row(payment.syssn).respcd == "1142"


# ---- the other calls ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("pay_type", ["800108", "800201", "800208"])
def test_a_payment_is_refunded_in_parts_and_never_beyond_itself(
    terminal: Terminal, demo: Demo, pay_type: str
) -> None:
    payment = terminal.paid(pay_type)
    for part in (Money(300, "HKD"), Money(700)):
        demo.advance(4)
        reference = new_reference()
        syssn = refunded(terminal, payment.syssn, reference, part)
        demo.advance(4)
        row = terminal.until(syssn, lambda row: row.respcd == "0000")
        assert (row.kind, row.reference) == (RowKind.REFUND, reference)
        assert row.amount.amount_minor == part.amount_minor
    assert demo.held(payment.syssn) == 0
    assert terminal.row(payment.syssn).is_undone
    with pytest.raises(Refused, match="1125"):
        terminal.do("refund", payment.syssn, new_reference(), Money(1))


def refunded(terminal: Terminal, syssn: str, reference: str, amount: Money) -> str:
    """The refund's number, whether it is done or in progress."""
    try:
        refund = terminal.do("refund", syssn, reference, amount)
    except OutcomePending as pending:
        return pending.syssn
    assert (refund.payment_syssn, refund.reference) == (syssn, reference)
    return str(refund.syssn)


def test_an_unpaid_order_is_closed_and_a_paid_one_is_not(terminal: Terminal) -> None:
    payment = terminal.do("payment", terminal.order("800201"))
    close = terminal.do("close", syssn=payment.syssn)
    assert close.payment_syssn == payment.syssn != close.syssn
    assert terminal.row(payment.syssn).respcd == "1142"

    with pytest.raises(Refused, match="1124"):
        terminal.do("close", reference=terminal.paid("800201").reference)


def test_a_paid_barcode_is_reversed_by_its_reference(terminal: Terminal, demo: Demo) -> None:
    payment = terminal.paid("800208")
    reversal = terminal.do("reversal", reference=payment.reference, amount=AMOUNT)
    assert reversal.payment_syssn == payment.syssn
    assert terminal.row(payment.syssn).is_undone
    assert demo.held(payment.syssn) == 0


def test_query_all_follows_pages_and_accepts_ranges_of_several_months(terminal: Terminal, demo: Demo) -> None:
    payments = [terminal.do("payment", terminal.order("800201")) for _ in range(5)]
    references = [payment.reference for payment in payments]
    since = demo.now() - timedelta(days=70)

    by_number = terminal.do("query_all", Filters(references=references), page_size=2)
    by_time = terminal.do("query_all", Filters(since=since, pay_types=["800201"]), page_size=3)

    newest_first = [payment.syssn for payment in reversed(payments)]
    assert [row.syssn for row in by_number] == newest_first
    assert [row.syssn for row in by_time if row.reference in references] == newest_first
    assert len({row.syssn for row in by_time}) == len(by_time)
    assert terminal.do("query_all", Filters(references=["never-used"])) == []


# ---- webhooks ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Book:
    """A merchant's function: keeps notifications, and fails `failures_left` times."""

    received: list[Notification] = field(default_factory=list)
    failures_left: int = 0

    def take(self, notification: Notification) -> None:
        if self.failures_left:
            self.failures_left -= 1
            raise RuntimeError("the merchant's database is away")
        self.received.append(notification)

    async def take_async(self, notification: Notification) -> None:
        self.take(notification)

    def of(self, reference: str) -> list[Notification]:
        return [each for each in self.received if each.reference == reference]

    def wait(self, reference: str) -> list[Notification]:
        notifications = eventually(lambda: self.of(reference), bool)
        assert notifications, f"nothing came for {reference}"
        return notifications


class Silent(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@contextmanager
def serving_wsgi(credentials: Credentials, book: Book, style: Style = "old") -> Iterator[str]:
    server = make_server("127.0.0.1", 0, wsgi_app(credentials, book.take, style), handler_class=Silent)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/notify"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def serving_asgi(credentials: Credentials, book: Book, style: Style = "old") -> Iterator[str]:
    app = asgi_app(credentials, book.take_async, style)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="on", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert eventually(lambda: server.started, bool)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/notify"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(params=[serving_wsgi, serving_asgi], ids=["wsgi", "asgi"])
def serving(request: pytest.FixtureRequest) -> Callable[..., Any]:
    chosen: Callable[..., Any] = request.param
    return chosen


def notify_url(demo: Demo, merchant: Merchant, url: str) -> AbstractContextManager[None]:
    """Send the app's webhooks to `url`."""
    return demo.app_set(merchant.appcode, "--notify-url", url)


def test_an_old_style_webhook_reaches_the_function_and_a_failed_one_is_repeated(
    demo: Demo, shop: Merchant, serving: Callable[..., Any]
) -> None:
    terminal = Terminal(shop)
    book = Book(failures_left=1)
    with serving(terminal.credentials, book) as url, notify_url(demo, shop, url):
        payment = terminal.paid("800201")
        assert eventually(lambda: book.failures_left == 0, bool)
        assert book.of(payment.reference) == []
        notifications = eventually(lambda: advanced(demo, 31, book, payment.reference), bool)

    assert len(notifications) == 1
    assert (notifications[0].style, notifications[0].is_paid, notifications[0].syssn) == (
        "old",
        True,
        payment.syssn,
    )
    assert (notifications[0].amount, notifications[0].mchid) == (Money(1000), shop.mchid)


def advanced(demo: Demo, seconds: float, book: Book, reference: str) -> list[Notification]:
    """Move the demo's clock. Returns the notifications of `reference`."""
    demo.advance(seconds)
    return book.of(reference)


def test_new_style_webhooks_report_payments_and_refunds(
    demo: Demo, chain: Merchant, serving: Callable[..., Any]
) -> None:
    terminal = Terminal(chain)
    book = Book()
    with serving(terminal.credentials, book, "new") as url, notify_url(demo, chain, url):
        payment = terminal.paid("800201")
        (paid,) = book.wait(payment.reference)
        reference = new_reference()
        refunded(terminal, payment.syssn, reference, Money(400))
        demo.advance(4)
        (refund,) = book.wait(reference)

    assert (paid.style, paid.is_paid, paid.amount) == ("new", True, AMOUNT)
    assert paid.paid_at is not None
    assert abs(paid.paid_at - demo.now()) < timedelta(minutes=10)
    assert (refund.kind.value, refund.is_paid, refund.amount) == ("refund", False, Money(400, "HKD"))
    assert (refund.payment_syssn, refund.payment_reference) == (payment.syssn, payment.reference)


def test_a_webhook_with_a_changed_byte_is_refused_by_a_running_receiver(
    demo: Demo, shop: Merchant, serving: Callable[..., Any]
) -> None:
    body = (
        b'{"pay_type": "800151", "txdtm": "2017-06-15 10:21:37", "mchid": "eqqmYMn0Zj6pncw5ZDxjgMqbzV",'
        b' "txamt": 10, "respmsg": "", "out_trade_no": "A", "syssn": 201706150902990034076180, "respcd": "0000"}'
    )
    book = Book()
    with serving(Credentials(shop.appcode, "123456"), book) as url:
        answers = [post(url, sent) for sent in (body, body.replace(b'"txamt": 10', b'"txamt": 11'))]
    assert answers == [(200, b"SUCCESS"), (400, b"bad signature")]
    assert len(book.received) == 1


def post(url: str, body: bytes) -> tuple[int, bytes]:
    """Post the documented call of 2017, or a changed one."""
    request = urllib.request.Request(url, body, {"X-QF-SIGN": "67A4F8CD7C48E6E1900F300D803A0F67"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read()


def test_a_browser_that_comes_back_from_alipay_is_read(demo: Demo, shop: Merchant) -> None:
    terminal = Terminal(shop)
    demo.set_app(shop.appcode, "--return-url", "https://shop.example/back?session=1")
    try:
        payment = terminal.do("payment", terminal.order("800152"))
        address = redirect_of(terminal.pay_by_phone(payment)["return_to"])
    finally:
        demo.set_app(shop.appcode, "--return-url", "")
    back = read_return(address)
    assert (back.syssn, back.reference, back.amount) == (payment.syssn, payment.reference, Money(1000))
    assert isinstance(back.client_time, datetime)


def redirect_of(address: str) -> str:
    """The url to which the browser is redirected."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    try:
        urllib.request.build_opener(Stay).open(address, timeout=10)
    except urllib.error.HTTPError as redirect:
        with redirect:
            return str(redirect.headers["Location"])
    raise AssertionError("the browser was sent nowhere")


# ---- the README --------------------------------------------------------------------------------------------


def test_the_readmes_first_payments_run_unchanged(demo: Demo, tmp_path: Path) -> None:
    readme = (ROOT / "client" / "README.md").read_text("utf-8")
    in_shop, online, webhooks = re.findall(r"^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    changes = {
        "http://127.0.0.1:8000": demo.gateway,
        "131234567890123456": demo.code("wechat"),
        '"tea-': f'"{new_reference()}-',
        "deadline_s=300": "deadline_s=0",
    }
    outputs = [run(source, changes, tmp_path) for source in (in_shop, online, webhooks)]
    assert outputs[0] == "paid\n"
    assert re.match(r"show as a QR code: weixin://.*\nUndone\(", outputs[1])
    assert outputs[2] == ""


def run(source: str, changes: dict[str, str], folder: Path) -> str:
    for before, after in changes.items():
        source = source.replace(before, after)
    script = folder / "first.py"
    script.write_text(source, "utf-8")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout
