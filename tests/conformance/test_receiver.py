"""The kit accepts a correct receiver of either style, and finds each mistake of a wrong one."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from tael_client import Credentials, Notification, wsgi_app
from tael_conformance.checks import Outcome, Result, Skipped
from tael_conformance.receiver.session import Order

from tests.conformance.kit import check_receiver, departed, explained, run_kit
from tests.conformance.wrong_receiver import AMOUNT, DEFECTS, KEY, Merchant, receiving
from tests.end_to_end.rig import Demo
from tests.end_to_end.shop_pages import TEA_MINOR, Customer

Style = Literal["old", "new"]
STATE: Final = "/orders/{out_trade_no}"
EVERY_SIGNATURE: Final = {
    *("receiver.forged.other-key", "receiver.forged.empty-key", "receiver.forged.appcode-key"),
    *("receiver.forged.altered-number", "receiver.forged.altered-result", "receiver.forged.wrong-signature"),
    *("receiver.forged.other-style", "receiver.forged.request"),
}
EVERY_GENUINE: Final = {
    *("receiver.genuine.acknowledged", "receiver.genuine.late", "receiver.genuine.chinese"),
    *("receiver.repeated.acknowledged", "receiver.repeated.at-once", "receiver.genuine.content-type"),
}
ONLY_NEW: Final = {
    *("receiver.forged.response", "receiver.forged.reserialised", "receiver.genuine.bytes"),
    *("receiver.genuine.unknown-members", "receiver.content.currency", "receiver.repeated.reordered"),
}
ONLY_OLD: Final = {"receiver.genuine.integers"}
WARNINGS: Final = {
    *("receiver.genuine.content-type", "receiver.genuine.integers", "receiver.repeated.at-once-booked-once"),
}
#: The checks that find each mistake, as far as they apply to the style; all others pass.
FOUND: Final = {
    "accepts a wrong signature": {
        *EVERY_SIGNATURE,
        *("receiver.forged.altered-amount", "receiver.forged.response", "receiver.forged.reserialised"),
        "receiver.repeated.forged",
    },
    "accepts no signature": {"receiver.forged.unsigned"},
    "accepts an empty signature": {"receiver.forged.empty-signature"},
    "has an empty key": {"receiver.forged.empty-key"},
    "has the appcode as its key": {"receiver.forged.appcode-key"},
    "accepts both styles": {"receiver.forged.other-style", "receiver.forged.request"},
    "signs parsed JSON": {"receiver.forged.reserialised", "receiver.genuine.bytes"},
    "accepts any signed object": {"receiver.forged.request", "receiver.forged.response"},
    "answers success to garbage": {"receiver.forged.not-json"},
    "books before it verifies": {
        *EVERY_SIGNATURE,
        *("receiver.forged.unsigned", "receiver.forged.empty-signature"),
        *("receiver.forged.response", "receiver.forged.reserialised"),
    },
    "rejects repeats": {
        *("receiver.repeated.acknowledged", "receiver.repeated.at-once", "receiver.repeated.reordered"),
    },
    "counts repeats": {"receiver.repeated.booked-once", "receiver.repeated.at-once-booked-once"},
    "pays any order": {"receiver.content.unknown-order"},
    "trusts the amount": {"receiver.content.amount"},
    "trusts the currency": {"receiver.content.currency"},
    "ignores respcd": {"receiver.content.unpaid"},
    "answers success with 500": {*EVERY_GENUINE, *ONLY_OLD, *ONLY_NEW}
    - {"receiver.forged.response", "receiver.forged.reserialised", "receiver.content.currency"},
    "answers OK": {*EVERY_GENUINE, *ONLY_OLD, *ONLY_NEW}
    - {"receiver.forged.response", "receiver.forged.reserialised", "receiver.content.currency"},
    "fails on unknown members": {"receiver.genuine.unknown-members"},
    "rejects late webhooks": {"receiver.genuine.late"},
    "needs a Content-Type": {"receiver.genuine.content-type"},
    "wants integers as text": {"receiver.genuine.integers"},
    "breaks on Chinese": {"receiver.genuine.chinese", "receiver.genuine.bytes"},
    "fails for refunds": {"receiver.repeated.reordered"},
}
#: Mistakes that only one style has; the others are made in the new style.
OLD_STYLE: Final = ("wants integers as text", "accepts both styles", "accepts a wrong signature")


def check(merchant: Merchant, *only: str) -> list[Result]:
    with receiving(merchant) as listener:
        return check_receiver(
            *(f"{listener.url}/notify", merchant.style, KEY),
            lambda: Order(merchant.new_order(), AMOUNT),
            STATE,
            *only,
        )


def expected(defect: str, style: Style) -> dict[str, Outcome]:
    found = set(FOUND[defect]) - (ONLY_OLD if style == "new" else ONLY_NEW)
    if defect == "accepts any signed object":
        found |= {"receiver.forged.other-style"}
    return {name: Outcome.WARNING if name in WARNINGS else Outcome.FAILED for name in found}


@pytest.mark.parametrize("style", ["old", "new"])
def test_a_correct_receiver_departs_from_no_rule(style: Style) -> None:
    results = check(Merchant(style))
    assert departed(results) == {}, explained(results)
    other = "old" if style == "new" else "new"
    assert {result.reason for result in results} == {"", f"the {other} style only"} - {
        f"the {style} style only"
    }


def test_every_mistake_is_expected_to_be_found() -> None:
    assert FOUND.keys() == set(DEFECTS)


@pytest.mark.parametrize("defect", [defect for defect in DEFECTS if defect != "wants integers as text"])
def test_a_new_style_receiver_with_one_mistake_is_found_by_the_checks_about_it(defect: str) -> None:
    results = check(Merchant("new", defect))
    assert departed(results) == expected(defect, "new"), explained(results)


@pytest.mark.parametrize("defect", OLD_STYLE)
def test_an_old_style_receiver_with_one_mistake_is_found_by_the_checks_about_it(defect: str) -> None:
    results = check(Merchant("old", defect))
    assert departed(results) == expected(defect, "old"), explained(results)


# ---- tael_client as a receiver -----------------------------------------------------------------------------------


class Books:
    """The bookings of a shop that uses `tael_client`: each order once, if number, amount and currency are its own."""

    def __init__(self) -> None:
        self.orders: dict[str, int] = {}

    def new_order(self) -> Order:
        number = f"tea-{len(self.orders)}"
        self.orders[number] = 0
        return Order(number, AMOUNT)

    def book(self, notification: Notification) -> None:
        is_ours = notification.reference in self.orders and notification.amount.amount_minor == int(AMOUNT)
        if notification.is_paid and is_ours and notification.amount.currency in ("", "HKD"):
            self.orders[notification.reference] = 1


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """No log."""


@contextmanager
def tael_client_receiver(style: Style, books: Books) -> Iterator[str]:
    receive = wsgi_app(Credentials("123456", KEY), books.book, style)

    def application(environ, start_response):  # type: ignore[no-untyped-def]
        if environ["REQUEST_METHOD"] == "POST":
            return receive(environ, start_response)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(books.orders[environ["PATH_INFO"].rpartition("/")[2]]).encode()]

    with make_server("127.0.0.1", 0, application, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/notify"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("style", ["old", "new"])
def test_a_receiver_built_on_tael_client_departs_from_no_rule(style: Style) -> None:
    books = Books()
    with tael_client_receiver(style, books) as url:
        results = check_receiver(url, style, KEY, books.new_order, STATE)
    assert departed(results) == {}, explained(results)


# ---- the demo's shop -----------------------------------------------------------------------------------------------


class ShopStates:
    """The headline of an order's page."""

    def __init__(self, customer: Customer) -> None:
        self.customer = customer

    def read(self, order: Order) -> str:
        return self.customer.look(order.number).headline


def test_the_demo_s_shop_departs_from_no_rule(kit_demo: Demo) -> None:
    """Its app has old-style webhooks, and QFPay's published key is its appcode."""
    customer = Customer(kit_demo.shop)

    def new_order() -> Order:
        return Order(customer.order("800201").reference, str(TEA_MINOR))

    results = check_receiver(
        f"{kit_demo.shop}/webhook", "old", "123456", new_order, states=ShopStates(customer)
    )
    assert departed(results) == {}, explained(results)
    assert [each.outcome for each in results if each.id == "receiver.genuine.acknowledged"] == [
        Outcome.PASSED
    ]


# ---- the command -------------------------------------------------------------------------------------------------


def test_orders_can_be_named_and_a_check_without_one_is_skipped() -> None:
    merchant = Merchant("new")
    number = merchant.new_order()
    with receiving(merchant) as listener:
        done = run_kit(
            *("receiver", f"{listener.url}/notify", "--order", f"{number}={AMOUNT}"), QFPAY_KEY=KEY
        )
    assert done.exit_code == 0, done.output
    assert "needs another unpaid order: --order or --open-command" in done.output
    assert merchant.orders[number].times == 1


def test_orders_can_be_opened_by_a_command(tmp_path: Path) -> None:
    merchant = Merchant("new")
    number = merchant.new_order()
    program = tmp_path / "open.py"
    program.write_text(f"print('opened')\nprint('{number} {AMOUNT}')")
    with receiving(merchant) as listener:
        done = run_kit(
            *("receiver", f"{listener.url}/notify", "--only", "receiver.genuine.acknowledged"),
            *("--open-command", f"{sys.executable} {program}", "--state-url", f"{listener.url}{STATE}"),
            QFPAY_KEY=KEY,
        )
    assert (done.exit_code, "1 passed" in done.output) == (0, True), done.output


def test_the_report_of_a_failure_has_neither_key_nor_signature(tmp_path: Path) -> None:
    junit = tmp_path / "report.xml"
    key_file = tmp_path / "key"
    key_file.write_text(f"{KEY}\n")
    merchant = Merchant("new", "accepts a wrong signature")
    number = merchant.new_order()
    with receiving(merchant) as listener:
        done = run_kit(
            *("receiver", f"{listener.url}/notify", "--order", f"{number}={AMOUNT}"),
            *("--key-file", str(key_file), "--junit", str(junit)),
        )
    assert done.exit_code == 1
    for text in (done.output, junit.read_text()):
        assert "expected" in text
        assert KEY not in text
        assert "0123456789ABCDEF0123456789ABCDEF" not in text


@pytest.mark.parametrize(
    "arguments",
    [
        ("receiver",),
        ("receiver", "http://127.0.0.1:9/notify"),
        ("receiver", "http://127.0.0.1:9/notify", "--order", "tea-1"),
        ("receiver", "http://127.0.0.1:9/notify", "--order", "tea-1=100"),
        ("receiver", "ftp://127.0.0.1/notify", "--order", "tea-1=100"),
        ("receiver", "http://127.0.0.1:9/notify", "--order", "tea-1=100", "--only", "receiver.no.such"),
    ],
    ids=str,
)
def test_wrong_arguments_and_an_unreachable_receiver_are_unusable(arguments: tuple[str, ...]) -> None:
    assert run_kit(*arguments, QFPAY_KEY=KEY).exit_code == 2


def test_a_check_without_orders_is_skipped() -> None:
    def none_left() -> Order:
        raise Skipped("none left")

    merchant = Merchant("new")
    with receiving(merchant) as listener:
        results = check_receiver(f"{listener.url}/notify", "new", KEY, none_left)
    assert {result.outcome for result in results} == {Outcome.SKIPPED}


def test_a_command_that_opens_no_order_is_unusable() -> None:
    merchant = Merchant("new")
    with receiving(merchant) as listener:
        done = run_kit(
            *("receiver", f"{listener.url}/notify", "--open-command", f"{sys.executable} -c pass"),
            QFPAY_KEY=KEY,
        )
    assert (done.exit_code, "OUT_TRADE_NO AMOUNT" in done.output) == (2, True), done.output
