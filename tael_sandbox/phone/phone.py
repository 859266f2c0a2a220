"""The routes of the page at `/`. Each action is a form; the response is the page, or its regions in JSON.

The page's script sends the same forms as a browser without scripts. An invalid action gets a note beside the field,
with HTTP 400, and the submitted fields stay.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from inspect import isawaitable
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from tael_sandbox.bodies import read_body
from tael_sandbox.books import Books
from tael_sandbox.clock import Clock
from tael_sandbox.codes import issue_code
from tael_sandbox.control import ACTIONS, BODY_LIMIT_BYTES
from tael_sandbox.fault_injection.faults import Faults
from tael_sandbox.links import resolve_link
from tael_sandbox.payers import CASH_CURRENCY
from tael_sandbox.phone import texts
from tael_sandbox.phone.pages import FOLDER, HEADERS, Answer, Note, Pages
from tael_sandbox.phone.screen import OPEN_STATES, Choice, Screens, read_link
from tael_sandbox.phone.streams import MAX_STREAMS, EventStream, Streams
from tael_sandbox.wallet import ControlError, NotEnoughMoney, Row, Wallet

MAX_FIELDS: Final = 20
DECLINED_STATES: Final = ("PAYERROR", "TRADE_CLOSED")
STATIC: Final = {"phone.css": "text/css", "phone.js": "text/javascript"}

Form = Mapping[str, str]


class Phone:
    def __init__(self, wallets: Sequence[Wallet], books: Books, clock: Clock, faults: Faults) -> None:
        self._wallets = wallets
        self._books = books
        self._clock = clock
        self._faults = faults
        self._screens = Screens(wallets, books, clock, faults, self._tick_wallets)
        self._pages = Pages(clock)
        self._streams = Streams(self._screens, books, clock, self._pages.regions)

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/", self._show, methods=["GET"]),
            self._form("code", self._issue_code),
            self._form("scan", self._scan),
            self._form("act", self._act),
            self._form("clock", self._move_clock),
            self._form("faults", self._change_faults),
            Route("/phone/events", self._events, methods=["GET"]),
            *(_static(name, media_type) for name, media_type in STATIC.items()),
        ]

    def tick(self) -> None:
        self._streams.tick()

    def close(self) -> None:
        self._streams.close()

    def _tick_wallets(self) -> None:
        now = self._clock.now()
        for wallet in self._wallets:
            wallet.tick(now)

    def _form(self, name: str, call: Callable[[Form, Choice], Answer | Awaitable[Answer]]) -> Route:
        async def answer(request: Request) -> Response:
            if request.method == "GET":  # the address of a form was reloaded
                return RedirectResponse("/", 303)
            body = await read_body(request, BODY_LIMIT_BYTES)
            try:
                form = _read_form(body)
                choice = self._screens.choose(form)
            except ControlError as refused:
                return self._answer(request, self._unknown_choice(refused))
            called = call(form, choice)
            return self._answer(request, await called if isawaitable(called) else called)

        return Route(f"/phone/{name}", answer, methods=["GET", "POST"])

    async def _show(self, request: Request) -> Response:
        try:
            choice = self._screens.choose(request.query_params)
        except ControlError as refused:
            return self._answer(request, self._unknown_choice(refused))
        if choice.opened is not None:
            with suppress(ControlError):  # the screen shows what is wrong with the link
                choice = replace(
                    choice, opened=await resolve_link(choice.opened, self._screens.is_wallet_link)
                )
        return self._answer(request, Answer(self._screens.current(choice)))

    async def _events(self, request: Request) -> Response:
        try:
            choice = self._screens.choose(request.query_params)
        except ControlError as refused:
            return JSONResponse({"error": refused.message, "field": refused.field}, 400, HEADERS)
        if self._streams.are_too_many:
            refusal = {"error": f"{MAX_STREAMS} phones are open already", "field": None}
            return JSONResponse(refusal, 503, {**HEADERS, "Retry-After": "5"})
        return EventStream(self._streams.events(choice), HEADERS)

    def _answer(self, request: Request, answer: Answer) -> Response:
        if "application/json" not in request.headers.get("accept", ""):
            page = self._pages.page(answer, self._screens.payers())
            return HTMLResponse(page, answer.status, HEADERS)
        choice = answer.screen.choice
        members = {
            "regions": self._pages.regions(answer.screen) | self._pages.notes(answer.notes),
            "choice": {"payer": choice.payer.payer, "code": choice.code or "", "opened": choice.opened or ""},
            "focus": answer.focus,
            "address": f"/?{urlencode({'payer': choice.payer.payer} | ({'code': choice.code} if choice.code else {}))}",
        }
        return JSONResponse(members, answer.status, HEADERS)

    def _unknown_choice(self, refused: ControlError) -> Answer:
        """The first payer's phone, with a note that the requested payer or wallet does not exist."""
        return self._refused(self._screens.choose({}), "page-note", refused, {}, "page-note")

    def _refused(
        self,
        choice: Choice,
        place: str,
        refused: ControlError,
        form: Form,
        focus: str | None,
        view: str = "show",
    ) -> Answer:
        note = Note(texts.sentence(refused.message), is_bad=True)
        return Answer(self._screens.current(choice), {place: note}, form, focus, view, 400)

    def _issue_code(self, form: Form, choice: Choice) -> Answer:
        behaviour, payer = form.get("behaviour", "pays"), choice.payer
        try:
            auth_code = issue_code(self._books, self._clock, payer.wallet, behaviour, payer.payer)
        except ControlError as refused:
            return self._refused(choice, "code-note", refused, form, "behaviour")
        return Answer(self._screens.current(replace(choice, code=auth_code)), {}, form, "code-title")

    async def _scan(self, form: Form, choice: Choice) -> Answer:
        link = form.get("link", "").strip()
        try:
            if not link:
                raise ControlError("paste a code or a link first", "link")
            opened = await resolve_link(read_link(link), self._screens.is_wallet_link)
            self._screens.open(choice.payer, opened)
        except ControlError as refused:
            return self._refused(replace(choice, opened=None), "link-note", refused, form, "link", "scan")
        return Answer(self._screens.current(replace(choice, opened=opened)), {}, form, "order-title", "scan")

    def _act(self, form: Form, choice: Choice) -> Answer:
        """Acts on the waiting barcode payment with this `number`, or on the opened order."""
        number = form.get("number")
        place, view = ("waiting-note", "show") if number else ("order-note", "scan")
        try:
            note = self._acted(form.get("action", ""), number, choice)
        except NotEnoughMoney:
            refused = ControlError(f"not enough money, nothing was paid. {self._balance_of(choice)}")
            return self._refused(choice, place, refused, form, place, view)
        except ControlError as refused:
            return self._refused(choice, place, refused, form, place, view)
        return Answer(self._screens.current(choice), {place: note}, form, place, view)

    def _acted(self, action: str, number: str | None, choice: Choice) -> Note:
        if action not in ACTIONS:
            raise ControlError(f"action is one of {', '.join(ACTIONS)}", "action")
        if number is None and choice.opened is None:
            raise ControlError("scan an order first", "link")
        payer = choice.payer
        url = read_link(choice.opened or "") if number is None else None
        done = self._screens.wallet_of(payer).confirm(number, url, action, payer.payer)
        if done is None:
            raise ControlError(f"{texts.WALLET_NAMES[payer.wallet]} does not know this order", "number")
        return _note_of(action, done)

    def _balance_of(self, choice: Choice) -> str:
        payer = self._screens.current(choice).payer
        return f"The balance is {texts.money(payer.balance, CASH_CURRENCY[payer.wallet])}"

    def _move_clock(self, form: Form, choice: Choice) -> Answer:
        steps = {str(seconds): seconds for seconds in texts.CLOCK_STEPS}
        try:
            if form.get("advance_s") not in steps:
                raise ControlError(f"advance_s is one of {', '.join(steps)}", "advance_s")
            seconds = steps[form["advance_s"]]
            self._clock.advance(seconds)
        except ControlError as refused:
            return self._refused(choice, "tester-note", refused, form, None)
        except ValueError as refused:
            return self._refused(choice, "tester-note", ControlError(str(refused)), form, None)
        note = Note(f"The clock was moved forward by {texts.CLOCK_STEPS[seconds]}.")
        return Answer(self._screens.current(choice), {"tester-note": note}, form)

    def _change_faults(self, form: Form, choice: Choice) -> Answer:
        try:
            note = self._changed_faults(form, choice.payer.wallet)
        except ControlError as refused:
            return self._refused(choice, "tester-note", refused, form, None)
        return Answer(self._screens.current(choice), {"tester-note": note}, form)

    def _changed_faults(self, form: Form, wallet: str) -> Note:
        if form.get("action") == "clear":
            self._faults.replace([])
            return Note("All faults are switched off.")
        self._faults.add({"wallet": wallet, "kind": form.get("kind"), "times": 1})
        return Note("Switched on once.")


def _note_of(action: str, done: Row) -> Note:
    state = done["state"]
    if action == "pay":
        amount = texts.money(done["trade"]["amount"], done["trade"]["currency"])
        return Note(f"Paid {amount}.", return_to=_web_address(done["return_to"]))
    if state not in OPEN_STATES:
        is_declined = action == "cancel" and state in DECLINED_STATES
        return Note("Declined. Nothing was paid." if is_declined else f"Too late: the order is {state}.")
    if action == "cancel":
        return Note("You left without paying. The order stays open until it expires.")
    return Note("Wrong password. Nothing was paid; you can try again.", is_bad=True)


def _web_address(url: str | None) -> str | None:
    return url if url is not None and urlsplit(url).scheme in ("http", "https") else None


def _read_form(body: bytes | None) -> dict[str, str]:
    """Raises ControlError."""
    if body is None:
        raise ControlError(f"the form is over {BODY_LIMIT_BYTES} bytes")
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), max_num_fields=MAX_FIELDS))
    except ValueError:
        raise ControlError("the form cannot be read") from None


def _static(name: str, media_type: str) -> Route:
    content = (FOLDER / "static" / name).read_bytes()

    async def answer(_request: Request) -> Response:
        return Response(content, 200, {**HEADERS, "Cache-Control": "no-cache"}, media_type)

    return Route(f"/phone/{name}", answer, methods=["GET"])
