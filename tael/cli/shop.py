"""The demo's shop: started with the first app's credentials, and told of payments if nobody else is.

The app's notify and return URL are led to the shop only while they are unset, or are what an earlier start of ours set,
perhaps for other ports. A setting of the user's own survives.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from tael.cli.demo_stack import DemoPaths, DemoStack
from tael.cli.processes import start
from tael.cli.seed import DemoApp
from tael.operations.store import Store

#: In the demo's folder: what we set last.
URLS_FILE: Final = "shop_urls.json"


@dataclass(frozen=True, slots=True)
class Urls:
    """Where the shop is told, and where a payer's browser comes back to."""

    notify_url: str | None = None
    return_url: str | None = None


def start_shop(stack: DemoStack, one: DemoApp) -> None:
    """It gets the key through the environment, where no other user sees it.

    The shop verifies answers and webhooks as the app is set now: after a change, start the demo again.
    """
    paths = stack.paths
    ports = ["--port", str(paths.port + 2), "--gateway", paths.gateway_url, "--sandbox", paths.sandbox_url]
    arguments = ["-m", "tael_sandbox.shop", *ports, "--data", str(paths.data / "shop")]
    app = {
        "SHOP_APPCODE": one.app.appcode,
        "SHOP_KEY": one.app.key.reveal(),
        "SHOP_MCHID": one.mchids[0],
        "SHOP_WEBHOOK_STYLE": one.app.webhook_style.value,
        "SHOP_RESPONSE_SIGN_TYPE": one.app.response_algorithm,
    }
    environment = {name: value for name, value in stack.environment.items() if not name.startswith("TAEL_")}
    log = paths.data / "logs" / "shop.log"
    stack.supervisor.keep("shop", lambda: start(arguments, environment | app, log=log))


async def lead_to_shop(paths: DemoPaths, one: DemoApp, store: Store) -> DemoApp:
    """`one` with its webhooks and its payers' browsers coming to the shop where they go nowhere else."""
    file = paths.data / URLS_FILE
    before, ours = _read(file), Urls(f"{paths.shop_url}/webhook", f"{paths.shop_url}/return")
    app = one.app
    if app.notify_url in (None, before.notify_url):
        app = replace(app, notify_url=ours.notify_url)
    if app.return_url in (None, before.return_url):
        app = replace(app, return_url=ours.return_url)
    if app != one.app:
        await store.merchants.set_app(app)
    file.write_text(json.dumps(asdict(ours)))
    return replace(one, app=app)


def _read(file: Path) -> Urls:
    return Urls(**json.loads(file.read_text())) if file.exists() else Urls()
