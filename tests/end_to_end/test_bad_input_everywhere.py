"""Bad input on every route of the gateway and of the demo's shop: a clear response, no change, and the service goes on.

The tables name every route of the applications; a new one must be added with its input. The parameters of the
merchants' calls are in `test_bad_input.py`.
"""

import html
from collections.abc import Iterator
from itertools import cycle, product
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from tael.api.app import Application
from tael.main import application
from tael_sandbox.shop.app import Shop
from tests.end_to_end.checkout import link_params, look, open_link, opened, signed
from tests.end_to_end.merchant import CALLS, FORM, Merchant, new_reference, send
from tests.end_to_end.rig import Demo, eventually
from tests.end_to_end.shop_pages import TEA, Customer
from tests.support.hostile import DOCUMENTS, KINDS, MIB, RAW, SCRIPT, SEGMENTS, TEXTS, check_markup, forms
from tests.support.http_calls import Answer
from tests.support.routes import ROUTES_ONLY

TRADE: Final = tuple(f"/trade/v1/{call}" for call in CALLS)
APPLICATION: Final = ("/mch/v1/signup", "/mch/v1/uploadcert", "/mch/v1/query")
SETTLEMENTS: Final = ("/settlement/v1/query", "/download/v1/trade_bill")
OAUTH: Final = ("/oauth/v2/authorize", "/oauth/v2/access_token")
USER: Final = ("/user/v1/baseinfo", "/user/v1/tradelist")
OPENIDS: Final = ("/tool/v1/get_weixin_oauth_code", "/tool/v1/get_weixin_openid")
CATEGORIES: Final = ("/mch/v1/mcc", "/tool/v1/mcc")
OPEN: Final = "/checkstand/open"
NOTICES: Final = ("/notices/alipay/{account_id}", "/notices/wechat/{account_id}")
LINK: Final = "/checkstand/{mchid}/{link_id}"
PAGES: Final = (
    *("/cashier/pay/{mchid}/{syssn}/{token}", "/cashier/wechat/{mchid}/{syssn}/{token}"),
    *("/cashier/pay/{mchid}/{syssn}/{token}/state", "/cashier/wechat/{mchid}/{syssn}/{token}/state"),
    "/cashier/pay/{mchid}/{syssn}/{token}/open",
    *("/cashier/pay/{mchid}/{syssn}/{token}/onward", "/cashier/wechat/{mchid}/{syssn}/{token}/onward"),
    *("/return/alipay/{account_id}", "/checkstand", "/checkstand/"),
    *(LINK, f"{LINK}/by/{{wallet}}", f"{LINK}/leave", f"{LINK}/left", f"{LINK}/failed"),
)
MONITORING: Final = ("/healthz", "/readyz", "/metrics")
GATEWAY: Final = (
    *TRADE,
    *APPLICATION,
    *SETTLEMENTS,
    *OPENIDS,
    *OAUTH,
    *USER,
    *CATEGORIES,
    OPEN,
    *NOTICES,
    *PAGES,
    *MONITORING,
)
ORDER: Final = "/orders/{reference}"
SHOP: Final = (
    *("/", "/orders", ORDER, f"{ORDER}/refresh", f"{ORDER}/close", f"{ORDER}/reverse", f"{ORDER}/refund"),
    *("/webhooks", "/webhook", "/return", "/healthz", "/static/shop.css", "/static/shop.js"),
)
ALL: Final = (*(("gateway", path) for path in GATEWAY), *(("shop", path) for path in SHOP))
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")


def methods_of(app: Application | Starlette) -> dict[str, set[str]]:
    assert all(isinstance(route, Route) for route in app.routes)
    return {route.path: set(route.methods or ()) for route in app.routes if isinstance(route, Route)}


@pytest.fixture(scope="module")
def routes() -> dict[str, dict[str, set[str]]]:
    """The methods of each path. The applications are only inspected, so they need no services."""
    nothing = cast(Any, None)
    gateway = methods_of(application(ROUTES_ONLY))
    return {"gateway": gateway, "shop": methods_of(Shop(nothing, nothing, "http://x", "HKD").app())}


@pytest.fixture(scope="module")
def known(demo: Demo, shop: Merchant) -> dict[str, str]:
    """Real values of the parts of paths: an unpaid payment, its link, an order of the shop."""
    page = opened(shop)
    path = send(demo.gateway, "POST", f"{page}/by/wechat").headers["location"]
    _, _, _, mchid, syssn, token = path.partition("?")[0].split("/")
    order = Customer(demo.shop).order("800201", **TEA)
    account_id = demo.ask("payment", "show", syssn)["payment"]["account_id"]
    return {
        **{"mchid": mchid, "syssn": syssn, "token": token, "link_id": page.rpartition("/")[2]},
        **{"wallet": "alipay", "account_id": account_id, "reference": order.reference},
    }


@pytest.fixture(autouse=True)
def unchanged(demo: Demo, shop: Merchant, known: dict[str, str]) -> Iterator[None]:
    """After every test both applications serve, and the payment, its order at the wallet and the link are open."""

    def state() -> object:
        row = shop.row(known["syssn"])
        link = look(shop, LINK.format(**known))
        ordered = send(demo.shop, "GET", ORDER.format(**known))
        assert (link.status, ordered.status) == (200, 200)
        return (
            row,
            demo.trades(known["syssn"]),
            b"by/alipay" in link.body,
            b"Waiting for the payer" in ordered.body,
        )

    before = state()
    assert before[2:] == (True, True)  # type: ignore[index]
    yield
    assert state() == before


def checked(answer: Answer) -> Answer:
    """`send` has checked for 5xx and stack traces; here: a refusal has a reason, and a page is complete."""
    kind = answer.headers.get("content-type", "")
    if kind.startswith("text/html"):
        check_markup(answer.body.decode())
        assert b"<h1" in answer.body
    elif answer.status >= 400 and kind.startswith("application/json"):
        assert any(answer.members.get(name) for name in ("respmsg", "state", "error")), answer
    elif answer.status >= 400:
        assert answer.body.strip(), answer
    return answer


def base_of(demo: Demo, app: str) -> str:
    return demo.gateway if app == "gateway" else demo.shop


@pytest.mark.parametrize("app", ["gateway", "shop"])
def test_every_route_has_its_bad_input(routes: dict[str, dict[str, set[str]]], app: str) -> None:
    assert sorted(routes[app]) == sorted(path for of, path in ALL if of == app)


@pytest.mark.parametrize(("app", "path"), ALL)
def test_another_method_is_refused_with_a_reason(
    demo: Demo, routes: dict[str, dict[str, set[str]]], known: dict[str, str], app: str, path: str
) -> None:
    for method in METHODS:
        if method not in routes[app][path]:
            answer = checked(send(base_of(demo, app), method, path.format(**known), b"{}"))
            assert answer.status == 405, (method, answer)
            assert answer.body.strip()


@pytest.mark.parametrize(("app", "path"), ALL)
def test_a_slash_at_the_end_is_another_path_and_never_a_redirect(
    demo: Demo, known: dict[str, str], app: str, path: str
) -> None:
    for method in ("GET", "POST"):
        answer = checked(send(base_of(demo, app), method, f"{path.format(**known)}/", b"a=b"))
        assert "location" not in answer.headers
        assert answer.status == 404 or path in ("/", "/checkstand", "/checkstand/"), answer


@pytest.mark.parametrize(("app", "path"), [pair for pair in ALL if "{" in pair[1]])
def test_no_part_of_a_path_breaks_a_route(
    demo: Demo, routes: dict[str, dict[str, set[str]]], known: dict[str, str], app: str, path: str
) -> None:
    """One part is hostile, the others are real; for forms as well."""
    names = [name for name in known if f"{{{name}}}" in path]
    for name, segment in product(names, SEGMENTS):
        target = path.format(**(known | {name: segment}))
        for method in routes[app][path] - {"HEAD"}:
            answer = checked(send(base_of(demo, app), method, target, b"a=b", [("Content-Type", FORM)]))
            is_notice = path in NOTICES  # refused in the wallet's format, so that it sends the notice again
            assert (is_notice and b"SUCCESS" not in answer.body and answer.body != b"success") or (
                400 <= answer.status < 500 or _is_of_another_route(target)
            ), (target, answer)


def _is_of_another_route(target: str) -> bool:
    """A slash inside a part may lead to another page."""
    return "%2f" in target


@pytest.mark.parametrize(("app", "path"), ALL)
def test_no_query_breaks_a_route(
    demo: Demo, routes: dict[str, dict[str, set[str]]], known: dict[str, str], app: str, path: str
) -> None:
    if "GET" not in routes[app][path]:
        return
    queries = (
        *forms({"lang": "en", "still": "1", "again": "x"}),
        *(f"lang={quote(text)}".encode() for text in TEXTS),
    )
    for query in queries:
        checked(send(base_of(demo, app), "GET", f"{path.format(**known)}?{query.decode()[:20_000]}"))


@pytest.mark.parametrize(
    ("app", "path"),
    [
        *(("gateway", path) for path in (*TRADE, *APPLICATION, *OAUTH, OPEN, *NOTICES)),
        *(("gateway", path) for path in (f"{LINK}/by/{{wallet}}", f"{LINK}/leave")),
        *(("shop", path) for path in (*SHOP[3:7], "/orders", "/webhook")),
    ],
)
def test_no_body_breaks_a_route(demo: Demo, known: dict[str, str], app: str, path: str) -> None:
    """For routes without a body, the address is an unknown one."""
    unknown = {"link_id": "unknown", "reference": "unknown"}
    bodies = (
        *DOCUMENTS,
        *RAW,
        *forms({"action": "x", "amount": "x", "sign": "x"}),
        b"<xml>",
        b"x" * (2 * MIB),
    )
    for body, kind in zip(bodies, cycle(KINDS), strict=False):
        headers = [("Content-Type", kind)] if kind else []
        answer = checked(send(base_of(demo, app), "POST", path.format(**(known | unknown)), body, headers))
        if path in NOTICES:
            assert b"SUCCESS" not in answer.body
            assert answer.body != b"success"
        elif path in (*TRADE, *APPLICATION, OPEN):
            assert answer.respcd in ("1103", "1104", "1108"), (body[:40], answer)
            assert answer.sign is None
        else:
            assert 400 <= answer.status < 500, (body[:40], answer)


def test_scripts_of_merchants_are_text_on_every_page_of_the_cashier(
    demo: Demo, shop: Merchant, tmp_path: Path
) -> None:
    """Payee, subject and number of a link, and of each payment that is opened under it."""
    app = demo.ask("app", "add")
    merchant = demo.ask("merchant", "add", app["appcode"], "--name", SCRIPT, "--currency", "HKD")
    key = tmp_path / "key"
    key.write_text("k" * 32)
    by_key = ("--set", "sign_type=MD5", "--file", f"key={key}")
    pid = ("--set", "pid=2088999999999999", "--set", "scene=online")
    # Without an account its links would not open.
    demo.ask("account", "add", merchant["mchid"], "--protocol", "alipay_mapi", *pid, *by_key)
    other_merchant = Merchant(demo, app["appcode"], app["key"], merchant["mchid"], (merchant["mchid"],))
    params = signed(link_params(other_merchant, goods_name=SCRIPT), other_merchant.key)
    answer = eventually(lambda: open_link(other_merchant, params), lambda answer: answer.respcd == "0000")
    choice = checked(look(other_merchant, answer["page"]))
    assert html.unescape(choice.body.decode()).count(SCRIPT) >= 2  # payee, subject
    number = f"{new_reference()}<img/src>"
    page = opened(
        shop, goods_name=SCRIPT, out_trade_no=number, cancel_url="https://shop.example/?a=&lt;img&gt;"
    )
    for wallet in ("alipay", "wechat"):
        payment = checked(send(demo.gateway, "POST", f"{page}/by/{wallet}")).headers["location"]
        shown = checked(look(shop, payment))
        assert SCRIPT in html.unescape(shown.body.decode())
    checked(send(demo.gateway, "POST", f"{page}/leave"))
    checked(look(shop, f"{page}/left"))
    nameless = checked(look(shop, opened(shop, goods_name=None, out_trade_no=f"{new_reference()}<script>")))
    assert b"&lt;script&gt;" in nameless.body
