"""A customer with a browser in the demo's shop: reads its pages and fills in its forms, over HTTP alone."""

import html
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from tests.end_to_end.rig import END_LIMIT_S, ROOT, Members, eventually, kernels_name
from tests.support.commands import clean_environment
from tests.support.http_calls import CALL_LIMIT_S

#: The shop is served over HTTP; by default each client would read all CA certificates.
NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
TEA: Final = {"milk_tea": "1", "egg_tart": "2"}
#: 22.00 and twice 11.00.
TEA_MINOR: Final = 4400
TAGS: Final = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True)
class Seen:
    """A page. `text` is its visible text."""

    status: int
    address: str
    source: str
    headers: httpx.Headers = field(repr=False)

    @property
    def text(self) -> str:
        return " ".join(html.unescape(TAGS.sub(" ", self.source)).replace("\xa0", " ").split())

    @property
    def reference(self) -> str:
        """The order's, if it is the page of one."""
        return self.address.rpartition("/")[2]

    @property
    def headline(self) -> str:
        (found,) = re.findall(r'<h1 class="headline"[^>]*>([^<]*)</h1>', self.source)
        return str(found)

    def hidden(self, name: str) -> str:
        """The value of a hidden field."""
        (found,) = re.findall(f'<input type="hidden" name="{name}" value="([^"]*)"', self.source)
        return str(found)

    def value(self, name: str) -> str:
        """The value of a visible field."""
        (found,) = re.findall(f'<input id="{name}"[^>]* value="([^"]*)"', self.source)
        return html.unescape(found)

    def link(self, id_: str) -> httpx.URL:
        (found,) = re.findall(f'id="{id_}" href="([^"]*)"', self.source)
        return httpx.URL(html.unescape(found))

    @property
    def pay_link(self) -> str:
        """The url that the link to the payer's phone opens."""
        return self.link("to-phone").params["opened"]

    @property
    def webhooks(self) -> list[str]:
        """Each webhook that is shown, as text."""
        shown = re.findall(r'<details id="webhook-.*?</details>', self.source, re.DOTALL)
        return [Seen(200, "", one, self.headers).text for one in shown]


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer in the shop at `url`."""

    url: str

    def get(self, path: str, **params: str) -> Seen:
        return self._send("GET", path, params=params)

    def post(self, path: str, typed: Members, **headers: str) -> Seen:
        return self._send("POST", path, data=typed, headers=headers)

    def _send(self, method: str, path: str, **what: object) -> Seen:
        with httpx.Client(
            timeout=CALL_LIMIT_S, follow_redirects=True, trust_env=False, verify=NO_TLS
        ) as http:
            answer = http.request(method, self.url + path, **what)  # type: ignore[arg-type]
        assert "Traceback" not in answer.text
        return Seen(answer.status_code, str(answer.url), answer.text, answer.headers)

    def order(self, pay_type: str, **more: str) -> Seen:
        """Fill in and send the form of the first page. Returns the next page."""
        reference = self.get("/").hidden("reference")
        return self.post("/orders", {"reference": reference, **TEA, "pay_type": pay_type, **more})

    def look(self, reference: str) -> Seen:
        return self.get(f"/orders/{reference}")

    def press(self, page: Seen, name: str, **typed: str) -> Seen:
        """Press a button of an order's page."""
        return self.post(f"/orders/{page.reference}/{name}", typed)

    def refund(self, page: Seen, amount: str | None = None) -> Seen:
        how = {"how": "whole"} if amount is None else {"how": "part", "amount": amount}
        return self.press(page, "refund", reference=page.hidden("reference"), **how)

    def until(self, reference: str, headline: str) -> Seen:
        """Wait until the order's page shows this text."""
        page = eventually(lambda: self.look(reference), lambda page: page.headline == headline)
        assert page.headline == headline
        return page


@contextmanager
def shop_of(folder: Path, port: int, gateway: str, sandbox: str, app: Members) -> Iterator["Shop"]:
    """A shop of another app, started by a command."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tael_sandbox.shop", "--port", str(port), "--data", str(folder)),
            *("--gateway", gateway, "--sandbox", sandbox),
        ],
        cwd=ROOT,
        env=clean_environment()
        | {"SHOP_APPCODE": app["appcode"], "SHOP_KEY": app["key"], "SHOP_MCHID": app["mchid"]},
    )
    shop = Shop(Customer(f"http://127.0.0.1:{port}"), process.pid)
    try:
        assert eventually(shop.answers, bool), "the shop did not start"
        yield shop
    finally:
        process.terminate()
        process.wait(END_LIMIT_S)


@dataclass(frozen=True, slots=True)
class Shop:
    customer: Customer
    pid: int

    def answers(self) -> bool:
        try:
            return self.customer.get("/healthz").status == 200
        except httpx.TransportError:
            return False

    @property
    def arguments(self) -> str:
        return Path(f"/proc/{self.pid}/cmdline").read_text()


def pid_of_shop(below: set[int]) -> int:
    """The shop's process among a demo's."""
    (found,) = [pid for pid in below if kernels_name(pid) == "tael-shop"]
    return found
