"""Protects `/control` and the phone from other web pages, which must not act as the payer.

A browser sends any request here that a page makes. DNS rebinding is detected by the Host, a form or script of another
site by its Origin. The wallets' own paths accept any Host, since SDKs reach them under the wallets' names.
"""

from collections.abc import Collection
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

SAFE_METHODS: Final = ("GET", "HEAD")


class OwnPages:
    """Responds 403 to a Host that is neither this machine nor allowed, and to changes from pages of another origin."""

    def __init__(self, app: ASGIApp, allowed_hosts: Collection[str] = ()) -> None:
        self._app = app
        self._allowed_hosts = frozenset(host.lower() for host in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" and is_own_page(scope["path"]) else None
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await JSONResponse({"error": refusal, "field": None}, 403)(scope, receive, send)

    def _refusal(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        name = name_in(host)
        if not (_is_this_machine(name) or name in self._allowed_hosts):
            return "this Host is not allowed; allow it with --allowed-host"
        origin = headers.get("origin")
        if origin is None or scope["method"] in SAFE_METHODS:
            return None
        return (
            None if origin.lower() == f"{scope['scheme']}://{host}".lower() else "the Origin is another site"
        )


def is_own_page(path: str) -> bool:
    """Whether the path belongs to the sandbox itself and not to a wallet."""
    return path == "/" or path.split("/")[1] in ("control", "phone")


def name_in(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_this_machine(name: str) -> bool:
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
