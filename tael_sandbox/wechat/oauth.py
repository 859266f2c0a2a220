"""WeChat's OAuth, with which a page inside WeChat gets a payer's openid: a redirect with a code, and its exchange.

`snsapi_base` asks nothing: `payer` in the query names the payer, and the default is the first one. `snsapi_userinfo`
shows a page on which a payer allows or rejects it.
"""

import secrets
import sqlite3
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from tael_sandbox import wallet_pages
from tael_sandbox.bodies import read_body
from tael_sandbox.books import Books
from tael_sandbox.clock import Clock
from tael_sandbox.payers import Payer, all_payers, payer_of
from tael_sandbox.wallet import ControlError
from tael_sandbox.wechat.addresses import is_web_address
from tael_sandbox.wechat.registry import WALLETS, Registry

TABLES: Final = """
CREATE TABLE IF NOT EXISTS wechat_oauth_code (
    code    TEXT PRIMARY KEY,
    appid   TEXT NOT NULL,
    payer   TEXT NOT NULL REFERENCES payer (payer),
    scope   TEXT NOT NULL,
    made_at REAL NOT NULL,
    used_at REAL
);
"""
AUTHORIZE: Final = "/connect/oauth2/authorize"
BODY_LIMIT_BYTES: Final = 64 * 1024
#: The scope for which WeChat asks the payer.
ASKING: Final = "snsapi_userinfo"
CODE_LIFE_S: Final = 300
SCOPES: Final = ("snsapi_base", ASKING)


class OAuthError(Exception):
    def __init__(self, errcode: int, errmsg: str) -> None:
        super().__init__(errmsg)
        self.answer = {"errcode": errcode, "errmsg": errmsg}


class OAuth:
    def __init__(self, clock: Clock, books: Books, registry: Registry) -> None:
        books.script(TABLES)
        self._clock = clock
        self._books = books
        self._registry = registry

    def routes(self) -> list[BaseRoute]:
        return [
            Route(AUTHORIZE, self._authorize, methods=["GET", "POST"]),
            Route("/sns/oauth2/access_token", self._exchange, methods=["GET"]),
        ]

    async def _authorize(self, request: Request) -> Response:
        body = await read_body(request, BODY_LIMIT_BYTES)
        form = dict(parse_qsl((body or b"").decode("utf-8", "replace")))
        try:
            self._check_request(request.query_params)
            if request.method == "POST":
                return self._decide(request.query_params, form)
            if request.query_params["scope"] == ASKING:
                return self._ask(request.query_params)
            return RedirectResponse(
                self._redirect_target(request.query_params, request.query_params.get("payer")), 302
            )
        except OAuthError as refused:
            return JSONResponse(refused.answer, 400)

    def _ask(self, query: Mapping[str, str]) -> Response:
        merchant = self._registry.owner_of_official_account(query["appid"])
        with self._books.transaction() as connection:
            payers = [payer for payer in all_payers(connection) if payer.wallet in WALLETS]
        return wallet_pages.consent_page(
            "wechat",
            "WeChat",
            merchant.shop.name if merchant else "",
            action=f"{AUTHORIZE}?{urlencode(dict(query))}",
            payers=payers,
        )

    def _decide(self, query: Mapping[str, str], form: Mapping[str, str]) -> Response:
        match form.get("action"):
            case "allow":
                return RedirectResponse(self._redirect_target(query, form.get("payer")), 303)
            case "reject":
                return wallet_pages.closed_page(
                    "wechat", "WeChat", "You rejected it. WeChat closes the page."
                )
            case _:
                raise OAuthError(40035, "invalid parameter")

    def _check_request(self, query: Mapping[str, str]) -> None:
        self._check_appid(query.get("appid", ""))
        if query.get("response_type") != "code" or query.get("scope") not in SCOPES:
            raise OAuthError(10005, "scope permission denied")
        if not is_web_address(query.get("redirect_uri", "")):
            raise OAuthError(10003, "redirect_uri domain not registered")

    def _redirect_target(self, query: Mapping[str, str], payer: str | None) -> str:
        code = secrets.token_hex(16)
        with self._books.transaction() as connection:
            connection.execute(
                "INSERT INTO wechat_oauth_code (code, appid, payer, scope, made_at) VALUES (?, ?, ?, ?, ?)",
                (
                    code,
                    query["appid"],
                    _payer_named(connection, payer).payer,
                    query["scope"],
                    self._clock.now().timestamp(),
                ),
            )
        return _with_query(query["redirect_uri"], [("code", code), ("state", query.get("state", ""))])

    def _check_appid(self, appid: str) -> None:
        if self._registry.owner_of_official_account(appid) is not None:
            return
        if self._registry.knows_appid(appid):  # only official accounts of merchants have pages here
            raise OAuthError(10005, "scope permission denied")
        raise OAuthError(40013, "invalid appid")

    async def _exchange(self, request: Request) -> Response:
        try:
            return JSONResponse(self._grant(dict(request.query_params)))
        except OAuthError as refused:
            return JSONResponse(refused.answer)

    def _grant(self, query: dict[str, str]) -> dict[str, object]:
        appid = query.get("appid", "")
        merchant = self._registry.owner_of_official_account(appid)
        if merchant is None:
            raise OAuthError(40013, "invalid appid")
        secret = merchant.contract.sub_secret
        if not secrets.compare_digest(query.get("secret", "").encode(), secret.encode()):
            raise OAuthError(40125, "invalid appsecret")
        if query.get("grant_type") != "authorization_code":
            raise OAuthError(40002, "invalid grant_type")
        payer, scope = self._redeem(query.get("code", ""), appid)
        return {
            "access_token": secrets.token_urlsafe(48),
            "expires_in": 7200,
            "refresh_token": secrets.token_urlsafe(48),
            "openid": self._registry.openid(payer, appid),
            "scope": scope,
        }

    def _redeem(self, code: str, appid: str) -> tuple[str, str]:
        """Redeems a code, which works once, for five minutes, for its own appid. Raises OAuthError."""
        now = self._clock.now().timestamp()
        with self._books.transaction() as connection:
            row = connection.execute(
                "SELECT * FROM wechat_oauth_code WHERE code = ? AND appid = ?", (code, appid)
            ).fetchone()
            if row is None or now - row["made_at"] > CODE_LIFE_S:
                raise OAuthError(40029, "invalid code")
            if row["used_at"] is not None:
                raise OAuthError(40163, "code been used")
            connection.execute("UPDATE wechat_oauth_code SET used_at = ? WHERE code = ?", (now, code))
        return row["payer"], row["scope"]


def _payer_named(connection: sqlite3.Connection, payer: str | None) -> Payer:
    for wallet in WALLETS:
        try:
            return payer_of(connection, wallet, payer)
        except ControlError:
            continue
    raise OAuthError(46004, "user not exists")


def _with_query(url: str, added: list[tuple[str, str]]) -> str:
    parts = urlsplit(url)
    query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), *added])
    return urlunsplit(parts._replace(query=query))
