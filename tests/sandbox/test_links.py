"""A scanned link may be a page of this machine that leads to the wallet: it is followed as a browser would."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.sandbox import alipay_shop, wechat_shop
from tests.sandbox.alipay_shop import confirm, fresh, scan
from tests.sandbox.conftest import ControlRefused, Sandbox
from tests.sandbox.handset import Handset


@contextmanager
def pages(**locations: str) -> Iterator[tuple[str, list[str]]]:
    """A server whose page `/NAME` redirects to what is given, or answers 200 if that is "". Its URL; what was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            location = locations.get(self.path.partition("?")[0].strip("/"))
            self.send_response(404 if location is None else 302 if location else 200)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def link(sandbox: Sandbox) -> str:
    return alipay_shop.shop(sandbox, "online").wap_link(fresh())


def test_three_redirects_lead_to_the_wallet_and_a_fourth_is_not_followed(sandbox: Sandbox, link: str) -> None:
    with pages(one=link, two="/one", three="two", four="/three") as (url, asked):
        assert scan(sandbox, f"{url}/three?lang=en")["wallet"] == "alipay"
        assert asked == ["/three?lang=en", "/two", "/one"]
        with pytest.raises(ControlRefused, match="no wallet within 3 redirects"):
            scan(sandbox, f"{url}/four")
        assert asked[3:] == ["/four", "/three", "/two"]


def test_the_payer_acts_on_what_the_link_leads_to(sandbox: Sandbox, link: str) -> None:
    with pages(pay=link) as (url, _):
        assert confirm(sandbox, url=f"{url}/pay")["state"] == "TRADE_FINISHED"


def test_a_code_of_wechats_may_be_behind_a_page_too(sandbox: Sandbox) -> None:
    with pages(pay=wechat_shop.shop(sandbox).order()["code_url"]) as (url, _):
        assert scan(sandbox, f"{url}/pay")["state"] == "NOTPAY"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/page", "a page and not to a wallet: HTTP 200"),
        ("/nothing", "HTTP 404"),
        ("/loop", "no wallet within 3"),
    ],
)
def test_a_page_that_leads_to_no_wallet_says_so(sandbox: Sandbox, path: str, words: str) -> None:
    with pages(page="", loop="/loop") as (url, _), pytest.raises(ControlRefused, match=words) as refused:
        scan(sandbox, url + path)
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
def test_only_pages_of_this_machine_are_asked(sandbox: Sandbox, elsewhere: str) -> None:
    with pages(pay=elsewhere) as (url, _):
        for start in (elsewhere, f"{url}/pay"):
            with pytest.raises(ControlRefused, match="no wallet knows this url"):
                scan(sandbox, start)


def test_a_page_that_nobody_serves_says_so(sandbox: Sandbox) -> None:
    with pages() as (url, _):
        pass
    for broken in (url, "http://127.0.0.1:99999/", "http://127.0.0.1:0/", "http://localhost:1/"):
        with pytest.raises(ControlRefused) as refused:
            scan(sandbox, broken)
        assert refused.value.field == "url"


def test_the_phone_follows_once_and_then_knows_the_order(sandbox: Sandbox, link: str) -> None:
    phone = Handset(sandbox, "ada")
    with pages(pay=link, page="") as (url, asked):
        assert phone.scan(f"{url}/pay").status == 200
        assert phone.act("pay").status == 200
        assert asked == ["/pay"]
        assert "leads to a page and not to a wallet" in phone.scan(f"{url}/page")["link-note"]
        assert "WeChat Pay does not know this" in Handset(sandbox, "chen").scan(f"{url}/pay")["link-note"]
