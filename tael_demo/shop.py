"""The demo's shop: started with the credentials of one merchant's app. It receives the app's webhooks by default.

The app's notify and return URL are set to the shop only if they are unset or were set by an earlier start of the demo,
perhaps with other ports. URLs set by the user are kept. An app that was the shop's at an earlier start loses them.
"""

import importlib.util
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from tael.audit_log.domain.entry import Origin
from tael.cli.processes import fork, preload
from tael.merchants.domain.merchant import App
from tael.operations.store import Store
from tael_demo.seed import CURRENCIES, DEFAULT_CURRENCY, IN_EACH_CURRENCY, DemoApp
from tael_demo.stack import DemoPaths, DemoRefused, DemoStack

#: The shop is built on it. No dependency names its distribution; a checkout installs it from its folder `client`.
CLIENT: Final = "tael_client"
#: In the demo's folder: the URLs that the last start set.
URLS_FILE: Final = "shop_urls.json"


@dataclass(frozen=True, slots=True)
class Urls:
    """The shop's URLs for webhooks and for returning payers."""

    notify_url: str | None = None
    return_url: str | None = None


def refuse_without_client() -> None:
    """Raises DemoRefused if the shop cannot start, before anything else is started."""
    if importlib.util.find_spec(CLIENT) is None:
        raise DemoRefused(
            f"the demo's shop needs {CLIENT}; install it from the checkout: pip install ./client"
        )


@dataclass(frozen=True, slots=True)
class ShopMerchant:
    """The merchant as which the shop sells; `app_index` is that of its app in the demo's apps."""

    app_index: int
    mchid_index: int
    currency: str


def shop_merchant(currency: str) -> ShopMerchant:
    """Of the published app, or of the app with a merchant in each currency."""
    if currency == DEFAULT_CURRENCY:
        return ShopMerchant(0, 0, currency)
    return ShopMerchant(IN_EACH_CURRENCY, CURRENCIES.index(currency), currency)


def start_shop(stack: DemoStack, demo_app: DemoApp, merchant: ShopMerchant) -> None:
    """Returns when the shop is ready. The key is passed in the environment, which other users cannot read.

    The shop verifies responses and webhooks with the app's current settings: restart the demo after a change.
    """
    paths = stack.paths
    ports = ["--port", str(paths.port + 2), "--gateway", paths.gateway_url, "--sandbox", paths.sandbox_url]
    arguments = [*ports, "--data", str(paths.data / "shop")]
    app = {
        "SHOP_APPCODE": demo_app.app.appcode,
        "SHOP_KEY": demo_app.app.key.reveal(),
        "SHOP_MCHID": demo_app.mchids[merchant.mchid_index],
        "SHOP_CURRENCY": merchant.currency,
        "SHOP_WEBHOOK_STYLE": demo_app.app.webhook_style.value,
        "SHOP_RESPONSE_SIGN_TYPE": demo_app.app.response_algorithm,
    }
    environment = {name: value for name, value in stack.environment.items() if not name.startswith("TAEL_")}
    log = paths.data / "logs" / "shop.log"
    preload("tael_sandbox.shop.main")
    stack.supervisor.keep(
        "shop", lambda: fork("tael-shop", "tael_sandbox.shop", arguments, environment | app, log=log)
    )


async def with_shop_urls(
    paths: DemoPaths, demo_apps: list[DemoApp], shops: ShopMerchant, store: Store, origin: Origin
) -> list[DemoApp]:
    """`demo_apps` with the shop's URLs in its app, except where the user set one."""
    file = paths.data / URLS_FILE
    before, ours = _read(file), Urls(f"{paths.shop_url}/webhook", f"{paths.shop_url}/return")
    changed = [
        await _with_urls(demo_app, before, ours if index == shops.app_index else Urls(), store, origin)
        for index, demo_app in enumerate(demo_apps)
    ]
    file.write_text(json.dumps(asdict(ours)))
    return changed


async def _with_urls(demo_app: DemoApp, before: Urls, now: Urls, store: Store, origin: Origin) -> DemoApp:
    def changed(app: App) -> App:
        if app.notify_url in (None, before.notify_url):
            app = replace(app, notify_url=now.notify_url)
        if app.return_url in (None, before.return_url):
            app = replace(app, return_url=now.return_url)
        return app

    app = await store.merchants.change_app(demo_app.app.appcode, changed, origin)
    return replace(demo_app, app=app or demo_app.app)


def _read(file: Path) -> Urls:
    return Urls(**json.loads(file.read_text())) if file.exists() else Urls()
