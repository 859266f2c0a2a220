"""A scanned link may be a page of this machine that redirects to the wallet: redirects are followed."""

import pytest
from pytest_httpserver import HTTPServer

from tests.sandbox import alipay_shop, wechat_shop
from tests.sandbox.alipay_shop import confirm, new_number, scan
from tests.sandbox.conftest import ControlRefused, Sandbox
from tests.sandbox.handset import Handset
from tests.support.local_server import target_of
from tests.support.ports import reserved_ports


@pytest.fixture
def pages(httpserver_ipv4: HTTPServer) -> HTTPServer:
    """A server of this machine; a page that was not added is 404."""
    httpserver_ipv4.no_handler_status_code = 404
    return httpserver_ipv4


def redirect(pages: HTTPServer, **locations: str) -> None:
    """The page `/NAME` redirects to what is given."""
    for name, location in locations.items():
        answer = pages.expect_request(f"/{name}")
        answer.respond_with_data(status=302, headers={"Location": location})


def requested(pages: HTTPServer) -> list[str]:
    """The requested paths, with their queries."""
    return [target_of(request) for request, _ in pages.log]


@pytest.fixture
def link(sandbox: Sandbox) -> str:
    return alipay_shop.shop(sandbox, "online").wap_link(new_number())


def test_three_redirects_lead_to_the_wallet_and_a_fourth_is_not_followed(
    sandbox: Sandbox, link: str, pages: HTTPServer
) -> None:
    redirect(pages, one=link, two="/one", three="two", four="/three")
    assert scan(sandbox, pages.url_for("/three?lang=en"))["wallet"] == "alipay"
    assert requested(pages) == ["/three?lang=en", "/two", "/one"]
    with pytest.raises(ControlRefused, match="no wallet within 3 redirects"):
        scan(sandbox, pages.url_for("/four"))
    assert requested(pages)[3:] == ["/four", "/three", "/two"]


def test_the_payer_acts_on_the_order_behind_the_link(sandbox: Sandbox, link: str, pages: HTTPServer) -> None:
    redirect(pages, pay=link)
    assert confirm(sandbox, url=pages.url_for("/pay"))["state"] == "TRADE_FINISHED"


def test_a_page_may_redirect_to_a_code_or_link_of_wechat_too(sandbox: Sandbox, pages: HTTPServer) -> None:
    shop = wechat_shop.shop(sandbox)
    redirect(pages, pay=shop.order()["code_url"], h5=shop.order(**shop.h5)["mweb_url"])
    for page in ("/pay", "/h5"):
        assert scan(sandbox, pages.url_for(page))["state"] == "NOTPAY"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/page", "a page and not to a wallet: HTTP 200"),
        ("/nothing", "HTTP 404"),
        ("/loop", "no wallet within 3"),
    ],
)
def test_a_page_that_does_not_redirect_to_a_wallet_is_refused(
    sandbox: Sandbox, pages: HTTPServer, path: str, words: str
) -> None:
    redirect(pages, loop="/loop")
    pages.expect_request("/page").respond_with_data("")
    with pytest.raises(ControlRefused, match=words) as refused:
        scan(sandbox, pages.url_for(path))
    assert refused.value.field == "url"


@pytest.mark.parametrize(
    "elsewhere",
    [
        "http://192.0.2.1/x",
        "http://shop.example/x",
        "http://127.0.0.1.example/x",
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
    ],
)
def test_only_pages_of_this_machine_are_requested(
    sandbox: Sandbox, pages: HTTPServer, elsewhere: str
) -> None:
    redirect(pages, pay=elsewhere)
    for start in (elsewhere, pages.url_for("/pay")):
        with pytest.raises(ControlRefused, match="no wallet knows this url"):
            scan(sandbox, start)


def test_an_unreachable_page_is_refused(sandbox: Sandbox) -> None:
    with reserved_ports(1) as (port,):
        for broken in (
            f"http://127.0.0.1:{port}",
            "http://127.0.0.1:99999/",
            "http://127.0.0.1:0/",
            "http://localhost:1/",
        ):
            with pytest.raises(ControlRefused) as refused:
                scan(sandbox, broken)
            assert refused.value.field == "url"


def test_the_phone_follows_the_link_once(sandbox: Sandbox, link: str, pages: HTTPServer) -> None:
    redirect(pages, pay=link)
    pages.expect_request("/page").respond_with_data("")
    phone, pay = Handset(sandbox, "ada"), pages.url_for("/pay")
    assert phone.scan(pay).status == 200
    assert phone.act("pay").status == 200
    assert requested(pages) == ["/pay"]
    assert "leads to a page and not to a wallet" in phone.scan(pages.url_for("/page"))["link-note"]
    assert "WeChat Pay does not know this" in Handset(sandbox, "chen").scan(pay)["link-note"]
