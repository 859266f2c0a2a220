"""Isolation: every route, with the ids of one merchant and the keys of all others, of its own app and of other apps.

The routes come from the router: one without a rule here fails. Nothing that belongs to the victim is shown or changed.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlencode

import pytest
from starlette.routing import Route

from tael.main import application
from tests.end_to_end import test_oauth as oauth
from tests.end_to_end import test_openids as openids
from tests.end_to_end.applications import application as application_form
from tests.end_to_end.applications import signed_up
from tests.end_to_end.checkout import choose, link_params, open_link, opened, signed
from tests.end_to_end.merchant import FORM, MOMENT, Merchant, digest, new_reference, send, signed_text
from tests.end_to_end.rig import Demo
from tests.end_to_end.settlements import BILL, SETTLEMENTS, bill_rows, import_settlement, signed_get
from tests.support.documents import MULTIPART, multipart, png
from tests.support.http_calls import Answer
from tests.support.postgres import cell_of_merchant, connect_to_cell
from tests.support.routes import ROUTES_ONLY

#: The application is built only to list its routes.
ROUTES: Final = tuple(cast(Route, each).path for each in application(ROUTES_ONLY).routes)
AMOUNT: Final = "6283947"
SUBJECT: Final = "Tie Guan Yin of autumn"
#: Of the victim's own application.
MOBILE: Final = "85298765432"
#: Rows that belong to a merchant, without the columns that polling changes.
#: Without older orders of the demo, which may expire meanwhile.
STATE: Final = """
SELECT 'payment', syssn, state, refunded_minor + reserved_minor, close_syssn || reversal_syssn
FROM payment WHERE mchid = %(m)s AND syssn >= %(first)s
UNION ALL SELECT 'refund', syssn, state, amount_minor, '' FROM refund WHERE mchid = %(m)s
UNION ALL SELECT 'reversal', syssn, state, 0, '' FROM reversal WHERE mchid = %(m)s
UNION ALL SELECT 'webhook', cause || kind, '', 0, '' FROM webhook WHERE mchid = %(m)s
UNION ALL SELECT 'link', link_id, payment_syssn, orders, coalesce(ended_at::text, '')
FROM checkout_link WHERE mchid = %(m)s
UNION ALL SELECT 'document', document_id, kind, 0, '' FROM merchant_document WHERE mchid = %(m)s
UNION ALL SELECT 'merchant', name, state, 0, '' FROM merchant WHERE mchid = %(m)s
ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Victim:
    """A merchant with orders in several states, a link, and an application."""

    merchant: Merchant
    orders: tuple[Mapping[str, Any], ...]  #: two that are paid, two that are pending
    username: str
    pages: tuple[str, ...]  #: of the pending order and of the link, without the beginning of the address
    openid: str  #: of a payer, in its official account

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no response to another merchant may contain."""
        return (
            SUBJECT,
            AMOUNT,
            f"{int(AMOUNT) / 100:.2f}",
            MOBILE,
            self.openid,
            *(page.rpartition("/")[2] for page in self.pages),
        )


#: For each route, the requests about the victim that a developer could make; none if the path alone names it.
Requests = Callable[[Merchant, Victim], Iterator[Answer]]


def calls(name: str, **given: str) -> Requests:
    """A call of /trade/v1 about each order, by its number and by its reference."""

    def make(sender: Merchant, victim: Victim) -> Iterator[Answer]:
        for order in victim.orders:
            for number in ({"syssn": order["syssn"]}, {"out_trade_no": order["out_trade_no"]}):
                yield sender.post(name, **number, **given)

    return make


def refunds(sender: Merchant, victim: Victim) -> Iterator[Answer]:
    for order in victim.orders:
        yield sender.post("refund", syssn=order["syssn"], out_trade_no=new_reference(), txamt="1")


def payments(sender: Merchant, victim: Victim) -> Iterator[Answer]:
    """Under the victim's numbers: another merchant's number is another payment."""
    for order in victim.orders:
        params = {"pay_type": order["pay_type"], "out_trade_no": order["out_trade_no"], "txamt": "700"}
        yield sender.post("payment", **params, auth_code="130000000000000000")


def queries(sender: Merchant, victim: Victim) -> Iterator[Answer]:
    yield from calls("query")(sender, victim)
    yield sender.post("query")


def settlements(sender: Merchant, victim: Victim) -> Iterator[Answer]:
    days = {"date_start": "20260101", "date_end": "20261231"}
    yield signed_get(sender, SETTLEMENTS, mchid=sender.mchid, **days)


def bills(sender: Merchant, victim: Victim) -> Iterator[Answer]:
    """Of the merchant that is named, about the day of the victim's first order; with the rows of a file as text."""
    day = str(victim.orders[0]["sysdtm"])[:10]
    answer = signed_get(sender, BILL, mchid=sender.mchid, trade_date=day)
    if answer.status == 200 and answer.body.startswith(b"PK"):
        members = json.dumps({"respcd": "0000", "data": bill_rows(answer.body)}, ensure_ascii=False)
        answer = replace(answer, body=members.encode())
    yield answer


def sign_ups(sender: Merchant, victim: Victim) -> Iterator[Answer]:
    """As the victim's business, in the sender's app: a merchant of its own, if it may sign up any."""
    params = application_form(username=victim.username)
    headers = sender.headers(sender.sign(params), MULTIPART)
    yield send(sender.demo.gateway, "POST", "/mch/v1/signup", multipart(params), headers)


def uploads(sender: Merchant, victim: Victim) -> Iterator[Answer]:
    params = {"mchid": sender.mchid}
    headers = sender.headers(sender.sign(params), MULTIPART)
    files = [("idcardfront", "a.png", png(salt=b"another's"))]
    yield send(sender.demo.gateway, "POST", "/mch/v1/uploadcert", multipart(params, files), headers)


def merchant_queries(sender: Merchant, victim: Victim) -> Iterator[Answer]:
    for params in (
        {"mchid": sender.mchid},
        {"username": victim.username},
        {"mchid": sender.mchid, "username": victim.username},
    ):
        yield signed_get(sender, "/mch/v1/query", **params)


def links(sender: Merchant, victim: Victim) -> Iterator[Answer]:
    for order in victim.orders:
        params = link_params(sender, out_trade_no=order["out_trade_no"], txamt="700")
        yield open_link(sender, signed(params, sender.key))


def openid_links(sender: Merchant, victim: Victim) -> Iterator[Answer]:
    """To the consent page of the official account of the merchant that the link names."""
    yield openids.open_link(sender, openids.link_params(sender))


def openid_requests(sender: Merchant, victim: Victim) -> Iterator[Answer]:
    """With a code of the victim's payer."""
    code = openids.payers_code(victim.merchant)
    yield signed_get(sender, openids.OPENID, mchid=sender.mchid, code=code)


#: Each call that an app signs.
SIGNED: Final[dict[str, Requests]] = {
    "/trade/v1/payment": payments,
    "/trade/v1/close": calls("close"),
    "/trade/v1/refund": refunds,
    "/trade/v1/reversal": calls("reversal", txamt=AMOUNT),
    "/trade/v1/query": queries,
    SETTLEMENTS: settlements,
    BILL: bills,
    "/mch/v1/signup": sign_ups,
    "/mch/v1/uploadcert": uploads,
    "/mch/v1/query": merchant_queries,
    "/checkstand/open": links,
    openids.LINK: openid_links,
    openids.OPENID: openid_requests,
}
#: What the browser, the client or the token of a user may do, who belongs to one merchant.
OF_USERS: Final = {"/oauth/v2/authorize", "/oauth/v2/access_token", "/user/v1/baseinfo", "/user/v1/tradelist"}
#: The victim's pending order at each wallet, by index.
PENDING: Final = {"wechat": 2, "alipay": 3}
#: The demo's apps, by index.
PUBLISHED, CHAIN = 0, 2
#: Routes whose address alone gives access: `test_page_addresses.py` tries to guess them.
BY_ADDRESS: Final = {path for path in ROUTES if "{token}" in path or "{link_id}" in path}
#: Routes for a wallet's servers, and for browsers that a wallet sends back: the wallet signs.
OF_WALLETS: Final = {path for path in ROUTES if "{account_id}" in path}
#: The same for everyone.
PUBLIC: Final = {
    "/healthz",
    "/readyz",
    "/metrics",
    "/mch/v1/mcc",
    "/tool/v1/mcc",
    "/checkstand",
    "/checkstand/",
}


@pytest.fixture(scope="module")
def victim(demo: Demo, shop: Merchant, tmp_path_factory: pytest.TempPathFactory) -> Victim:
    given = {"goods_name": SUBJECT, "txamt": AMOUNT}
    paid, pending = ("800151", "800208"), ("800201", "800151")
    opened_orders = [shop.paid(pay_type, **given) for pay_type in paid]
    demo.advance(timedelta(hours=25, minutes=1).total_seconds())  # until the bill of their day is ready
    opened_orders += [shop.open(pay_type, **given) for pay_type in pending]
    orders = tuple(order.members for order in opened_orders)
    link = opened(shop, goods_name=SUBJECT, txamt=AMOUNT)
    page = choose(shop, link, "wechat").headers["location"]
    username = f"victim@{new_reference()}"
    signed_up(shop, username=username, mobile=MOBILE)
    settled = (str(orders[1]["syssn"]), f"{int(AMOUNT) / 100:.2f}")
    import_settlement(shop, tmp_path_factory.mktemp("victim") / "settled", "20260105", settled)
    victim = Victim(shop, orders, username, (page, link), demo.openid())
    assert shown(next(settlements(shop, victim)), victim)
    assert str(orders[0]["syssn"]) in numbers_in(next(bills(shop, victim)))
    return victim


def state_of(demo: Demo, merchant: Merchant, orders: Sequence[Mapping[str, Any]]) -> list[Any]:
    mchid, first = merchant.mchid, orders[0]["syssn"]
    with connect_to_cell(demo.database_url, cell_of_merchant(demo.database_url, mchid)) as connection:
        return connection.execute(STATE, {"m": mchid, "first": first}).fetchall()


@pytest.fixture
def unchanged(demo: Demo, victim: Victim) -> Iterator[None]:
    before = state_of(demo, victim.merchant, victim.orders)
    assert len(before) > len(victim.orders)
    yield
    assert state_of(demo, victim.merchant, victim.orders) == before


def others(demo: Demo) -> list[Merchant]:
    """Every merchant of every other app of the demo."""
    return [
        Merchant(demo, row["appcode"], row["key"], mchid, tuple(row["mchids"]), sha256=index == CHAIN)
        for index, row in enumerate(demo.apps)
        if index != PUBLISHED
        for mchid in row["mchids"]
    ]


def shown(answer: Answer, victim: Victim) -> list[str]:
    """The victim's secrets in a response."""
    return [each for each in victim.secrets if each.encode() in answer.body or each in str(answer.headers)]


def numbers_in(answer: Answer) -> set[str]:
    """Our numbers in a response that permits something: of the order itself, of what is undone, and of rows."""
    if answer.status != 200 or answer.respcd != "0000":
        return set()
    members = answer.members
    rows = members.get("data") or []
    rows = [members, *(row for row in rows if isinstance(row, dict))] if isinstance(rows, list) else [members]
    return {str(row[name]) for row in rows for name in ("syssn", "orig_syssn", "origssn") if row.get(name)}


# ---- routes and their rules ----------------------------------------------------------------------------------------


def test_every_route_has_one_rule() -> None:
    rules = [*SIGNED, *OF_USERS, *BY_ADDRESS, *OF_WALLETS, *PUBLIC]
    assert sorted(rules) == sorted(ROUTES), "give the new route a rule: who may call it, about what?"


@pytest.mark.parametrize("path", SIGNED)
@pytest.mark.usefixtures("unchanged")
def test_another_apps_key_does_nothing_with_the_victims_id(demo: Demo, victim: Victim, path: str) -> None:
    """Its own appcode with the victim's mchid, and the victim's appcode and mchid with its own key."""
    for other in {each.appcode: each for each in others(demo)}.values():
        foreign_id = replace(other, mchid=victim.merchant.mchid)
        foreign_key = replace(victim.merchant, key=other.key, sha256=other.sha256)
        for sender in (foreign_key,) if path == "/mch/v1/signup" else (foreign_id, foreign_key):
            for answer in SIGNED[path](sender, victim):
                assert answer.respcd == "1108", answer
                assert not shown(answer, victim), answer


@pytest.mark.parametrize("path", SIGNED)
@pytest.mark.usefixtures("unchanged")
def test_another_merchant_does_nothing_with_the_victims_numbers(
    demo: Demo, victim: Victim, path: str
) -> None:
    """With its own mchid and key. The same number is one of its own, or of no order."""
    syssns = {str(order["syssn"]) for order in victim.orders}
    for other in others(demo):
        for answer in SIGNED[path](other, victim):
            assert not shown(answer, victim), answer
            assert not syssns & numbers_in(answer), answer


@pytest.mark.parametrize(
    "path", sorted(set(SIGNED) - {"/mch/v1/signup", "/mch/v1/uploadcert", "/mch/v1/query"})
)
def test_the_merchants_of_one_app_are_isolated_too(demo: Demo, chain: Merchant, path: str) -> None:
    east, west = (replace(chain, mchid=mchid) for mchid in chain.mchids)
    orders = tuple(
        east.paid(pay_type, goods_name=SUBJECT, txamt=AMOUNT).members for pay_type in ("800151", "800208")
    )
    pages = (east.open("800201", goods_name=SUBJECT)["pay_url"],)
    victim = Victim(east, orders, "", pages, demo.openid("chain_east"))
    before = state_of(demo, east, orders)
    for answer in SIGNED[path](west, victim):
        assert not shown(answer, victim), answer
        numbers = {str(order["syssn"]) for order in victim.orders}
        assert not numbers & numbers_in(answer), answer
    assert state_of(demo, east, orders) == before


def test_a_users_code_and_tokens_are_of_one_app_and_one_merchant(
    demo: Demo, victim: Victim, wechat_only: Merchant, tmp_path: Path
) -> None:
    """All apps have OAuth on. A user of another merchant sees that merchant's payments only."""
    file = tmp_path / "password"
    file.write_text(oauth.PASSWORD)
    for row in demo.apps:
        demo.ask("app", "set", row["appcode"], "--redirect-uri", oauth.PAGE)
    mine, theirs = (
        oauth.App(wechat_only, name, demo.ask(*user_of(mchid, name, file))["userid"])
        for mchid, name in ((wechat_only.mchid, "eve"), (victim.merchant.mchid, "vic"))
    )
    code = oauth.new_code(theirs)
    clients = [{"client_id": row["appcode"], "client_secret": row["key"]} for row in demo.apps]
    wrong = [each for each in clients if each["client_id"] != wechat_only.appcode]
    assert [theirs.redeem(code, **each).status_code for each in wrong] == [400] * len(wrong)
    tokens = theirs.redeem(code).json()
    refreshed = [theirs.refresh(tokens["refresh_token"], **each).status_code for each in wrong]
    assert refreshed == [400] * len(wrong)

    now = demo.now()
    times = {"start_time": (now - timedelta(days=2)).strftime(MOMENT), "end_time": now.strftime(MOMENT)}
    paid = {str(order["syssn"]) for order in victim.orders[:2]}
    for reader, token, sees in (
        (theirs, tokens, paid),
        (mine, mine.redeem(oauth.new_code(mine)).json(), set[str]()),
    ):
        listed = reader.read("tradelist", token["access_token"], page="1", page_size="100", **times)
        assert listed["respcd"] == "0000", listed
        assert paid & {row["syssn"] for row in listed["data"]["tradelist"]} == sees
        assert reader.read("baseinfo", token["access_token"])["data"]["userid"] == reader.userid
    for row in demo.apps:
        demo.ask("app", "set", row["appcode"], "--redirect-uri", "")


def user_of(mchid: str, name: str, password: Path) -> tuple[str, ...]:
    return ("user", "add", mchid, "--username", name, "--nickname", name, "--password-file", str(password))


# ---- addresses and wallets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(BY_ADDRESS))
@pytest.mark.usefixtures("unchanged")
def test_a_token_opens_nothing_of_another_merchant_or_order(
    demo: Demo, victim: Victim, wechat_only: Merchant, path: str
) -> None:
    order = wechat_only.open("800201")
    page = str(demo.ask("payment", "show", order["syssn"])["payment"]["page"])
    link = opened(wechat_only)
    mine = {"mchid": wechat_only.mchid, "syssn": order["syssn"], "token": page.rpartition("/")[2]}
    theirs = {
        "mchid": victim.merchant.mchid,
        "syssn": victim.pages[0].split("/")[-2],
        "token": victim.pages[0].rpartition("/")[2],
    }
    mixed = [
        theirs | {"token": mine["token"]},
        mine | {"token": theirs["token"]},
        theirs | {"mchid": mine["mchid"]},
    ]
    links = {"wallet": "wechat", "link_id": link.rpartition("/")[2]}
    for parts in mixed:
        for method in ("GET", "POST"):
            answer = send(demo.gateway, method, path.format(**parts | links))
            is_own_link = "{link_id}" in path and parts["mchid"] == mine["mchid"]
            assert is_own_link or answer.status in (404, 405), (parts, answer)
            assert not shown(answer, victim), answer


@pytest.mark.parametrize("wallet", ["alipay", "wechat"])
@pytest.mark.usefixtures("unchanged")
def test_a_notice_signed_with_another_accounts_key_pays_nothing(
    demo: Demo, victim: Victim, wallet: str
) -> None:
    """Sent to the victim's account, and to the other merchant's own, about the victim's pending order."""
    order = victim.orders[PENDING[wallet]]
    accounts = [each for each in demo.ask("account", "list") if each["wallet"] == wallet]
    own = [each["account_id"] for each in accounts if each["mchid"] == victim.merchant.mchid]
    keys = {row.get("sub_mch_id") or row.get("mch_id") or row["pid"]: row for row in demo.control("accounts")}
    tried = 0
    for account in accounts:
        row = keys.get(account.get("sub_mch_id") or account.get("mch_id") or account["pid"])
        if row is None or row["sign_type"] != "MD5" or account["mchid"] == victim.merchant.mchid:
            continue  # it may be another test's, of which the sandbox knows nothing
        body, headers = NOTICES[wallet](row, str(order["syssn"]))
        for account_id in own:
            assert (
                b"success"
                not in send(
                    demo.gateway, "POST", f"/notices/{wallet}/{account_id}", body, headers
                ).body.lower()
            )
        send(demo.gateway, "POST", f"/notices/{wallet}/{account['account_id']}", body, headers)
        tried += 1
    assert tried
    assert victim.merchant.row(str(order["syssn"]))["respcd"] == "1145"


def wechat_notice(row: Mapping[str, str], syssn: str) -> tuple[bytes, list[tuple[str, str]]]:
    fields = {
        **{name: row[name] for name in ("appid", "mch_id", "sub_mch_id", "sub_appid") if row.get(name)},
        **{
            "return_code": "SUCCESS",
            "result_code": "SUCCESS",
            "nonce_str": "n",
            "openid": "o",
            "is_subscribe": "N",
        },
        **{
            "trade_type": "NATIVE",
            "bank_type": "CFT",
            "total_fee": AMOUNT,
            "fee_type": "HKD",
            "cash_fee": AMOUNT,
        },
        **{
            "transaction_id": "4200000000202601020000000001",
            "out_trade_no": syssn,
            "time_end": "20260102110405",
        },
    }
    fields["sign"] = digest(f"{signed_text(fields)}&key={row['key']}".encode())
    return f"<xml>{''.join(f'<{name}>{text}</{name}>' for name, text in fields.items())}</xml>".encode(), []


def alipay_notice(row: Mapping[str, str], syssn: str) -> tuple[bytes, list[tuple[str, str]]]:
    fields = {
        **{"notify_id": "1", "notify_type": "trade_status_sync", "notify_time": "2026-01-02 11:04:05"},
        **{
            "trade_status": "TRADE_FINISHED",
            "out_trade_no": syssn,
            "trade_no": "2026010222001",
            "currency": "HKD",
        },
        **{"total_fee": AMOUNT[:-2], "seller_id": row["pid"]},
    }
    signature = digest((signed_text(fields) + row["key"]).encode()).lower()
    body = urlencode(fields | {"sign": signature, "sign_type": "MD5"}).encode()
    return body, [("Content-Type", FORM)]


NOTICES: Final = {"wechat": wechat_notice, "alipay": alipay_notice}
