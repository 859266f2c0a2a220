"""Bad input on every route of the sandbox: a clear error, nothing changed, no stack trace, and it still serves.

The tables list every route of the app; a new route needs an entry here.
"""

import html
import json
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import cycle, product
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import pytest
from starlette.routing import Route

from tael_sandbox import payers, statement_errors, statements
from tael_sandbox.alipay.cashier import PRODUCT_OF_SERVICE
from tael_sandbox.alipay.gateway import SERVICES, VERIFY_NOTICE
from tael_sandbox.alipay.wallet import AlipayWallet
from tael_sandbox.books import Books
from tael_sandbox.certificates import Certificates
from tael_sandbox.clock import Clock
from tael_sandbox.control import Control
from tael_sandbox.fault_injection.faults import Faults
from tael_sandbox.main import build_app
from tael_sandbox.phone.phone import Phone
from tael_sandbox.shops import Shops, open_shops
from tael_sandbox.wallet import Wallet
from tael_sandbox.wechat.endpoints import CALLS
from tael_sandbox.wechat.wallet import WeChatWallet
from tests.end_to_end import merchant
from tests.sandbox import alipay_shop, wechat_shop
from tests.sandbox.alipay_shop import new_number
from tests.sandbox.conftest import Sandbox
from tests.support.hostile import (
    DOCUMENTS,
    KINDS,
    MIB,
    SCRIPT,
    SEGMENTS,
    TEXTS,
    check_markup,
    forms,
    refusal_in,
    spoiled,
)
from tests.support.http_calls import Answer, call_kept

#: Calls that change something: their method and body.
CHANGES: Final[dict[str, tuple[str, Any]]] = {
    "/control/codes": (
        "POST",
        {"wallet": "wechat", "behaviour": "refuses", "payer": "ada"},
    ),
    "/control/scan": ("POST", {"url": "weixin://wxpay/bizpayurl?pr=nothing"}),
    "/control/confirm": ("POST", {"trade": "1", "url": "weixin://x", "action": "pay", "payer": "ada"}),
    "/control/statements": ("POST", {"wallet": "alipay", "day": "1999-12-31"}),
    "/control/statement-errors": (
        "POST",
        {"wallet": "alipay", "day": "1999-12-31", "kind": "amount", "count": 1, "seed": 1, "account": "1"},
    ),
    "/control/profile": ("PUT", {"profile": "x"}),
    "/control/accounts": ("PUT", {"wallet": "wechat", "shop": "unknown", "bill_headers": "zh"}),
    "/control/keys": ("POST", {"wallet": "wechat", "shop": "unknown", "key": "k" * 32}),
    "/control/clock": ("POST", {"advance_s": -1}),
}
#: One fault of a list with invalid values and an unknown field.
FAULT: Final[dict[str, Any]] = {
    **{
        "wallet": "wechat",
        "operation": "/pay/none",
        "kind": "slow",
        "times": 0,
        "probability": 2,
        "seed": 0.5,
    },
    **{"delay_s": -1, "hold_s": -1, "other": None},
}
FAULTS: Final = "/control/faults"
READ_ONLY: Final = ("/control/payers", "/control/book")
TYPED: Final = {
    **{
        "payer": "ada",
        "wallet": "alipay",
        "code": "280000000000000000",
        "opened": "weixin://x",
        "number": "1",
    },
    **{"behaviour": "x", "link": "x", "action": "x", "advance_s": "x", "kind": "x"},
}
FORMS: Final = tuple(f"/phone/{name}" for name in ("code", "scan", "act", "clock", "faults"))
STREAM: Final = "/phone/events"
FILES: Final = ("/phone/phone.css", "/phone/phone.js")
CASHIER: Final = "/alipay/cashier/{token}"
CHECK_MWEB: Final = "/cgi-bin/mmpayweb-bin/checkmweb"
GATEWAY: Final = "/gateway.do"
NOTIFY_QUERY: Final = "/trade/notify_query.do"
OAUTH: Final = ("/connect/oauth2/authorize", "/sns/oauth2/access_token")
VENDOR_SANDBOX: Final = ("/sandboxnew/{call:path}", "/xdc/{call:path}")
WECHAT: Final = (*(call.path for call in CALLS), *VENDOR_SANDBOX)
#: Paths of the wallets' protocols, which refuse in the wallet's own form.
OF_WALLETS: Final = (GATEWAY, NOTIFY_QUERY, *OAUTH, *WECHAT)
ALL: Final = (
    *(
        *CHANGES,
        FAULTS,
        *READ_ONLY,
        "/",
        *FORMS,
        STREAM,
        *FILES,
        CASHIER,
        CHECK_MWEB,
        GATEWAY,
        NOTIFY_QUERY,
        *OAUTH,
        *WECHAT,
    ),
)
SCRIPT_IN_JSON: Final = json.dumps(SCRIPT)[1:-1]
#: Optional parameters of Alipay's calls; most calls have only some of them.
OPTIONAL: Final = (
    *(
        "timeout_rule",
        "order_gmt_create",
        "order_valid_time",
        "order_create",
        "split_fund_info",
        "rmb_fee",
        "body",
    ),
    *("trade_information", "notify_url", "return_url"),
)
ABOUT_AN_ORDER: Final = (
    *("partner_trans_id", "partner_refund_id", "refund_amount", "out_trade_no", "trade_no", "timestamp"),
    *(
        "out_return_no",
        "return_amount",
        "gmt_return",
        "start_date",
        "end_date",
        "notify_id",
        "split_fund_info",
    ),
)
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")


def _save_nothing(_: Shops) -> None:
    raise AssertionError("no key is replaced here")


@pytest.fixture(scope="module")
def routes(key_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The methods of each path of the app, built in the same way as in the sandbox's process."""
    folder = tmp_path_factory.mktemp("routes")
    clock, books, shops = (
        Clock(folder / "clock"),
        Books(folder / "books"),
        open_shops(key_folder / "shops.json"),
    )
    books.script(statements.TABLES + statement_errors.TABLES)
    with books.transaction() as connection:
        payers.add_default_payers(connection)
    certificates = Certificates(key_folder / "certificates", shops)
    wallets: list[Wallet] = [
        AlipayWallet(clock, books, shops, "http://x", "https://x", certificates),
        WeChatWallet(clock, books, shops, "http://x", "https://x", certificates),
    ]
    faults = Faults(books, {})
    phone = Phone(wallets, books, clock, faults)
    app = build_app(wallets, Control(wallets, books, clock, shops, faults, _save_nothing), phone)
    books.close()
    assert all(isinstance(route, Route) for route in app.routes)
    return {route.path: set(route.methods or ()) for route in app.routes if isinstance(route, Route)}


@pytest.fixture(scope="module")
def paid_order(sandbox: Sandbox) -> str:
    """A row in the books that a refused request could damage."""
    order = new_number()
    alipay_shop.shop(sandbox, "offline").pay_spot(sandbox.code(), order)
    return order


def state_of(sandbox: Sandbox) -> dict[str, Any]:
    names = ("book", "payers", "accounts", "statement-errors", "faults", "profile")
    kept = {name: sandbox.control("GET", name) for name in names}
    return kept | {"offset_s": sandbox.control("GET", "clock")["offset_s"]}


@pytest.fixture(autouse=True)
def unchanged(request: pytest.FixtureRequest, sandbox: Sandbox, paid_order: str) -> Iterator[None]:
    """After every test the sandbox still serves, and its books are unchanged."""
    before = state_of(sandbox)
    assert any(row["order"] == paid_order for row in before["book"]["trades"])
    yield
    if "allow_changes" not in request.fixturenames:
        assert state_of(sandbox) == before


def send(
    base: str, method: str, target: str, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()
) -> Answer:
    return merchant.checked(call_kept(base, method, target, body, headers))


def checked(answer: Answer) -> Answer:
    """Checks that pages are complete and JSON errors have their form. `send` excludes 5xx and stack traces."""
    kind = answer.headers.get("content-type", "")
    if kind.startswith("text/html"):
        check_markup(answer.body.decode())
    members = answer.members if kind == "application/json" and answer.body.startswith(b"{") else {}
    if answer.status >= 400 and not {"errcode", "regions"} & set(members):
        assert kind.startswith(("text/html", "application/json", "text/plain")), answer
        if members:
            refusal_in(answer.body)
    return answer


def path_of(route: str) -> str:
    return route.replace("{token}", "nobody-has-this-token").replace("{call:path}", "pay/orderquery")


def test_every_route_has_its_bad_input(routes: dict[str, set[str]]) -> None:
    assert sorted(routes) == sorted(ALL)


@pytest.mark.parametrize("path", CHANGES)
def test_json_that_is_not_an_object_of_the_call_is_refused(sandbox: Sandbox, path: str) -> None:
    method, good = CHANGES[path]
    for body, kind in product((*DOCUMENTS, json.dumps([good]).encode()), KINDS[:3]):
        headers = [("Content-Type", kind)] if kind else []
        answer = send(sandbox.http, method, path, body, headers)
        assert answer.status == 400, (body[:40], answer)
        assert refusal_in(answer.body)


@pytest.mark.parametrize("path", CHANGES)
def test_a_malformed_field_is_refused(sandbox: Sandbox, path: str) -> None:
    """The other fields are well formed but refer to nothing, so nothing is done whichever field is checked first."""
    method, good = CHANGES[path]
    for name, request in spoiled(good):
        if path == "/control/clock" and request[name] in (0, 1.5):
            continue  # zero and fractions of seconds are valid
        answer = send(sandbox.http, method, path, json.dumps(request).encode())
        assert answer.status == 400, (request, answer)
        assert refusal_in(answer.body)


@pytest.mark.parametrize(
    ("path", "needed"),
    [
        ("/control/codes", ["wallet"]),
        ("/control/scan", ["url"]),
        ("/control/confirm", ["action", "trade"]),
        ("/control/statements", ["wallet", "day"]),
        ("/control/statement-errors", ["wallet", "day", "kind", "count"]),
        ("/control/profile", ["profile"]),
        ("/control/accounts", ["wallet", "shop", "bill_headers"]),
        ("/control/keys", ["wallet", "shop"]),
        ("/control/clock", ["advance_s"]),
    ],
)
def test_a_missing_field_is_named(sandbox: Sandbox, path: str, needed: list[str]) -> None:
    method, good = CHANGES[path]
    valid = {**good, "trade": "1", "day": "2026-11-23", "advance_s": 1, "profile": "sdk", "url": None}
    for name in needed:
        for absent in ({name: None}, {}):
            request = {
                other: value for other, value in valid.items() if other in good and other != name
            } | absent
            answer = send(sandbox.http, method, path, json.dumps(request).encode())
            assert (answer.status, answer["field"]) == (400, name)


def test_a_malformed_fault_is_refused_and_the_list_stays(sandbox: Sandbox) -> None:
    for name, request in spoiled(FAULT):
        answer = send(sandbox.http, "PUT", FAULTS, json.dumps([request]).encode())
        assert answer.status == 400, (name, request, answer)
        assert refusal_in(answer.body)
    for body in DOCUMENTS:
        assert refusal_in(send(sandbox.http, "PUT", FAULTS, body).body)


@pytest.mark.parametrize("path", ALL)
def test_another_method_is_refused_with_a_message(
    sandbox: Sandbox, routes: dict[str, set[str]], path: str
) -> None:
    for method in METHODS:
        if method not in routes[path]:
            answer = send(sandbox.http, method, path_of(path), b"{}")
            assert answer.status == 405, (method, answer)
            assert set(answer.headers["allow"].split(", ")) == routes[path]
            assert method.encode() in answer.body
            assert path in OF_WALLETS or refusal_in(answer.body)


@pytest.mark.parametrize("path", ALL)
def test_no_body_of_any_kind_breaks_a_route(sandbox: Sandbox, routes: dict[str, set[str]], path: str) -> None:
    bodies = (
        *DOCUMENTS,
        *forms({"payer": "ada"}),
        b"<xml>",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]><xml>&b;</xml>",
        b"x" * MIB,
    )
    for method in sorted(routes[path] - {"GET", "HEAD"}):
        for body, kind in zip(bodies, cycle(KINDS), strict=False):
            answer = checked(send(sandbox.http, method, path_of(path), body, [("Content-Type", kind or "")]))
            # Wallets refuse in their own form. The phone without known fields shows the first payer's code.
            pages = (GATEWAY, CASHIER, CHECK_MWEB, "/phone/code")
            has_own_form = path in (*pages, *WECHAT) or method == "DELETE"
            assert has_own_form or answer.status == 400, (method, body[:40], answer)


@pytest.mark.parametrize("path", ALL)
def test_no_query_breaks_a_route(sandbox: Sandbox, path: str) -> None:
    good = {
        "wallet": "nobody's",
        "appid": "x",
        "code": "x",
        "redirect_uri": "x",
        "secret": "x",
        "opened": "x",
        "redirect_url": "x",
    }
    for query in (*forms(good), *(f"wallet={quote(text)}".encode() for text in TEXTS)):
        target = f"{path_of(path)}?{query.decode('ascii')[:20_000]}"
        if path == STREAM:
            target += "&payer=nobody"  # the stream of an existing payer would never end
        checked(send(sandbox.http, "GET", target))


@pytest.mark.parametrize("path", FORMS)
def test_no_field_breaks_a_form_of_the_phone(sandbox: Sandbox, path: str) -> None:
    for body in forms(TYPED):
        page = checked(send(sandbox.http, "POST", path, body))
        assert b"A payer's phone" in page.body
        members = checked(send(sandbox.http, "POST", path, body, [("Accept", "application/json")]))
        is_code = path == "/phone/code"  # which has no required field
        assert page.status == members.status == 400 or (is_code and page.status == 200), (
            body[:200],
            members.body,
        )
        for region in members["regions"].values():
            check_markup(region)


@pytest.mark.parametrize("path", ALL)
def test_no_path_traversal_is_possible(sandbox: Sandbox, path: str) -> None:
    above, _, last = path_of(path).rpartition("/")
    for segment in SEGMENTS:
        for target in (f"{above}/{segment}", f"{path_of(path)}/{segment}", f"{above}/{segment}/{last}"):
            answer = checked(send(sandbox.http, "GET", target))
            assert b"root:" not in answer.body
            is_token = path == CASHIER and target == f"{above}/{segment}"
            is_slash = answer.status == 307 and answer.headers["location"] == f"{sandbox.http}{path_of(path)}"
            is_unserved = b" is not served" in answer.body
            is_refused = answer.status == 404 or (path in (*OF_WALLETS, CHECK_MWEB) and is_unserved)
            is_named = b"ILLEGAL_SERVICE" in answer.body and path in OF_WALLETS
            is_token_error = is_token and b"TRADE_NOT_EXIST" in answer.body
            assert is_refused or is_slash or is_token_error or is_named, (target, answer)


@pytest.mark.parametrize("path", [call.path for call in CALLS])
def test_no_element_of_a_signed_message_breaks_wechat_pay(
    sandbox: Sandbox, path: str, allow_changes: None
) -> None:
    call = next(call for call in CALLS if call.path == path)
    shop, book = wechat_shop.shop(sandbox), sandbox.control("GET", "book")
    needed = {element.name: "1" for element in call.elements if element.required}
    for name, text in product((element.name for element in call.elements), TEXTS):
        if any(character in text for character in "\x00\x1b\ufffe"):
            continue  # XML cannot contain these; malformed XML is tested above
        reply = shop.send(path, wechat_shop.as_xml(shop.signed(**{**needed, name: text})))
        assert (reply.status, b"Traceback" in reply.body) == (200, False), (name, text, reply)
        before, book = book, sandbox.control("GET", "book")
        is_refused = reply.body.startswith(b"<xml>") and reply.error
        assert not is_refused or book == before, (name, text)


@pytest.mark.parametrize("service", [*SERVICES, *PRODUCT_OF_SERVICE, VERIFY_NOTICE])
def test_no_parameter_of_a_signed_request_breaks_alipay(
    sandbox: Sandbox, service: str, allow_changes: None
) -> None:
    scene = "offline" if "acquire" in service else "online"
    shop, book = alipay_shop.shop(sandbox, scene), sandbox.control("GET", "book")
    if service.endswith(".spot.pay"):
        good = shop.spot_fields("280000000000001201", new_number())
    elif service.endswith(".precreate"):
        good = shop.precreate_fields(new_number())
    elif service in PRODUCT_OF_SERVICE:
        good = shop.online_fields(new_number(), is_wap=service.endswith("_wap")) | dict.fromkeys(OPTIONAL, "")
    else:
        good = dict.fromkeys(ABOUT_AN_ORDER, "1") | {"currency": "HKD", "is_sync": "Y"}
    for name, text in product(good, TEXTS):
        body = urlencode(shop.signed(service, good | {name: text})).encode()
        answer = checked(send(sandbox.http, "POST", GATEWAY, body))
        assert answer.status == 200
        before, book = book, sandbox.control("GET", "book")
        is_refused = b"<is_success>F" in answer.body or b"Error code" in answer.body
        assert not is_refused or book == before, (name, text)


GOOD: Final = 'service="mobile.securitypay.pay"&partner="2088000000000000"'
#: Texts that begin like an order string of an app, or like the JSON of one.
ORDER_STRINGS: Final = (
    *('partner="', 'partner="2088', GOOD[:-1], f"{GOOD}&", f"{GOOD}&&a=", f'{GOOD}&a="b"c', f"{GOOD} "),
    *(f'{GOOD}&a="b""', f"{GOOD};a=1", f"{GOOD}&a=b", f'{GOOD}&=""', f'{GOOD}&="', f'{GOOD}&a b="c"'),
    *(f'{GOOD}&partner="1"', f"{GOOD}&{GOOD}", f'{GOOD}&a="\x00"', f'{GOOD}&a="\x1b[2J"', f'{GOOD}&a="\r\n"'),
    *(f'{GOOD}&\uff50="1"', f'{GOOD}&a="\ufffe"', f'{GOOD}&{"x" * 5_000}="1"', f"{GOOD}&{'a=' * 9_000}"),
    *(f'{GOOD}&{SCRIPT}="1"', f'{GOOD}&a="{SCRIPT}"', f"<a>{GOOD}</a>", "&".join([GOOD] * 300)),
    *("&".join(f'a{number}="1"' for number in range(3_000)), 'partner="' * 6_000, 'a="1"&' * 5_000),
    *(
        '{"partner"',
        '{"partner": ',
        '{"partner": "1"',
        '{"partner": "1"}x',
        '{"partner": "1", "partner": "2"}',
    ),
    *('{"partner": null}', '{"partner": true}', '{"partner": NaN}', '{"partner": []}', '{"partner": {}}'),
    *(
        '{"partner": {"service": "1"}}',
        '{"partner": ' * 4_000,
        '{"partner": ' + "[" * 30_000,
        "{'partner': '1'}",
    ),
    *(
        '{"partner": "\\ud800"}',
        '{"partner": 1e999}',
        '{"partner": ' + "9" * 9_000 + "}",
        '{"partner": "\\u0000"}',
    ),
    *('{"partner": "a\\"&service=\\"b"}', '{"partner\\"": "1"}', '{"": "1", "partner": "1"}'),
    *(f"<xml>{GOOD}</xml>", "<!DOCTYPE a [<!ENTITY b 'c'>]><xml>&b;</xml>", f"<html>{SCRIPT}</html>"),
)


@pytest.mark.parametrize("text", ORDER_STRINGS, ids=lambda text: repr(text[:30]))
def test_no_malformed_order_string_is_opened(sandbox: Sandbox, text: str) -> None:
    for path, members in (("/control/scan", {}), ("/control/confirm", {"action": "pay"})):
        answer = send(sandbox.http, "POST", path, json.dumps({"url": text, **members}).encode())
        assert answer.status == 400, (path, answer)
        assert answer["field"] == "url"
        assert refusal_in(answer.body)
    for path, field in (("/phone/scan", "link"), ("/phone/act", "opened")):
        body = urlencode({"payer": "ada", "action": "pay", field: text}).encode()
        page = checked(send(sandbox.http, "POST", path, body))
        assert (page.status, b"A payer's phone" in page.body) == (400, True)
    if len(text) < 1_000:
        checked(send(sandbox.http, "GET", f"/?{urlencode({'opened': text})}"))


def test_an_order_string_of_a_mebibyte_is_refused(sandbox: Sandbox) -> None:
    text = f'{GOOD}&body="{"x" * MIB}"'
    answer = send(sandbox.http, "POST", "/control/scan", json.dumps({"url": text}).encode())
    assert (answer.status, "over" in refusal_in(answer.body)) == (400, True)
    page = checked(send(sandbox.http, "POST", "/phone/scan", urlencode({"link": text}).encode()))
    assert page.status == 400


def test_no_member_of_a_signed_order_string_breaks_alipay(sandbox: Sandbox) -> None:
    shop = alipay_shop.shop(sandbox, "online")
    for name in shop.app_fields("1"):
        for text in TEXTS:
            fields = shop.app_fields(new_number()) | {name: text}
            for url in (shop.signed_string(fields), json.dumps(shop.pay_params("1") | fields)):
                answer = send(sandbox.http, "POST", "/control/scan", json.dumps({"url": url}).encode())
                assert answer.status == 200 or refusal_in(answer.body), (name, text, answer)


@pytest.fixture
def allow_changes() -> None:
    """For tests that send correctly signed requests, some of which are carried out."""


def test_scripts_in_merchants_and_payers_texts_are_text_on_every_page(own_sandbox: Sandbox) -> None:
    """Names of payees and payers come from the sandbox's files; the other texts are sent."""
    own_sandbox.end()
    shops = own_sandbox.folder / "shops.json"
    shops.write_text(json.dumps(json.loads(shops.read_text()), indent=1).replace("Demo Shop", SCRIPT_IN_JSON))
    with closing(sqlite3.connect(own_sandbox.folder / "sandbox.sqlite")) as books, books:
        books.execute("UPDATE payer SET name = ?", (SCRIPT,))
    own_sandbox.restart()
    online, wechat = alipay_shop.shop(own_sandbox, "online"), wechat_shop.shop(own_sandbox)
    link = online.pc_link(new_number(), subject=SCRIPT)
    cashier = own_sandbox.call("GET", link.removeprefix(own_sandbox.http))[1].decode()
    (token,) = set(re.findall('/alipay/cashier/([^"]+)', cashier))
    h5 = wechat.order(body=SCRIPT, **wechat.h5)["mweb_url"].removeprefix(own_sandbox.http)
    typed = urlencode(dict.fromkeys(TYPED, SCRIPT)).encode()
    shown = {
        "cashier": cashier,  # payee, subject, and each payer to choose from
        "paid": own_sandbox.call("POST", f"/alipay/cashier/{token}", b"action=pay")[1].decode(),
        "h5": own_sandbox.call("GET", h5)[1].decode(),
        "paid h5": own_sandbox.call("POST", h5, b"action=pay")[1].decode(),
        "scanned": scanned(own_sandbox, "chen", wechat.order(body=SCRIPT)["code_url"]),
        "waiting": scanned(own_sandbox, "ada", link),
    }
    for name, page in shown.items():
        check_markup(page)
        assert html.unescape(page).count(SCRIPT) >= (2 if "paid" in name else 5), name
    for form in FORMS:
        page = own_sandbox.call("POST", form, typed)[1].decode()
        check_markup(page)
        assert SCRIPT in html.unescape(page)


def scanned(sandbox: Sandbox, payer: str, link: str) -> str:
    return sandbox.call("POST", "/phone/scan", urlencode({"payer": payer, "link": link}).encode())[1].decode()
