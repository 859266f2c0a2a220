"""A merchant's webhook receiver for the demo: verifies each webhook with the app's key and style, and acknowledges it.

It is independent of the gateway's code, so it also detects a wrong signature by the gateway. A webhook is verified
only in the app's own style. The text of the old style does not escape `&`, and the same key signs requests and
checkout links: only the exact members and their forms prove that a signed text is a webhook.
"""

import asyncio
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from aiohttp import web

from tael.merchants.domain.merchant import App, Style

HOST: Final = "127.0.0.1"

Members = dict[str, Any]
#: All members of the old style.
OLD_FORMS: Final[Mapping[str, str]] = {
    "mchid": r"[A-Za-z0-9_-]{1,64}",
    "syssn": r"[0-9]{1,40}",
    "pay_type": r"[0-9]{6}",
    "out_trade_no": r"""((?![,&=%+"'\\])[!-~]){1,128}""",
    "txamt": r"[1-9][0-9]{0,10}",
    "respcd": r"[0-9]{4}",
    "txdtm": r"([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2})?",
    "respmsg": r"[^&=]*",
    "respmesg": r"[^&=]*",
    "udid": r"[^&]*(&(?!\w+=)[^&]*)*",
}
OLD_REQUIRED: Final = frozenset({"mchid", "syssn", "pay_type", "out_trade_no", "txamt", "respcd"})
OLD_MESSAGES: Final = frozenset({"respmsg", "respmesg"})  #: at least one; no request has either


@dataclass(frozen=True, slots=True)
class Received:
    """One webhook. `members` is empty unless its signature is valid."""

    appcode: str
    style: Style
    members: Members
    is_signed: bool


@dataclass(slots=True)
class Receiver:
    """Listens on a free port while entered."""

    received: list[Received] = field(default_factory=list)
    _arrival: asyncio.Condition = field(default_factory=asyncio.Condition)
    _apps: dict[str, App] = field(default_factory=dict)
    _runner: web.AppRunner | None = None
    _port: int = 0

    async def __aenter__(self) -> Self:
        server = web.Application()
        server.router.add_post("/webhooks/{appcode}", self._take)
        self._runner = web.AppRunner(server, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, 0)
        await site.start()
        self._port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def listened_to(self, app: App) -> App:
        """`app` with a notify URL of this receiver."""
        self._apps[app.appcode] = app
        return replace(app, notify_url=f"http://{HOST}:{self._port}/webhooks/{app.appcode}")

    async def has_received(self, syssn: str, style: Style, limit_s: float) -> bool:
        """Whether a webhook about `syssn` with a valid signature has arrived, or arrives within `limit_s`."""

        def has_arrived() -> bool:
            return any(
                webhook.is_signed and webhook.style is style and webhook.members["syssn"] == syssn
                for webhook in self.received
            )

        async with self._arrival:
            try:
                await asyncio.wait_for(self._arrival.wait_for(has_arrived), limit_s)
            except TimeoutError:
                return False
        return True

    async def _take(self, request: web.Request) -> web.Response:
        app = self._apps[request.match_info["appcode"]]
        body = await request.read()
        try:
            members = verified(body, request.headers.get("X-QF-SIGN", ""), app)
        except (ValueError, RecursionError):
            received = Received(app.appcode, app.webhook_style, {}, is_signed=False)
        else:
            received = Received(app.appcode, app.webhook_style, members, is_signed=True)
        async with self._arrival:
            self.received.append(received)
            self._arrival.notify_all()
        return web.Response(text="success")


def verified(body: bytes, sign: str, app: App) -> Members:
    """The members of a webhook signed with the app's key. Raises ValueError otherwise."""
    if not body.startswith(b"{"):
        raise ValueError("not an object")
    members: Members = json.loads(body, parse_int=str, object_pairs_hook=_without_duplicates)
    match app.webhook_style:
        case Style.OLD:
            digest, text = hashlib.md5, old_text(members)
        case Style.NEW:
            if "notify_type" not in members:  # responses are signed in the same way
                raise ValueError("not of the new style")
            digest, text = hashlib.sha256 if app.sha256_responses else hashlib.md5, body
    expected = digest(text + app.key.reveal().encode()).hexdigest().upper()
    if not hmac.compare_digest(expected.encode(), sign.encode("utf-8", "surrogateescape")):
        raise ValueError("not signed with the app's key")
    return members


def old_text(members: Members) -> bytes:
    """The text that the old style signs. Raises ValueError for members that the style does not have."""
    is_whole = OLD_REQUIRED <= members.keys() <= OLD_FORMS.keys() and not OLD_MESSAGES.isdisjoint(members)
    if not is_whole or not all(_has_form(name, value) for name, value in members.items()):
        raise ValueError("not of the old style")
    return "&".join(f"{name}={members[name]}" for name in sorted(members)).encode()


def _has_form(name: str, value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(OLD_FORMS[name], value) is not None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> Members:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member occurs twice")
    return members
