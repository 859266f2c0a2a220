"""The control API, JSON under `/control`: actions of the payer, the clock, and the wallets' books.

A stable contract for tests and users' CI. An invalid call gets HTTP 400 `{"error", "field"}`.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from inspect import isawaitable
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tael_sandbox import profiles, statement_errors, statements
from tael_sandbox.bodies import read_body
from tael_sandbox.books import Books
from tael_sandbox.clock import Clock
from tael_sandbox.codes import issue_code
from tael_sandbox.fault_injection.faults import MAX_SEED, Faults
from tael_sandbox.links import resolve_link
from tael_sandbox.payers import all_payers
from tael_sandbox.shops import Shops
from tael_sandbox.wallet import ControlError, Planting, Row, Wallet

ACTIONS: Final = ("pay", "cancel", "wrong_password")
BODY_LIMIT_BYTES: Final = 64 * 1024
DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
KEY: Final = re.compile(r"[A-Za-z0-9]{32}", re.ASCII)
FIRST_YEAR: Final = 2000


class Control:
    def __init__(
        self,
        wallets: Sequence[Wallet],
        books: Books,
        clock: Clock,
        shops: Shops,
        faults: Faults,
        save_shops: Callable[[Shops], None],
    ) -> None:
        self._wallets = wallets
        self._books = books
        self._clock = clock
        self._faults = faults
        self._shops = shops
        self._save_shops = save_shops
        self._shop_order = {shop.label: place for place, shop in enumerate(shops.shops)}

    def routes(self) -> list[BaseRoute]:
        return [
            self._route("codes", post=self._issue_code),
            self._route("scan", post=self._scan),
            self._route("confirm", post=self._confirm),
            self._route("payers", get=self._payers),
            self._route("accounts", get=self._accounts, put=self._put_account),
            self._route("keys", post=self._replace_keys),
            self._route("book", get=self._book),
            self._route("statements", post=self._close_day),
            self._route("statement-errors", get=self._statement_errors, post=self._plant_statement_errors),
            self._route("profile", get=self._read_profile, put=self._put_profile),
            self._route("clock", get=self._read_clock, post=self._move_clock),
            Route("/control/faults", self._answer_faults, methods=["GET", "PUT", "DELETE"]),
        ]

    def _route(
        self,
        name: str,
        *,
        get: Callable[[Request], Any] | None = None,
        post: Callable[[Row], Any] | None = None,
        put: Callable[[Row], Any] | None = None,
    ) -> Route:
        change = post or put

        async def answer(request: Request) -> Response:
            try:
                if request.method in ("POST", "PUT") and change is not None:
                    body = await _read_object(request)
                    self._tick()
                    result = change(body)
                    return JSONResponse(await result if isawaitable(result) else result)
                assert get is not None
                self._tick()
                return JSONResponse(get(request))
            except ControlError as refused:
                return JSONResponse({"error": refused.message, "field": refused.field}, 400)

        methods = (["GET"] if get else []) + (["POST"] if post else []) + (["PUT"] if put else [])
        return Route(f"/control/{name}", answer, methods=methods)

    async def _answer_faults(self, request: Request) -> Response:
        """Reads, replaces or empties the list, and returns the one that is then in force."""
        try:
            if request.method != "GET":
                self._faults.replace([] if request.method == "DELETE" else await _read_json(request))
        except ControlError as refused:
            return JSONResponse({"error": refused.message, "field": refused.field}, 400)
        return JSONResponse(self._faults.as_rows())

    def _tick(self) -> None:
        now = self._clock.now()
        for wallet in self._wallets:
            wallet.tick(now)

    def _issue_code(self, body: Row) -> Row:
        wallet = text_of(body, "wallet")
        if wallet is None:
            raise ControlError("wallet is missing", "wallet")
        behaviour, ending = text_of(body, "behaviour"), text_of(body, "ending")
        if behaviour is not None and ending is not None:
            raise ControlError("behaviour and ending exclude each other", "ending")
        payer = text_of(body, "payer")
        auth_code = issue_code(self._books, self._clock, wallet, behaviour or "pays", payer, ending)
        return {"auth_code": auth_code}

    async def _scan(self, body: Row) -> Row:
        url = await self._wallet_link(body)
        if url is None:
            raise ControlError("url is missing", "url")
        for wallet in self._wallets:
            view = wallet.scan(url)
            if view is not None:
                return view
        raise ControlError("no wallet knows this url", "url")

    async def _confirm(self, body: Row) -> Row:
        trade, action = text_of(body, "trade"), text_of(body, "action")
        if trade is None and url_of(body) is None:
            raise ControlError("trade or url is missing", "trade")
        if action not in ACTIONS:
            raise ControlError(f"action is one of {', '.join(ACTIONS)}", "action")
        url = await self._wallet_link(body)
        for wallet in self._wallets:
            result = wallet.confirm(trade, url, action, text_of(body, "payer"))
            if result is not None:
                return result
        raise ControlError("no wallet knows this trade", "trade" if trade is not None else "url")

    async def _wallet_link(self, body: Row) -> str | None:
        """The wallet's link that `url` is or redirects to."""
        url = url_of(body)
        return None if url is None else await resolve_link(url, self._is_wallet_link)

    def _is_wallet_link(self, url: str) -> bool:
        return any(wallet.is_link(url) for wallet in self._wallets)

    def _close_day(self, body: Row) -> Row:
        name, day = self._wallet_and_day(body)
        if day > statements.day_of(self._clock.now()):
            raise ControlError("the day has not begun", "day")
        return self._wallet(name).close_day(name, day)

    def _plant_statement_errors(self, body: Row) -> list[Row]:
        name, day = self._wallet_and_day(body)
        kind = text_of(body, "kind")
        if kind not in statement_errors.KINDS:
            raise ControlError(f"kind is one of {', '.join(statement_errors.KINDS)}", "kind")
        count = integer_of(body, "count", 1, statement_errors.MAX_COUNT)
        seed = integer_of(body, "seed", -MAX_SEED, MAX_SEED) if body.get("seed") is not None else 0
        planting = Planting(day, kind, count, seed, text_of(body, "account"))
        return self._wallet(name).plant_statement_errors(planting)

    def _statement_errors(self, _request: Request) -> list[Row]:
        return statement_errors.planted(self._books.reader)

    def _wallet_and_day(self, body: Row) -> tuple[str, date]:
        name, text = text_of(body, "wallet"), text_of(body, "day") or ""
        if name not in self._names:
            raise ControlError(f"wallet is one of {', '.join(self._names)}", "wallet")
        return name, read_day(text)

    @property
    def _names(self) -> list[str]:
        return [name for wallet in self._wallets for name in wallet.names]

    def _payers(self, _request: Request) -> list[Row]:
        return [
            {
                "payer": payer.payer,
                "wallet": payer.wallet,
                "openids": self._wallet(payer.wallet).openids(payer.payer),
                "balance": payer.balance,
            }
            for payer in all_payers(self._books.reader)
        ]

    def _accounts(self, _request: Request) -> list[Row]:
        rows = [row for wallet in self._wallets for row in wallet.accounts()]
        return sorted(rows, key=lambda row: self._shop_order[row["shop"]])

    def _put_account(self, body: Row) -> Row:
        wallet, shop = self._shop_at_wallet(body)
        language = text_of(body, "bill_headers")
        if language is None:
            raise ControlError("bill_headers is missing", "bill_headers")
        return wallet.set_bill_headers(shop, language)

    def _replace_keys(self, body: Row) -> list[Row]:
        """The wallet's accounts that have another key now: of this shop, or of all shops of its service provider."""
        wallet, shop = self._shop_at_wallet(body)
        key = text_of(body, "key")
        if key is not None and KEY.fullmatch(key) is None:
            raise ControlError("key is 32 letters and digits", "key")
        before = wallet.accounts()
        self._shops = wallet.with_new_keys(self._shops, shop, key)
        self._save_shops(self._shops)
        for each in self._wallets:
            each.use(self._shops)
        return [row for row in wallet.accounts() if row not in before]

    def _shop_at_wallet(self, body: Row) -> tuple[Wallet, str]:
        name, shop = text_of(body, "wallet"), text_of(body, "shop")
        if name not in self._names:
            raise ControlError(f"wallet is one of {', '.join(self._names)}", "wallet")
        if shop is None:
            raise ControlError("shop is missing", "shop")
        return self._wallet(name), shop

    def _book(self, request: Request) -> dict[str, list[Row]]:
        wallet = request.query_params.get("wallet")
        if wallet is not None and wallet not in self._names:
            raise ControlError(f"unknown wallet {wallet!r}", "wallet")
        books = [self._wallet(name).book(name) for name in ([wallet] if wallet is not None else self._names)]
        return {kind: [row for book in books for row in book[kind]] for kind in ("trades", "refunds")}

    def _read_profile(self, _request: Request) -> Row:
        return {"profile": profiles.current_profile(self._books.reader).name}

    def _put_profile(self, body: Row) -> Row:
        return {"profile": profiles.set_profile(self._books, body.get("profile")).name}

    def _read_clock(self, _request: Request) -> Row:
        return {"now": self._clock.now().isoformat(), "offset_s": self._clock.offset.total_seconds()}

    def _move_clock(self, body: Row) -> Row:
        seconds = body.get("advance_s")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise ControlError("advance_s is a number of seconds", "advance_s")
        try:
            now = self._clock.advance(seconds)
        except ValueError as refused:
            raise ControlError(str(refused), "advance_s") from None
        self._tick()
        return {"now": now.isoformat(), "offset_s": self._clock.offset.total_seconds()}

    def _wallet(self, name: str) -> Wallet:
        return next(wallet for wallet in self._wallets if name in wallet.names)


def read_day(text: str) -> date:
    """Raises ControlError for an invalid date or a year before 2000."""
    try:
        day = date.fromisoformat(text if DAY.fullmatch(text) else "")
    except ValueError:
        raise ControlError("day is a date, YYYY-MM-DD", "day") from None
    if day.year < FIRST_YEAR:
        raise ControlError(f"day is not before {FIRST_YEAR}", "day")
    return day


async def _read_object(request: Request) -> Row:
    value = await _read_json(request)
    if not isinstance(value, dict):
        raise ControlError("the body is not a JSON object")
    return value


async def _read_json(request: Request) -> object:
    body = await read_body(request, BODY_LIMIT_BYTES)
    if body is None:
        raise ControlError(f"the body is over {BODY_LIMIT_BYTES} bytes")
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        raise ControlError("the body is not JSON") from None
    return value


def text_of(members: Mapping[str, Any], field: str) -> str | None:
    value = members.get(field)
    if value is None:
        return None
    if not isinstance(value, str) or not value or not is_printable(value):
        raise ControlError(f"{field} is not a printable string", field)
    return value


def integer_of(members: Mapping[str, Any], field: str, minimum: int, maximum: int) -> int:
    value = members.get(field)
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        raise ControlError(f"{field} is a whole number from {minimum} to {maximum}", field)
    return value


def is_printable(text: str) -> bool:
    """Includes the spaces of other scripts, which may stand in the subject of an app's order."""
    return all(character.isprintable() or unicodedata.category(character) == "Zs" for character in text)


def url_of(members: Mapping[str, Any]) -> str | None:
    url = text_of(members, "url")
    try:
        urlsplit(url or "")
    except ValueError:
        raise ControlError("url is not a URL", "url") from None
    return url
