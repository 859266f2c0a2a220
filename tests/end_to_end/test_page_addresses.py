"""Addresses of a payer's pages: no guessable value opens one, and each ends 24 hours after its order or link.

The first half fills every route of the gateway with guessable values. A route with a path part that is missing from the
tables fails.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, cast
from urllib.parse import urlencode

import pytest
from starlette.routing import Route

from tael.main import application
from tests.end_to_end.checkout import DESKTOP, choose, link_params, look, open_link, opened, signed
from tests.end_to_end.merchant import FORM, Merchant, new_reference, send
from tests.end_to_end.rig import Demo
from tests.support.http_calls import Answer
from tests.support.routes import ROUTES_ONLY

Request = tuple[str, str]

# ---- guessable values ----------------------------------------------------------------------------------------------

GUESSABLE: Final = frozenset({"mchid", "syssn", "account_id", "wallet"})
#: Well-formed values of no order and no link.
SECRET: Final = {"token": "Zm9vYmFyYmF6cXV4", "link_id": "Zm9vYmFyYmF6cXV4Zm9vYmFy"}
#: Routes with only guessable parts in their path, and why that is safe.
GUESSABLE_ROUTES: Final = {
    "/notices/alipay/{account_id}": "the wallet signs what it posts",
    "/notices/wechat/{account_id}": "the wallet signs what it posts",
    "/return/alipay/{account_id}": "the wallet signs the query",
}
#: Public routes, and why they may be.
PUBLIC_ROUTES: Final = {
    "/healthz": "for the operator's monitoring; the manual keeps it from the outside",
    "/readyz": "for the operator's monitoring; the manual keeps it from the outside",
    "/metrics": "for the operator's monitoring; the manual keeps it from the outside",
    "/mch/v1/mcc": "the list of merchant categories, the same for everyone",
    "/tool/v1/mcc": "the list of merchant categories, the same for everyone",
    "/oauth/v2/authorize": "the sign-in for a registered app; without its request an error",
    "/checkstand": "the same for every link: only the browser has what stands behind #",
    "/checkstand/": "the same for every link: only the browser has what stands behind #",
}
#: The application is built only to list its routes.
ROUTES: Final = tuple(cast(Route, each).path for each in application(ROUTES_ONLY).routes)
AMOUNT: Final = "7391862"
AMOUNT_SHOWN: Final = "73918.62"
SUBJECT: Final = "Da Hong Pao of spring"
PAYEE: Final = "Harbour Tea"


@dataclass(frozen=True, slots=True)
class Orders:
    """Real orders with guessable numbers, and facts that no response may contain."""

    guesses: tuple[dict[str, str], ...]
    tokens: dict[str, str]  #: of each order that has a page
    link_page: str
    facts: tuple[str, ...]

    def wrong_secrets(self, syssn: str) -> tuple[dict[str, str], ...]:
        """Invented tokens, those of another order, and the link's with one letter changed."""
        token = next(token for other, token in self.tokens.items() if other != syssn)
        link_id = self.link_page.rpartition("/")[2]
        return SECRET, {"token": token, "link_id": f"{link_id[:-1]}{'a' if link_id[-1] != 'a' else 'b'}"}


@pytest.fixture(scope="module")
def orders(demo: Demo, shop: Merchant) -> Orders:
    """Pending payments of the API and of a link, and paid ones."""
    reference, openid = new_reference(), demo.openid()
    given = {"goods_name": SUBJECT, "txamt": AMOUNT}
    cancel_url = "https://shop.example/basket"
    link_page = opened(shop, **given, out_trade_no=reference, sub_openid=openid, cancel_url=cancel_url)
    linked = choose(shop, link_page, "wechat").headers["location"].split("/")[4]
    in_wechat = shop.open("800207", **given, sub_openid=openid)
    paid = [shop.paid(pay_type, **given) for pay_type in ("800151", "800207", "800208")]

    shown = [demo.ask("payment", "show", syssn)["payment"] for syssn in (linked, in_wechat["syssn"])]
    shown += [demo.ask("payment", "show", each["syssn"])["payment"] for each in paid]
    guesses = tuple(
        {"mchid": shop.mchid, "syssn": each["syssn"], "account_id": each["account_id"], "wallet": wallet}
        for each in shown
        for wallet in ("alipay", "wechat")
    )
    bridge = (in_wechat["pay_params"][name] for name in ("paySign", "nonceStr", "package"))
    references = (reference, in_wechat["out_trade_no"], *(each["out_trade_no"] for each in paid))
    tokens = {each["syssn"]: each["page"].rpartition("/")[2] for each in shown if "page" in each}
    link_id = link_page.rpartition("/")[2]
    facts = (PAYEE, SUBJECT, AMOUNT, AMOUNT_SHOWN, openid, *bridge, *references, *tokens.values(), link_id)
    return Orders(guesses, tokens, link_page, facts)


def state_of(shop: Merchant, orders: Orders) -> object:
    """The orders' rows, their number, and whether the link still offers both wallets."""
    link = look(shop, orders.link_page)
    syssns = sorted({guess["syssn"] for guess in orders.guesses})
    rows = [shop.row(syssn) for syssn in syssns]
    references = {row["out_trade_no"] for row in rows}
    numbers = [len(shop.rows(out_trade_no=reference)) for reference in sorted(references)]
    return rows, numbers, [f"/by/{wallet}".encode() in link.body for wallet in ("alipay", "wechat")]


@pytest.fixture
def unchanged(shop: Merchant, orders: Orders) -> Iterator[None]:
    before = state_of(shop, orders)
    rows, numbers, offered = cast(tuple[list[dict[str, str]], list[int], list[bool]], before)
    assert sorted(row["respcd"] for row in rows) == ["0000", "0000", "0000", "1145", "1145"]
    assert (set(numbers), offered) == ({1}, [True, True])
    yield
    assert state_of(shop, orders) == before


def parts_of(path: str) -> set[str]:
    return set(re.findall(r"{(\w+)[^}]*}", path))


@pytest.mark.parametrize("path", [path for path in ROUTES if parts_of(path)])
def test_every_part_of_a_path_is_known_and_one_cannot_be_guessed(path: str) -> None:
    parts = parts_of(path)

    assert parts <= GUESSABLE | SECRET.keys(), "add the new part to GUESSABLE or SECRET"
    assert parts & SECRET.keys() or path in GUESSABLE_ROUTES, "a page needs a part that cannot be guessed"


def test_the_tables_name_no_route_that_is_gone() -> None:
    assert GUESSABLE_ROUTES.keys() | PUBLIC_ROUTES.keys() <= set(ROUTES)


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.usefixtures("unchanged")
def test_guessable_values_show_and_change_nothing(demo: Demo, orders: Orders, path: str) -> None:
    for guess in orders.guesses:
        for secret in orders.wrong_secrets(guess["syssn"]):
            target = path.format(**guess, **secret)
            for answer in attempts(demo, target, guess):
                shown = [fact for fact in orders.facts if fact.encode() in answer.body]
                shown += [fact for fact in orders.facts if fact in str(answer.headers)]
                assert not shown, (target, answer)
                assert path in PUBLIC_ROUTES or is_refused(answer), (target, answer)


def attempts(demo: Demo, target: str, guess: dict[str, str]) -> list[Answer]:
    """GET and POST without credentials, with the guess in a query, a form and each wallet's kind of body."""
    numbers = {"mchid": guess["mchid"], "syssn": guess["syssn"]}
    query = urlencode(
        {**numbers, "out_trade_no": guess["syssn"], "trade_status": "TRADE_FINISHED", "lang": "en"}
    )
    notice = f"<xml><out_trade_no>{guess['syssn']}</out_trade_no><result_code>SUCCESS</result_code></xml>"
    form = [("Content-Type", FORM)]
    return [
        send(demo.gateway, "GET", target),
        send(demo.gateway, "GET", f"{target}?{urlencode(numbers)}"),
        send(demo.gateway, "GET", f"{target}?{query}&sign_type=MD5&sign={'0' * 32}"),
        send(demo.gateway, "POST", target),
        send(demo.gateway, "POST", target, urlencode(numbers).encode(), form),
        send(demo.gateway, "POST", target, f"{query}&sign_type=MD5&sign={'0' * 32}".encode(), form),
        send(demo.gateway, "POST", target, notice.encode(), [("Content-Type", "text/xml")]),
    ]


def is_refused(answer: Answer) -> bool:
    """Refused by status, by the code of an unsigned call, or in a wallet's format, which makes it retry."""
    if answer.status >= 400 or answer.body == b"fail":
        return True
    if answer.body.startswith(b"<xml>"):
        return b"<![CDATA[FAIL]]>" in answer.body
    return answer.respcd in ("1103", "1108")


# ---- lifetime of an address ----------------------------------------------------------------------------------------

LIFETIME: Final = timedelta(hours=24)
#: A test knows an order's end within seconds.
MARGIN: Final = timedelta(minutes=1)
#: Without these answers WeChat Pay's orders stay undecided here.
SILENT_WECHAT: Final = (
    {"wallet": "wechat", "operation": "/pay/closeorder", "kind": "system_error"},
    {"wallet": "wechat", "operation": "/pay/orderquery", "kind": "system_error"},
    {"wallet": "wechat", "operation": "notice", "kind": "drop_notice"},
)


def move_to(demo: Demo, moment: datetime) -> None:
    demo.advance((moment - demo.now()).total_seconds())


def page_of(demo: Demo, syssn: str) -> str:
    """The path of the payment's page."""
    return str(demo.ask("payment", "show", syssn)["payment"]["page"]).removeprefix(demo.gateway)


def pages_of_payment(path: str) -> dict[Request, int]:
    """The requests that a payment's page answers, each with its status."""
    return {("GET", path): 200, ("GET", f"{path}/state"): 200, ("GET", f"{path}/onward"): 303}


def pages_of_link(path: str, choice: int = 200) -> dict[Request, int]:
    """The same for a link with a `cancel_url`, once it takes no more orders."""
    return {
        ("GET", path): choice,
        ("GET", f"{path}/left"): 200,
        ("GET", f"{path}/failed"): 303,
        ("POST", f"{path}/by/wechat"): 303,
        ("POST", f"{path}/leave"): 303,
    }


def ask(shop: Merchant, request: Request) -> Answer:
    method, path = request
    return send(shop.demo.gateway, method, path, headers=[("User-Agent", DESKTOP), ("Accept-Language", "en")])


def check_shown(shop: Merchant, pages: dict[Request, int]) -> None:
    for request, status in pages.items():
        assert ask(shop, request).status == status, request


def check_gone(shop: Merchant, pages: dict[Request, int]) -> None:
    """Each looks like the page of an unknown number, also right after it was shown."""
    never = f"/cashier/pay/{shop.mchid}/{'1' * 24}/{'A' * 16}"
    for request in pages:
        answer = ask(shop, request)
        expected = look(shop, f"{never}/state" if request[1].endswith("/state") else never)
        assert (answer.status, without_nonce(answer)) == (404, without_nonce(expected)), request


def without_nonce(answer: Answer) -> str:
    return re.sub(r'nonce="[^"]+"', "", answer.body.decode())


def check_end(shop: Merchant, ended: datetime, pages: dict[Request, int]) -> None:
    """The pages are shown until 24 hours after `ended`, which is not earlier than the end and close to it."""
    move_to(shop.demo, ended + LIFETIME - MARGIN)
    check_shown(shop, pages)
    move_to(shop.demo, ended + LIFETIME)
    check_gone(shop, pages)


@pytest.mark.parametrize("pay_type", ["800151", "800201", "800207"])
def test_the_page_of_a_paid_order_ends_after_24_hours(shop: Merchant, demo: Demo, pay_type: str) -> None:
    path = page_of(demo, shop.paid(pay_type)["syssn"])
    pages = pages_of_payment(path)
    if pay_type == "800207":
        pages |= {("GET", path.replace("/wechat/", "/pay/")): 303}

    check_end(shop, demo.now(), pages)


@pytest.mark.parametrize("pay_type", ["800151", "800201", "800207"])
def test_the_page_of_a_closed_order_ends_after_24_hours(shop: Merchant, demo: Demo, pay_type: str) -> None:
    path = page_of(demo, shop.closed(pay_type)["syssn"])

    check_end(shop, demo.now(), pages_of_payment(path))


@pytest.mark.parametrize("pay_type", ["800151", "800201"])
def test_the_page_of_an_expired_order_ends_after_24_hours(shop: Merchant, demo: Demo, pay_type: str) -> None:
    path = page_of(demo, shop.expired(pay_type)["syssn"])

    check_end(shop, demo.now(), pages_of_payment(path))


def test_the_page_of_an_undecided_order_ends_24_hours_after_its_deadline(shop: Merchant, demo: Demo) -> None:
    with demo.faults(*SILENT_WECHAT):
        pending = shop.open("800201", expired_time="30")
        deadline = demo.now() + timedelta(minutes=30)

        check_end(shop, deadline, pages_of_payment(page_of(demo, pending["syssn"])))
        assert shop.row(pending["syssn"])["respcd"] == "1145"


def test_a_link_that_outlives_its_undecided_order_does_not_lead_to_the_orders_page(
    shop: Merchant, demo: Demo
) -> None:
    link_page = opened(shop, expired_time="5", checkout_expired_time="999")
    with demo.faults(*SILENT_WECHAT):
        order_page = choose(shop, link_page, "wechat").headers["location"]
        assert order_page.encode() in look(shop, link_page).body
        demo.advance(timedelta(hours=24, minutes=6).total_seconds())

        assert look(shop, order_page).status == 404
        seen = look(shop, link_page)
        assert seen.status == 200
        assert order_page.encode() not in seen.body


def test_a_return_of_a_paid_order_leads_to_the_merchant_for_24_hours(shop: Merchant, demo: Demo) -> None:
    chosen = choose(shop, opened(shop), "alipay").headers["location"]
    assert f"{chosen}/open".encode() in look(shop, chosen).body
    back = str(demo.confirm(url=f"{demo.gateway}{chosen}/open")["return_to"]).removeprefix(demo.gateway)
    shop.until(chosen.split("/")[4], "0000")
    ended = demo.now()
    assert look(shop, back).headers["location"].startswith("https://shop.example/paid?")

    check_end(shop, ended, {("GET", back): 303})


def test_the_page_after_a_return_is_shown_for_24_hours(chain: Merchant, demo: Demo) -> None:
    paid = chain.open("800151")
    back = str(demo.confirm(url=paid["pay_url"])["return_to"]).removeprefix(demo.gateway)
    chain.until(paid["syssn"], "0000")

    check_end(chain, demo.now(), {("GET", back): 200})


def test_a_return_of_an_undecided_order_shows_nothing_a_day_after_its_deadline(
    shop: Merchant, demo: Demo
) -> None:
    silent = [
        {"wallet": "alipay", "operation": operation, "kind": kind}
        for operation, kind in (
            ("notice", "drop_notice"),
            ("single_trade_query", "http_500"),
            ("close_trade", "http_500"),
        )
    ]
    with demo.faults(*silent):
        pending = shop.open("800151", expired_time="30")
        back = str(demo.confirm(url=pending["pay_url"])["return_to"]).removeprefix(demo.gateway)
        demo.advance(timedelta(hours=24, minutes=29).total_seconds())
        check_shown(shop, {("GET", back): 200})
        demo.advance(timedelta(hours=3).total_seconds())  # the deadline allows for Alipay's own timeout

        check_gone(shop, {("GET", back): 200})
        assert shop.row(pending["syssn"])["respcd"] == "1145"


# ---- links ---------------------------------------------------------------------------------------------------------


def a_link(shop: Merchant) -> dict[str, str]:
    """Signed parameters of a link that takes orders for ten minutes."""
    cancel_url = "https://shop.example/basket"
    return signed(link_params(shop, checkout_expired_time="10", cancel_url=cancel_url), shop.key)


def check_link_end(
    shop: Merchant, params: dict[str, str], ended: datetime, pages: dict[Request, int]
) -> None:
    """As `check_end`; and the same link posted again names its page as long as there is one."""
    move_to(shop.demo, ended + LIFETIME - MARGIN)
    check_shown(shop, pages)
    assert ("GET", open_link(shop, params)["page"]) in pages
    move_to(shop.demo, ended + LIFETIME)
    check_gone(shop, pages)
    refused = open_link(shop, params)
    assert refused.respcd == "1181"
    assert "page" not in refused.members


def test_a_link_that_was_never_used_ends_24_hours_after_its_time(shop: Merchant, demo: Demo) -> None:
    params = a_link(shop)
    page = open_link(shop, params)["page"]

    check_link_end(shop, params, demo.now() + timedelta(minutes=10), pages_of_link(page))
    assert shop.rows(out_trade_no=params["out_trade_no"]) == []


def test_a_link_that_the_merchant_closed_ends_24_hours_after_that(shop: Merchant, demo: Demo) -> None:
    params = a_link(shop)
    page = open_link(shop, params)["page"]
    assert shop.call("close", out_trade_no=params["out_trade_no"]).respcd == "1136"

    check_link_end(shop, params, demo.now(), pages_of_link(page))


def test_a_link_whose_order_was_paid_late_ends_24_hours_after_the_payment(shop: Merchant, demo: Demo) -> None:
    params = a_link(shop)
    page = open_link(shop, params)["page"]
    with demo.faults(*SILENT_WECHAT):
        order_page = choose(shop, page, "wechat").headers["location"]
        syssn = order_page.split("/")[4]
        demo.confirm(trade=syssn)
        demo.advance(timedelta(hours=3).total_seconds())
        assert shop.row(syssn)["respcd"] == "1145"
    shop.until(syssn, "0000")

    pages = pages_of_link(page, choice=303) | pages_of_payment(order_page)
    check_link_end(shop, params, demo.now(), pages)
