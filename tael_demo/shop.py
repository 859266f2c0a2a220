"""The demo's shop: started with the first app's credentials. It receives the app's webhooks by default.

The app's notify and return URL are set to the shop only if they are unset or were set by an earlier start of the demo,
perhaps with other ports. URLs set by the user are kept.
"""

import importlib.util
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from tael.cli.processes import start
from tael.operations.store import Store
from tael_demo.seed import DemoApp
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


def start_shop(stack: DemoStack, demo_app: DemoApp) -> None:
    """Returns when the shop is ready. The key is passed in the environment, which other users cannot read.

    The shop verifies responses and webhooks with the app's current settings: restart the demo after a change.
    """
    paths = stack.paths
    ports = ["--port", str(paths.port + 2), "--gateway", paths.gateway_url, "--sandbox", paths.sandbox_url]
    arguments = ["-m", "tael_sandbox.shop", *ports, "--data", str(paths.data / "shop")]
    app = {
        "SHOP_APPCODE": demo_app.app.appcode,
        "SHOP_KEY": demo_app.app.key.reveal(),
        "SHOP_MCHID": demo_app.mchids[0],
        "SHOP_WEBHOOK_STYLE": demo_app.app.webhook_style.value,
        "SHOP_RESPONSE_SIGN_TYPE": demo_app.app.response_algorithm,
    }
    environment = {name: value for name, value in stack.environment.items() if not name.startswith("TAEL_")}
    log = paths.data / "logs" / "shop.log"
    stack.supervisor.keep("shop", lambda: start(arguments, environment | app, log=log))


async def with_shop_urls(paths: DemoPaths, demo_app: DemoApp, store: Store) -> DemoApp:
    """`demo_app` with the shop's notify and return URL, except where the user set one."""
    file = paths.data / URLS_FILE
    before, ours = _read(file), Urls(f"{paths.shop_url}/webhook", f"{paths.shop_url}/return")
    app = demo_app.app
    if app.notify_url in (None, before.notify_url):
        app = replace(app, notify_url=ours.notify_url)
    if app.return_url in (None, before.return_url):
        app = replace(app, return_url=ours.return_url)
    if app != demo_app.app:
        await store.merchants.set_app(app)
    file.write_text(json.dumps(asdict(ours)))
    return replace(demo_app, app=app)


def _read(file: Path) -> Urls:
    return Urls(**json.loads(file.read_text())) if file.exists() else Urls()
