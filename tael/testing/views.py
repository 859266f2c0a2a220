"""What a test holds: the gateway with its apps, the wallets, the clock. Only the standard library is used."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from tael.testing.instance import Instance

CONTROL_LIMIT_S: Final = 30.0
#: Settings of an app that a test may change.
SETTINGS: Final = (
    "notify_url",
    "return_url",
    "webhook_style",
    "notify_offline",
    "cancel_codes_v2",
    "include_goods_name",
    "quick_retries",
    "close_requires_amount",
    "max_request_age_s",
    "sha256_responses",
)
FRESH: Final = {
    "notify_url": None,
    "return_url": None,
    "notify_offline": False,
    "cancel_codes_v2": False,
    "include_goods_name": False,
    "quick_retries": True,
    "close_requires_amount": False,
    "max_request_age_s": None,
    "sha256_responses": False,
}
Members = dict[str, Any]


class WalletRefused(Exception):
    """A control call that the sandbox cannot do; the message is its own."""


@dataclass(frozen=True, slots=True)
class TaelApp:
    """A developer's credentials, and the merchants that belong to them."""

    appcode: str
    key: str = field(repr=False)
    mchid: str
    mchids: tuple[str, ...]
    shops: tuple[str, ...]  #: the merchants as the wallets know them, in the same order
    webhook_style: str  #: old or new
    sha256_only: bool


class TaelGateway:
    """The gateway. `appcode`, `key` and `mchid` are those of the app that has every pay type."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._changed: set[str] = set()
        told = instance.told
        self.url: str = told["gateway"]
        self.sandbox_url: str = told["sandbox"]
        self.database_url: str = told["database_url"]
        self.folder = Path(told["folder"])  #: for commands with `--data`
        self.apps = tuple(_app_of(row) for row in told["apps"])

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
        """Where an app's webhooks go from now on."""
        self.set_app(appcode, notify_url=url)

    def set_return_url(self, url: str | None, appcode: str | None = None) -> None:
        """Where an app's payers go after an Alipay payment, from now on."""
        self.set_app(appcode, return_url=url)

    def set_app(self, appcode: str | None = None, **settings: object) -> None:
        """Change an app until the end of the test; the names are those of `SETTINGS`. It has effect at once."""
        unknown = settings.keys() - set(SETTINGS)
        if unknown:
            raise TypeError(f"an app has no setting {sorted(unknown)[0]!r}; it has {', '.join(SETTINGS)}")
        appcode = appcode or self.appcode
        self._changed.add(appcode)
        self._instance.ask(set_app=appcode, **settings)

    def put_back(self) -> None:
        """As every app was before the test."""
        for app in self.apps:
            if app.appcode in self._changed:
                self._instance.ask(set_app=app.appcode, **FRESH, webhook_style=app.webhook_style)
        self._changed.clear()


class TaelWallets:
    """Alipay and WeChat Pay, simulated: `docs/sandbox.md` has what each call means."""

    def __init__(self, instance: Instance) -> None:
        self._url: str = instance.told["sandbox"]
        self._faults: list[Mapping[str, object]] = []

    def code(self, wallet: str, behaviour: str = "pays", payer: str | None = None) -> str:
        """A fresh barcode on a payer's phone."""
        asked = {"wallet": wallet, "behaviour": behaviour} | ({"payer": payer} if payer else {})
        return str(_control(self._url, "codes", "POST", asked)["auth_code"])

    def scan(self, url: str) -> Members:
        """What the payer's phone shows."""
        return _members(_control(self._url, "scan", "POST", {"url": url}))

    def confirm(
        self,
        *,
        url: str | None = None,
        trade: str | None = None,
        action: str = "pay",
        payer: str | None = None,
    ) -> Members:
        """What the payer does with the order of `url`, or of `trade`: a syssn or the wallet's number."""
        asked = {"url": url, "trade": trade, "action": action, "payer": payer}
        given = {name: value for name, value in asked.items() if value is not None}
        return _members(_control(self._url, "confirm", "POST", given))

    @contextmanager
    def faults(self, *faults: Mapping[str, object]) -> Iterator[None]:
        """What goes wrong at the wallets until the end of the block, besides what did already."""
        before = self._faults
        self._put([*faults, *before])
        try:
            yield
        finally:
            self._put(before)

    def book(self, order: str | None = None) -> Members:
        """What the wallets themselves believe: `trades` and `refunds`, of one syssn or of all."""
        book = _members(_control(self._url, "book"))
        if order is None:
            return book
        return {name: [row for row in book[name] if row["order"] == order] for name in ("trades", "refunds")}

    def payers(self) -> list[Members]:
        return _rows(_control(self._url, "payers"))

    def openid(self, shop: str = "demo") -> str:
        """A payer's openid under the official account of a merchant, which `TaelApp.shops` names."""
        accounts = _rows(_control(self._url, "accounts"))
        appids = [row["sub_appid"] for row in accounts if row["wallet"] == "wechat" and row["shop"] == shop]
        if not appids:
            raise WalletRefused(f"no shop {shop!r} has an official account")
        return str(next(row["openids"][appids[0]] for row in self.payers() if row["wallet"] == "wechat"))

    def put_back(self) -> None:
        """Nothing goes wrong any more."""
        if self._faults:
            self._put([])

    def _put(self, faults: list[Mapping[str, object]]) -> None:
        _control(self._url, "faults", "PUT", faults)
        self._faults = faults


class TaelClock:
    """The time that gateway and wallets agree on."""

    def __init__(self, instance: Instance) -> None:
        self._url: str = instance.told["sandbox"]

    def now(self) -> datetime:
        """In UTC."""
        return _instant(_control(self._url, "clock"))

    def advance(self, by: float | timedelta) -> datetime:
        """Move it forward, by seconds if `by` is a number; the time that it is then."""
        seconds = by.total_seconds() if isinstance(by, timedelta) else by
        return _instant(_control(self._url, "clock", "POST", {"advance_s": seconds}))

    def advance_to(self, at: datetime) -> datetime:
        """Move it forward to `at`, an aware datetime. Raises ValueError if that is past."""
        if at.tzinfo is None:
            raise ValueError(f"{at} has no zone")
        now = self.now()
        if at < now:
            raise ValueError(f"it is {now} already, and the clock only moves forward")
        return self.advance(at - now)


def _app_of(row: Members) -> TaelApp:
    return TaelApp(**{**row, "mchids": tuple(row["mchids"]), "shops": tuple(row["shops"])})


def _instant(answer: Members) -> datetime:
    return datetime.fromisoformat(answer["now"]).astimezone(UTC)


def _control(url: str, name: str, method: str = "GET", asked: object = None) -> Any:
    """The answer of a control call. Raises WalletRefused."""
    body = None if asked is None else json.dumps(asked).encode()
    request = urllib.request.Request(f"{url}/control/{name}", data=body, method=method)  # noqa: S310 # our own sandbox
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is on the loopback
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
