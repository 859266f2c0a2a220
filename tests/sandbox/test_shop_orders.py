"""Transitions of the demo shop's orders, parsing of amounts, and the interval between queries."""

import hashlib
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from tael_client import Credentials, Money, PayType

from tael_sandbox.shop.goods import Basket
from tael_sandbox.shop.main import parse_arguments
from tael_sandbox.shop.order import Order, Refund, RefundState, State, minor_of, next_state, refundable_minor
from tael_sandbox.shop.order_store import OrderStore
from tael_sandbox.shop.shop_service import QUERY_INTERVAL_S, ShopService


@pytest.mark.parametrize(
    ("state", "reported", "expected"),
    [
        (State.SENDING, State.PAID, State.PAID),
        (State.UNKNOWN, State.WAITING, State.WAITING),
        (State.WAITING, State.CLOSED, State.CLOSED),
        (State.PAID, State.WAITING, State.PAID),  # a query from before the payment
        (State.PAID, State.REFUSED, State.PAID),
        (State.PAID, State.CLOSED, State.PAID),
        (State.PAID, State.REVERSED, State.REVERSED),
        (State.CLOSED, State.PAID, State.PAID),  # the payer was faster
        (State.CLOSED, State.WAITING, State.CLOSED),
        (State.REFUSED, State.PAID, State.PAID),
        (State.REVERSED, State.PAID, State.REVERSED),  # a late webhook
    ],
)
def test_only_a_possible_transition_changes_an_order(state: State, reported: State, expected: State) -> None:
    assert next_state(state, reported) is expected


def test_an_outdated_state_does_not_replace_a_newer_one(tmp_path: Path) -> None:
    order_store = OrderStore(tmp_path / "shop.sqlite")
    basket = Basket({"milk_tea": 1})
    order_store.place(Order("shop-1", basket, Money(2200, "HKD"), PayType.WECHAT_QR, State.SENDING, 0.0))

    order_store.apply_outcome("shop-1", State.PAID, syssn="201709060902990042326492")
    order_store.apply_outcome("shop-1", State.WAITING, "1145 not yet", "201709060902990042326493")

    kept = order_store.order("shop-1")
    order_store.close()
    assert kept is not None
    assert (kept.state, kept.detail, kept.syssn) == (State.PAID, "", "201709060902990042326492")


@pytest.mark.parametrize(
    ("typed", "currency", "minor"),
    [
        ("12.5", "HKD", 1250),
        ("12.05", "HKD", 1205),
        (" 7 ", "HKD", 700),
        ("0.01", "HKD", 1),
        ("500", "JPY", 500),
    ],
)
def test_an_amount_is_read_into_minor_units(typed: str, currency: str, minor: int) -> None:
    assert minor_of(typed, currency) == minor


@pytest.mark.parametrize("typed", ["", ".5", "1.", "1.234", "1,5", "-1", "1e3", "١", "1234567890", "0x1"])
def test_an_invalid_amount_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        minor_of(typed, "HKD")


def test_yen_have_no_decimals() -> None:
    with pytest.raises(ValueError, match="not an amount"):
        minor_of("5.0", "JPY")


def test_a_pending_refund_counts_as_refunded() -> None:
    order = Order("shop-1", Basket({}), Money(1000, "HKD"), PayType.WECHAT_QR, State.PAID, 0.0)
    refunds = [
        Refund("r1", 100, RefundState.DONE),
        Refund("r2", 200, RefundState.PENDING),
        Refund("r3", 400, RefundState.REFUSED),
    ]

    assert refundable_minor(order, refunds) == 700


def test_plain_http_to_a_remote_gateway_needs_the_option(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def arguments(gateway: str, *more: str) -> list[str]:
        return ["--port", "1", "--gateway", gateway, "--sandbox", "http://127.0.0.1:1", "--data", "x", *more]

    with pytest.raises(SystemExit):
        parse_arguments(arguments("http://pay.example"))
    assert "--allow-http" in capsys.readouterr().err
    assert parse_arguments(arguments("http://pay.example", "--allow-http")).allow_http
    assert not parse_arguments(arguments("http://127.0.0.1:8000")).allow_http


async def test_an_undecided_order_is_queried_once_in_five_seconds(
    tmp_path: Path, httpserver_ipv4: HTTPServer
) -> None:
    key, answer = "2" * 32, b'{"respcd": "0000", "resperr": "", "page": 1, "page_size": 10, "data": []}'
    sign = hashlib.md5(answer + key.encode()).hexdigest().upper()
    httpserver_ipv4.expect_request("/trade/v1/query").respond_with_data(answer, headers={"X-QF-SIGN": sign})
    notebook, now_s = OrderStore(tmp_path / "shop.sqlite"), [100.0]
    orders = [
        Order(reference, Basket({"milk_tea": 1}), Money(2200, "HKD"), PayType.WECHAT_QR, State.WAITING, 0.0)
        for reference in ("shop-1", "shop-2")
    ]
    for order in orders:
        notebook.place(order)
    service = ShopService(
        httpserver_ipv4.url_for(""),
        Credentials("1" * 32, key, "shop"),
        "new",
        notebook,
        allow_http=True,
        timer=lambda: now_s[0],
    )

    queried = []
    for at_s in (0.0, 0.0, QUERY_INTERVAL_S - 0.5, QUERY_INTERVAL_S, QUERY_INTERVAL_S + 0.5):
        now_s[0] = 100.0 + at_s
        for order in orders:
            await service.refresh_if_due(order)
        queried.append(len(httpserver_ipv4.log))
    await service.close_connections()
    notebook.close()

    assert QUERY_INTERVAL_S == 5
    assert queried == [2, 2, 2, 4, 4]
