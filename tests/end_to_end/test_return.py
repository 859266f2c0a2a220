"""The payer's return from Alipay: redirected to the merchant with the payment's parameters, if Alipay signed it."""

from collections.abc import Iterator
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from tests.end_to_end.merchant import Merchant, send
from tests.end_to_end.rig import Demo
from tests.support.http_calls import Answer

RETURN_URL = "https://shop.example/back?session=a%26b&empty=&lang=%E8%8C%B6"


@pytest.fixture(scope="module")
def returning(shop: Merchant, demo: Demo) -> Iterator[Merchant]:
    demo.set_app(shop.appcode, "--return-url", RETURN_URL)
    yield shop
    demo.set_app(shop.appcode, "--return-url", "")


def come_back(demo: Demo, address: str) -> Answer:
    """GET of the redirect of the payer's browser."""
    assert address.startswith(f"{demo.gateway}/return/alipay/")
    return send(demo.gateway, "GET", address.removeprefix(demo.gateway))


def paid_and_back(shop: Merchant, pay_type: str, **given: str) -> tuple[Answer, str]:
    opened = shop.open(pay_type, **given)
    return opened, str(shop.pay_by_phone(opened)["return_to"])


@pytest.mark.parametrize("pay_type", ["800151", "800152"])
def test_the_browser_is_redirected_to_the_merchant_with_the_payments_parameters(
    returning: Merchant, demo: Demo, pay_type: str
) -> None:
    opened, address = paid_and_back(returning, pay_type, udid="terminal 4")

    answer = come_back(demo, address)

    assert answer.status in (302, 303)
    parts = urlsplit(answer.headers["location"])
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == "https://shop.example/back"
    query = parse_qsl(parts.query, keep_blank_values=True)
    assert query[:3] == [("session", "a&b"), ("empty", ""), ("lang", "茶")]
    assert dict(query[3:]) == {
        "mchid": returning.mchid,
        "syssn": opened["syssn"],
        "pay_type": pay_type,
        "out_trade_no": opened["out_trade_no"],
        "txdtm": opened["txdtm"],
        "txamt": "1000",
        "udid": "terminal 4",
        "respcd": "0000",
        "respmsg": "",
        "respmesg": "",
    }


def test_a_return_url_keeps_every_character_that_it_has(
    shop: Merchant, demo: Demo, returning: Merchant
) -> None:
    query = "name=%B2%E8&a=&b=1&b=2&c=d+e%20f&odd=|{}^`~!$'()*,;:@/?[]"
    demo.set_app(shop.appcode, "--return-url", f"https://shop.example/back?{query}#/done?x=1")
    _, address = paid_and_back(returning, "800151")

    before, members, after = come_back(demo, address).headers["location"].partition(f"&mchid={shop.mchid}&")
    demo.set_app(shop.appcode, "--return-url", RETURN_URL)
    assert (before, members != "") == (f"https://shop.example/back?{query}", True)
    assert after.endswith("#/done?x=1")


def test_a_return_triggers_a_query_of_the_wallet(returning: Merchant, demo: Demo) -> None:
    opened, address = paid_and_back(returning, "800151")

    assert come_back(demo, address).status in (302, 303)
    assert returning.row(opened["syssn"])["respcd"] == "0000"
    again = come_back(demo, address)
    assert again.status in (302, 303)


def test_a_forged_return_goes_nowhere(returning: Merchant, demo: Demo) -> None:
    _, address = paid_and_back(returning, "800151")
    other, _ = paid_and_back(returning, "800151")
    parts = urlsplit(address)
    fields = dict(parse_qsl(parts.query, keep_blank_values=True))
    forged = [
        *({**fields, name: f"{value}1"} for name, value in fields.items() if name != "sign_type"),
        *({n: v for n, v in fields.items() if n != name} for name in fields if name != "sign_type"),
        {**fields, "more": "1"},
        {**fields, "out_trade_no": other["syssn"]},
        {**fields, "sign": ""},
        {},
    ]
    for changed in forged:
        answer = come_back(demo, parts._replace(query=urlencode(changed)).geturl())
        assert answer.status == 400, changed
        assert "location" not in answer.headers


def test_a_return_to_another_account_goes_nowhere(returning: Merchant, demo: Demo, chain: Merchant) -> None:
    _, address = paid_and_back(returning, "800151")
    _, other = paid_and_back(chain, "800151")
    query = urlsplit(address).query
    for path in (urlsplit(other).path, f"{urlsplit(address).path}0", "/return/alipay/unknown"):
        answer = send(demo.gateway, "GET", f"{path}?{query}")
        assert answer.status == 400
        assert "location" not in answer.headers


def test_a_return_to_an_account_of_the_other_wallet_goes_nowhere(returning: Merchant, demo: Demo) -> None:
    syssn = returning.open("800201")["syssn"]
    account_id = demo.ask("payment", "show", syssn)["payment"]["account_id"]

    assert send(demo.gateway, "GET", f"/return/alipay/{account_id}?out_trade_no={syssn}").status == 400


def test_a_malformed_return_is_refused(demo: Demo, returning: Merchant) -> None:
    _, address = paid_and_back(returning, "800151")
    path = urlsplit(address).path
    for query in ("", "%ff%fe=1", "a=1&a=2", "sign=%00", "x" * 3000):
        assert send(demo.gateway, "GET", f"{path}?{query}").status == 400


@pytest.mark.parametrize("which", [0, 1])
def test_without_a_return_url_the_payer_sees_a_page_of_thanks(
    chain: Merchant, demo: Demo, which: int
) -> None:
    opened, address = paid_and_back(chain, "800151", mchid=chain.mchids[which])

    answer = come_back(demo, address)
    assert answer.status == 200
    assert "location" not in answer.headers
    assert answer.headers["content-type"].startswith("text/")
    assert opened["syssn"].encode() not in answer.body
