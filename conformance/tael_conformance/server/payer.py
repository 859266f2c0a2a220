"""The payer: tael's sandbox pays by itself over its control API; otherwise a person is asked."""

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Final, Protocol

from tael_conformance.checks import Departure, Skipped
from tael_conformance.pay_types import PayType
from tael_conformance.wire import Exchange, Wire

UTC8: Final = timezone(timedelta(hours=8))
HTTP_OK: Final = 200


class Payer(Protocol):
    @property
    def is_unattended(self) -> bool:
        """Whether it pays at once, any number of orders."""

    def now(self) -> datetime:
        """The server's time, in UTC+8."""

    def advance(self, seconds: float) -> bool:
        """Move the server's clock forward; False if it cannot be moved."""

    def code(self, pay_type: PayType) -> str:
        """A barcode of the pay type's wallet that pays at once. Raises Skipped."""

    def openid(self, pay_type: PayType) -> str:
        """The payer's id for the order. Raises Skipped."""

    def pay(self, opened: Exchange) -> None:
        """Pay this online order, or ask for it. Raises Skipped."""


@dataclass(slots=True)
class Person:
    """Pays with barcodes given as options and with a phone that scans or opens what `show` prints."""

    auth_codes: deque[str] = field(repr=False)
    openids: dict[str, str]
    show: Callable[[str], None]
    is_unattended: bool = False

    def now(self) -> datetime:
        return datetime.now(UTC8)

    def advance(self, seconds: float) -> bool:
        return False

    def code(self, pay_type: PayType) -> str:
        for code in self.auth_codes:
            if pay_type.wallet.startswith(wallet_of(code)):
                self.auth_codes.remove(code)
                return code
        raise Skipped(f"needs --auth-code with a barcode for {pay_type.code}, or --sandbox")

    def openid(self, pay_type: PayType) -> str:
        return given_openid(self.openids, pay_type)

    def pay(self, opened: Exchange) -> None:
        link = opened.text("pay_url") or opened.text("qrcode")
        if not link:
            raise Skipped("a person cannot pay an order without a pay_url or qrcode; use --sandbox")
        self.show(f"pay {opened.text('out_trade_no')} now: {link}")


def wallet_of(code: str) -> str:
    """The wallet of a barcode, by its first digits: 10 to 15 are WeChat Pay's."""
    return "wechat" if "10" <= code[:2] <= "15" else "alipay"


def given_openid(openids: dict[str, str], pay_type: PayType) -> str:
    option = "--mini-openid" if pay_type.code == "800213" else "--openid"
    if option not in openids:
        raise Skipped(f"needs {option}, or --sandbox")
    return openids[option]


@dataclass(slots=True)
class SandboxPayer:
    """Pays through the control API of tael's sandbox."""

    wire: Wire
    shop: str = ""
    openids: dict[str, str] = field(default_factory=dict)
    is_unattended: bool = True

    def now(self) -> datetime:
        return datetime.fromisoformat(self._control("clock")["now"]).astimezone(UTC8)

    def advance(self, seconds: float) -> bool:
        self._control("clock", advance_s=seconds)
        return True

    def code(self, pay_type: PayType) -> str:
        return str(self._control("codes", wallet=pay_type.wallet)["auth_code"])

    def openid(self, pay_type: PayType) -> str:
        try:
            return given_openid(self.openids, pay_type)
        except Skipped:
            return self._sandbox_openid("mini_appid" if pay_type.code == "800213" else "sub_appid")

    def pay(self, opened: Exchange) -> None:
        self._control("confirm", url=_scannable(opened), action="pay")

    def _sandbox_openid(self, name: str) -> str:
        accounts = [row for row in self._control("accounts") if row["wallet"] == "wechat"]
        account = next((row for row in accounts if self.shop in ("", row["shop"])), None)
        appid = account and (account[name] or account["appid"])
        for payer in self._control("payers"):
            if appid in payer["openids"]:
                return str(payer["openids"][appid])
        raise Skipped("the sandbox has no payer for this merchant; see --sandbox-shop")

    def _control(self, name: str, **asked: object) -> Any:
        """POST /control/NAME with these members, or GET without any."""
        body = json.dumps(asked).encode() if asked else b""
        answer = self.wire.send("POST" if asked else "GET", f"/control/{name}", body)
        if answer.status != HTTP_OK:
            raise Departure("the sandbox to do this", answer.received, answer.sent)
        return json.loads(answer.body)


def _scannable(opened: Exchange) -> str:
    """What the payer's phone gets: the link, the code or the parameters."""
    if "pay_params" in opened.members:
        return json.dumps(opened.members["pay_params"])
    return opened.text("pay_url") or opened.text("qrcode")
