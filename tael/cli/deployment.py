"""Checks of `serve` and `work` at their start: settings and apps that are safe only in a demo are refused elsewhere."""

from urllib.parse import urlsplit

import asyncpg

from tael.base.cipher import DecryptionFailed
from tael.cli.inputs import is_loopback_host
from tael.config import BadSettings, Settings
from tael.db.database import StoreUnavailable
from tael.merchants.domain.merchant import PUBLISHED_KEY
from tael.stores import open_store


def refuse_demo_settings(settings: Settings, *, allow_http: bool) -> None:
    """Raises BadSettings."""
    if settings.clock_file:
        raise BadSettings("TAEL_CLOCK_FILE replaces the clock that payments use; only `--demo` allows it")
    if settings.webhook_egress.loopback:
        raise BadSettings(
            "TAEL_WEBHOOK_LOOPBACK lets merchants reach ports of this machine; only `--demo` allows it"
        )
    for name, url in (
        ("TAEL_PUBLIC_URL", settings.public_url),
        ("TAEL_ALIPAY_URL", settings.alipay_url),
        ("TAEL_ALIPAY_INSTORE_URL", settings.alipay_instore_url),
        ("TAEL_WECHAT_URL", settings.wechat_url),
        ("TAEL_WECHAT_AUTHORIZE_URL", settings.wechat_authorize_url),
        ("TAEL_WECHAT_API_URL", settings.wechat_api_url),
    ):
        _refuse_plain(name, url, allow_http)


async def refuse_published_key(settings: Settings) -> None:
    """Raises BadSettings. Does not wait for an unreachable database: requests of such an app are refused later."""
    try:
        async with open_store(settings) as store:
            apps = await store.merchants.apps()
    except (StoreUnavailable, asyncpg.PostgresError):
        return
    except DecryptionFailed as error:
        raise BadSettings(str(error)) from error
    for app in apps:
        if app.key.reveal() == PUBLISHED_KEY:
            raise BadSettings(
                f"app {app.appcode} in this database has the key that QFPay publishes, so anyone can sign for it; "
                "only `--demo` allows it"
            )


def _refuse_plain(name: str, url: str, allow_http: bool) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.port != 0 else None
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise BadSettings(f"{name} should be a URL such as https://pay.example")
    if parts.scheme == "http" and not (allow_http and is_loopback_host(host)):
        raise BadSettings(
            f"{name} is without TLS: use https://; `--allow-http` allows http:// for URLs of this machine"
        )
