"""The objects of the fixtures: the gateway with its apps, the wallets, the clock. Standard library only."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from tael_demo.testing.instance import Instance

CONTROL_LIMIT_S: Final = 30.0
#: Settings of an app that a test may change.
SETTINGS: Final = (
    "notify_url",
    "return_url",
    "webhook_style",
    "notify_offline",
    "cancel_codes_v2",
    "include_goods_name",
    "include_settlement",
    "quick_retries",
    "close_requires_amount",
    "max_request_age_s",
    "sha256_responses",
)
DEFAULTS: Final = {
    "notify_url": None,
    "return_url": None,
    "notify_offline": False,
    "cancel_codes_v2": False,
    "include_goods_name": False,
    "include_settlement": False,
    "quick_retries": True,
    "close_requires_amount": False,
    "max_request_age_s": None,
    "sha256_responses": False,
}
Members = dict[str, Any]


class WalletRefused(Exception):
    """The sandbox refused a control call. The message is the sandbox's."""


@dataclass(frozen=True, slots=True)
class TaelApp:
    """An app's credentials and its merchants."""

    appcode: str
    key: str = field(repr=False)
    mchid: str
    mchids: tuple[str, ...]
    shops: tuple[str, ...]  #: the merchants' names in the sandbox, in the same order
    webhook_style: str  #: "old" or "new"
    sha256_only: bool


class TaelGateway:
    """The gateway. `appcode`, `key` and `mchid` are those of the app that has every pay type."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._changed: set[str] = set()
        info = instance.info
        self.url: str = info["gateway"]
        self.sandbox_url: str = info["sandbox"]
        self.database_url: str = info["database_url"]
        self.folder = Path(info["folder"])  #: for commands with `--data`
        self.apps = tuple(_app_of(row) for row in info["apps"])

    @property
    def appcode(self) -> str:
        return self.apps[0].appcode

    @property
    def key(self) -> str:
        return self.apps[0].key

    @property
    def mchid(self) -> str:
        return self.apps[0].mchid

    def set_notify_url(self, url: str | None, appcode: str | None = None) -> None:
        """Set the URL for an app's webhooks until the end of the test."""
        self.set_app(appcode, notify_url=url)

    def set_return_url(self, url: str | None, appcode: str | None = None) -> None:
        """Set the URL for returning payers after an Alipay payment until the end of the test."""
        self.set_app(appcode, return_url=url)

    def set_app(self, appcode: str | None = None, **settings: object) -> None:
        """Change settings of an app, named in `SETTINGS`, until the end of the test. Takes effect at once."""
        unknown = settings.keys() - set(SETTINGS)
        if unknown:
            raise TypeError(f"an app has no setting {sorted(unknown)[0]!r}; it has {', '.join(SETTINGS)}")
        appcode = appcode or self.appcode
        self._changed.add(appcode)
        self._instance.request(set_app=appcode, **settings)

    def reset(self) -> None:
        """Restore the settings of the apps that the test changed."""
        for app in self.apps:
            if app.appcode in self._changed:
                self._instance.request(set_app=app.appcode, **DEFAULTS, webhook_style=app.webhook_style)
        self._changed.clear()


class TaelWallets:
    """The simulated wallets. `docs/sandbox.md` documents each call."""

    def __init__(self, instance: Instance) -> None:
        self._url: str = instance.info["sandbox"]
        self._faults: list[Mapping[str, object]] = []

    def code(self, wallet: str, behaviour: str = "pays", payer: str | None = None) -> str:
        """A new barcode on a payer's phone."""
        request = {"wallet": wallet, "behaviour": behaviour} | ({"payer": payer} if payer else {})
        return str(_control(self._url, "codes", "POST", request)["auth_code"])

    def scan(self, url: str) -> Members:
        """Scan a link or a QR code with the payer's phone, and return the order that it shows."""
        return _members(_control(self._url, "scan", "POST", {"url": url}))

    def confirm(
        self,
        *,
        url: str | None = None,
        trade: str | None = None,
        action: str = "pay",
        payer: str | None = None,
    ) -> Members:
        """The payer's action on the order of `url` or of `trade`, which is a syssn or the wallet's number."""
        request = {"url": url, "trade": trade, "action": action, "payer": payer}
        given = {name: value for name, value in request.items() if value is not None}
        return _members(_control(self._url, "confirm", "POST", given))

    @contextmanager
    def faults(self, *faults: Mapping[str, object]) -> Iterator[None]:
        """Inject faults at the wallets within the block, in addition to those of outer blocks."""
        before = self._faults
        self._put([*faults, *before])
        try:
            yield
        finally:
            self._put(before)

    def book(self, order: str | None = None) -> Members:
        """The wallets' own book: `trades` and `refunds`, of one syssn or of all."""
        book = _members(_control(self._url, "book"))
        if order is None:
            return book
        return {name: [row for row in book[name] if row["order"] == order] for name in ("trades", "refunds")}

    def payers(self) -> list[Members]:
        return _rows(_control(self._url, "payers"))

    def openid(self, shop: str = "demo", *, mini_program: bool = False) -> str:
        """A payer's openid under the official account or the mini program of a merchant.

        `shop` is named as in `TaelApp.shops`.
        """
        accounts = _rows(_control(self._url, "accounts"))
        found = [row for row in accounts if row["wallet"] == "wechat" and row["shop"] == shop]
        if not found:
            raise WalletRefused(f"no shop {shop!r} has an official account")
        official = found[0]["sub_appid"] or found[0]["appid"]  # a direct merchant has no `sub_appid`
        appid = found[0]["mini_appid"] if mini_program else official
        return str(next(row["openids"][appid] for row in self.payers() if row["wallet"] == "wechat"))

    def reset(self) -> None:
        """Remove all faults."""
        if self._faults:
            self._put([])

    def _put(self, faults: list[Mapping[str, object]]) -> None:
        _control(self._url, "faults", "PUT", faults)
        self._faults = faults


class TaelClock:
    """The clock shared by gateway and wallets."""

    def __init__(self, instance: Instance) -> None:
        self._url: str = instance.info["sandbox"]

    def now(self) -> datetime:
        """In UTC."""
        return _instant(_control(self._url, "clock"))

    def advance(self, by: float | timedelta) -> datetime:
        """Move the clock forward by a timedelta or a number of seconds, and return the new time."""
        seconds = by.total_seconds() if isinstance(by, timedelta) else by
        return _instant(_control(self._url, "clock", "POST", {"advance_s": seconds}))

    def advance_to(self, at: datetime) -> datetime:
        """Move the clock forward to `at`, an aware datetime. Raises ValueError if `at` is in the past."""
        if at.tzinfo is None:
            raise ValueError(f"{at} has no time zone")
        now = self.now()
        if at < now:
            raise ValueError(f"the clock is at {now} already and only moves forward")
        return self.advance(at - now)


def _app_of(row: Members) -> TaelApp:
    return TaelApp(**{**row, "mchids": tuple(row["mchids"]), "shops": tuple(row["shops"])})


def _instant(answer: Members) -> datetime:
    return datetime.fromisoformat(answer["now"]).astimezone(UTC)


def _control(url: str, name: str, method: str = "GET", members: object = None) -> Any:
    """The response to a control call. Raises WalletRefused."""
    body = None if members is None else json.dumps(members).encode()
    request = urllib.request.Request(f"{url}/control/{name}", data=body, method=method)  # noqa: S310 # our own sandbox
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy: it is on loopback
    try:
        with opener.open(request, timeout=CONTROL_LIMIT_S) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            raise WalletRefused(_reason(error.read())) from None


def _reason(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body.decode("utf-8", "replace")


def _members(answer: Any) -> Members:
    members: Members = answer
    return members


def _rows(answer: Any) -> list[Members]:
    rows: list[Members] = answer
    return rows
