"""The pipeline of a merchant's request: the order of its steps, and what ends it early."""

import asyncio
import json
from collections.abc import Mapping, MutableMapping
from datetime import timedelta
from ipaddress import ip_address
from typing import Any, Final, cast

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from tael.api import checkout, openids, settlements, trade, trade_bill, users
from tael.api.address_guard import MAX_ADDRESSES, AddressGuard
from tael.api.app import Application
from tael.api.exchange import Access, Endpoint, Exchange, Step
from tael.api.pipeline import APP_QUERY, BEARER, CALL, CONSENT_LINK, LINK, QUERY, TOOL, serve
from tael.api.steps import admit, limit_address, read_body, read_call, read_link
from tael.base.admission import REFUSAL_S, STANDING_S, Admission
from tael.base.cipher import Cipher
from tael.base.errors import NotAllowed, NotAuthentic, RateLimited
from tael.base.key_ring import key_ring
from tael.db.cells import only
from tael.db.database import Database, StoreUnavailable
from tael.merchants.credential_cache import CredentialCache
from tael.merchants.domain.rate_limits import NO_LIMITS
from tael.operations.store import store_over
from tael.qfpay.answers import Members
from tael.qfpay.requests import AuthenticatedRequest
from tael.qfpay.signature import sign_body
from tests.support.alipay import TestClock
from tests.support.rate_limits import Ledger, limiter_over
from tests.support.values import NOW, an_app
from tests.support.virtual_time import run_in_virtual_time

APP: Final = an_app()
MAX_BYTES: Final = 100
#: Endpoints are listed here, and none is called.
NOTHING: Final = cast(Any, None)
#: A check that moves changes what an attacker can learn, and which refusal a client gets first.
AUTHENTICATED: Final = (
    "limit_address",
    "read_body",
    "admit",
    "read_call",
    "identify",
    "verify_call",
    "check_reading",
    "check_address",
    "check_age",
    "select_merchant",
    "limit_merchant",
    "sign_responses",
    "check_state",
)


# ---- the lists -------------------------------------------------------------------------------------------------


def names(steps: tuple[Step, ...]) -> tuple[str, ...]:
    return tuple(step.__name__ for step in steps)


def test_the_steps_of_a_query_are_in_their_order() -> None:
    assert names(QUERY) == (*AUTHENTICATED, "call_handler")


def test_the_steps_of_a_query_of_an_app_are_in_their_order() -> None:
    assert names(APP_QUERY) == (
        *AUTHENTICATED[:9],
        *("limit_app", "sign_responses", "check_app", "call_app_handler"),
    )


def test_the_steps_of_the_other_calls_are_in_their_order() -> None:
    assert names(CALL) == (*AUTHENTICATED, "check_open", "check_grant", "call_handler")


def test_the_steps_of_a_checkout_link_are_in_their_order() -> None:
    assert names(LINK) == (
        *(
            "limit_address",
            "read_body",
            "read_link",
            "identify",
            "verify_link",
            "check_age",
            "select_merchant",
        ),
        *("check_state", "check_open", "check_grant", "check_accounts", "call_handler"),
    )


def test_the_steps_of_a_link_to_the_wallets_consent_are_in_their_order() -> None:
    assert names(CONSENT_LINK) == (
        *("limit_address", "read_consent_link", "identify", "verify_consent_link", "check_reading"),
        *("check_age", "select_merchant", "check_state", "check_open", "call_handler"),
    )


def test_the_steps_of_a_tool_are_in_their_order() -> None:
    assert names(TOOL) == (*AUTHENTICATED, "check_open", "call_handler")


def test_the_steps_of_a_call_with_an_access_token_are_in_their_order() -> None:
    assert names(BEARER) == (
        *("limit_address", "read_body", "admit", "read_call", "authenticate_user", "limit_user"),
        "call_user_handler",
    )


def test_every_endpoint_has_one_of_the_lists() -> None:
    endpoints: tuple[Endpoint[Any], ...] = (
        *trade.calls(NOTHING, NOTHING, NOTHING),
        *settlements.calls(NOTHING),
        *trade_bill.calls(NOTHING),
        *users.calls(NOTHING),
        *openids.calls(NOTHING),
        checkout.opening(NOTHING, NOTHING),
    )
    lists = {endpoint.name: endpoint.steps for endpoint in endpoints}
    others = dict.fromkeys(("payment", "close", "refund", "reversal"), CALL)
    assert lists == others | {
        "query": QUERY,
        "settlements": QUERY,
        "trade_bill": APP_QUERY,
        "checkout": LINK,
        "oauth_code": CONSENT_LINK,
        "openid": TOOL,
        "baseinfo": BEARER,
        "tradelist": BEARER,
    }


# ---- one request -----------------------------------------------------------------------------------------------


def access(guard: AddressGuard | None = None, admission: Admission | None = None) -> Access:
    """Over a database that is not entered: no step here reaches it."""
    none = Database("postgresql://localhost/none")
    store = store_over(none, none, Cipher(key_ring(bytes(32))), 1)
    credentials = CredentialCache(store.merchants, store.accounts, store.maintenance_windows)
    limiter = limiter_over(Ledger(), TestClock(), NO_LIMITS)
    guard = guard or AddressGuard(0, TestClock())
    admission = admission or Admission()
    return Access(credentials, TestClock(), 1.0, MAX_BYTES, guard, only(limiter), NOTHING, admission)


async def do_nothing(_: AuthenticatedRequest) -> Members:
    return {}


async def served(
    *steps: Step,
    body: bytes = b"",
    is_page: bool = False,
    peer: str = "",
    guard: AddressGuard | None = None,
    given: Access | None = None,
) -> Response:
    async def receive() -> Mapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "headers": [],
        "query_string": b"",
        "client": (peer, 1) if peer else None,
    }
    endpoint = Endpoint("/", ("POST",), "payment", "payment", do_nothing, steps, is_page)
    given = given or access(guard)
    return await serve(Request(scope, receive), endpoint, given)  # type: ignore[arg-type]


def members_of(response: Response) -> dict[str, str]:
    members: dict[str, str] = json.loads(bytes(response.body))
    return members


async def sign(exchange: Exchange) -> None:
    exchange.signer = APP


async def respond(exchange: Exchange) -> None:
    exchange.members = {"respcd": "0000", "steps": exchange.appcode}


def add(text: str) -> Step:
    async def step(exchange: Exchange) -> None:
        exchange.appcode += text

    return step


def failing(error: Exception) -> Step:
    async def step(_: Exchange) -> None:
        raise error

    return step


async def test_each_step_sees_what_the_ones_before_it_found() -> None:
    response = await served(add("a"), add("b"), respond, sign)
    assert members_of(response) == {"respcd": "0000", "steps": "ab"}
    assert response.headers["X-QF-SIGN"] == sign_body(bytes(response.body), APP.key)


async def test_the_first_refusal_ends_the_request() -> None:
    response = await served(failing(NotAllowed("first")), failing(NotAllowed("second")), respond)
    assert (response.status_code, members_of(response)["respmsg"]) == (200, "first")


async def test_a_refusal_is_signed_only_once_the_signature_of_the_request_is_verified() -> None:
    refusal = failing(NotAllowed())
    before, after = await served(refusal, sign), await served(sign, refusal)
    assert "X-QF-SIGN" not in before.headers
    assert after.headers["X-QF-SIGN"] == sign_body(bytes(after.body), APP.key)
    assert before.body == after.body


async def test_a_refusal_repeats_the_reference_of_a_call_and_nothing_of_a_link() -> None:
    refusal = failing(NotAuthentic())
    form = b"out_trade_no=A-1&mchid=M"
    call = members_of(await served(read_body, read_call, refusal, body=form))
    link = members_of(await served(read_body, read_link, refusal, body=form))
    assert (call["respcd"], call["out_trade_no"]) == ("1108", "A-1")
    assert link == {name: text for name, text in call.items() if name != "out_trade_no"}


async def test_two_values_of_a_name_are_named_to_a_call_and_not_to_a_link() -> None:
    form = b"secret=1&secret=2"
    call = members_of(await served(read_body, read_call, body=form))
    link = members_of(await served(read_body, read_link, body=form))
    assert (call["respcd"], call["respmsg"]) == ("1104", "secret was sent twice, with different values")
    assert (link["respcd"], link["respmsg"]) == ("1103", "a parameter was sent twice, with different values")


@pytest.mark.parametrize("is_page", [False, True])
async def test_a_body_above_the_limit_is_413_and_never_signed(is_page: bool) -> None:
    response = await served(sign, read_body, body=b"x" * (MAX_BYTES + 1), is_page=is_page)
    assert (response.status_code, members_of(response)["respcd"]) == (413, "1103")
    assert "X-QF-SIGN" not in response.headers


@pytest.mark.parametrize("error", [StoreUnavailable("down"), ValueError("a bug")], ids=["database", "bug"])
async def test_what_is_no_refusal_becomes_1112(error: Exception) -> None:
    response = await served(sign, failing(error))
    assert (response.status_code, members_of(response)["respcd"]) == (200, "1112")
    assert response.headers["X-QF-SIGN"] == sign_body(bytes(response.body), APP.key)


async def test_a_bug_behind_a_page_is_left_to_the_application() -> None:
    with pytest.raises(ValueError, match="a bug"):
        await served(failing(ValueError("a bug")), is_page=True)
    response = await served(failing(StoreUnavailable("down")), is_page=True)
    assert (response.status_code, members_of(response)["respcd"]) == (200, "1112")


async def test_a_client_that_is_gone_gets_no_response() -> None:
    with pytest.raises(ClientDisconnect):
        await served(failing(ClientDisconnect()))


# ---- limits ----------------------------------------------------------------------------------------------------


async def test_a_request_above_a_limit_is_429_with_retry_after_and_never_signed() -> None:
    response = await served(sign, failing(RateLimited("Too Many Requests", 7, "second")))
    assert (response.status_code, response.headers["Retry-After"]) == (429, "7")
    assert members_of(response) == {
        "respcd": "1112",
        "respmsg": "Too Many Requests",
        "resperr": "交易失败，请联系客服(1112)",
    }
    assert "X-QF-SIGN" not in response.headers


async def test_a_flood_from_one_address_is_refused_before_its_body_is_read() -> None:
    clock, form = TestClock(NOW), b"x" * (MAX_BYTES + 1)
    guard = AddressGuard(4, clock)

    async def status(peer: str) -> int:
        response = await served(limit_address, read_body, body=form, peer=peer, guard=guard)
        return response.status_code

    assert [await status("192.0.2.1") for _ in range(6)] == [413] * 4 + [429] * 2
    assert [await status(peer) for peer in ("192.0.2.2", "")] == [413, 413]
    clock.at += timedelta(seconds=0.25)
    assert [await status("192.0.2.1") for _ in range(2)] == [413, 429]
    clock.at += timedelta(hours=1)
    assert [await status("192.0.2.1") for _ in range(5)] == [413] * 4 + [429]
    clock.at -= timedelta(hours=1)
    assert await status("192.0.2.1") == 429


async def test_a_host_with_many_addresses_is_one_address() -> None:
    guard = AddressGuard(1, TestClock(NOW))
    answers = [
        (await served(limit_address, respond, sign, peer=f"2001:db8::{number}", guard=guard)).status_code
        for number in range(3)
    ]
    assert answers == [200, 429, 429]


def test_addresses_are_forgotten_when_there_are_too_many() -> None:
    guard = AddressGuard(1, TestClock(NOW))
    for number in range(MAX_ADDRESSES):
        guard.check(str(ip_address(number)))
    with pytest.raises(RateLimited):
        guard.check(str(ip_address(0)))
    guard.check(str(ip_address(MAX_ADDRESSES)))
    guard.check(str(ip_address(1)))


OVERLOADED: Final = {
    "respcd": "1112",
    "respmsg": "too many calls at this moment",
    "resperr": "交易失败，请联系客服(1112)",
}


# ---- overload --------------------------------------------------------------------------------------------------


async def test_a_call_has_its_place_up_to_its_response() -> None:
    given = access(admission=Admission(1))

    async def see(exchange: Exchange) -> None:
        exchange.appcode = str(given.admission.in_progress)

    for ending in (respond, failing(NotAllowed()), failing(ValueError("a bug"))):
        await served(admit, ending, given=given)
        assert given.admission.in_progress == 0
    assert members_of(await served(admit, see, respond, given=given))["steps"] == "1"


def test_a_call_without_a_place_is_1112_and_never_signed() -> None:
    async def without_a_place() -> Response:
        given = access(admission=Admission(1))
        with await given.admission.take("192.0.2.1"):
            return await served(read_body, admit, sign, respond, body=b"txamt=1", given=given)

    response = run_in_virtual_time(without_a_place())
    assert response.status_code == 200
    assert members_of(response) == OVERLOADED
    assert "X-QF-SIGN" not in response.headers


def test_what_may_not_even_wait_is_refused_alike_before_anything_is_read() -> None:
    async def answered() -> tuple[list[dict[str, Any]], float]:
        given = access(admission=Admission(2))
        endpoints = (
            Endpoint("/call", ("POST",), "payment", "payment", do_nothing, (read_body, admit, respond)),
        )
        app, sent = Application(endpoints, given, ()), list[dict[str, Any]]()

        async def receive() -> dict[str, Any]:
            raise AssertionError("the body is not needed")

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(dict(message))

        places = [await given.admission.take("192.0.2.1") for _ in range(2)]
        waiting = [asyncio.create_task(given.admission.take("192.0.2.1")) for _ in range(2)]
        await asyncio.sleep(STANDING_S * 1.5)
        began = asyncio.get_running_loop().time()
        scope = {"type": "http", "method": "POST", "path": "/call", "headers": [], "client": ("192.0.2.1", 1)}
        await app(scope, receive, send)
        took_s = asyncio.get_running_loop().time() - began
        for place in places:
            with place:
                pass
        for task in reversed(waiting):
            with await task:
                pass
        return sent, took_s

    (start, body), took_s = run_in_virtual_time(answered())
    assert took_s == pytest.approx(REFUSAL_S)
    assert start["status"] == 200
    assert json.loads(body["body"]) == OVERLOADED
    assert "x-qf-sign" not in dict(start["headers"])


def test_the_addresses_of_one_host_are_one_sender() -> None:
    """A host that sends from all its addresses waits behind one call of another."""
    begun: list[str] = []

    def note(host: str) -> Step:
        async def step(_: Exchange) -> None:
            begun.append(host)

        return step

    async def calls() -> None:
        given = access(admission=Admission(1))
        with await given.admission.take("other"):
            waiting = [
                asyncio.create_task(served(admit, note(peer[:9]), respond, peer=peer, given=given))
                for peer in ("2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1")
            ]
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)

    run_in_virtual_time(calls())
    assert begun == ["2001:db8:", "192.0.2.1", "2001:db8:", "2001:db8:"]


async def test_a_call_begins_when_the_process_is_idle() -> None:
    """A page's request is not delayed: it is no call of a merchant's server."""
    idle, begun = asyncio.Event(), list[str]()

    def begin(name: str) -> Step:
        async def step(_: Exchange) -> None:
            begun.append(name)

        return step

    def endpoint(name: str, *steps: Step) -> Endpoint[Any]:
        return Endpoint(f"/{name}", ("POST",), name, "payment", do_nothing, (begin(name), *steps, respond))

    async def until_idle() -> None:
        await idle.wait()

    async def receive() -> dict[str, Any]:
        raise AssertionError("no step reads the body")

    async def send(_: MutableMapping[str, Any]) -> None:
        pass

    app = Application((endpoint("call", admit), endpoint("link")), access(), (), until_idle)
    scope = {"type": "http", "method": "POST", "headers": [], "query_string": b"", "client": ("192.0.2.1", 1)}
    call = asyncio.create_task(app(scope | {"path": "/call"}, receive, send))
    await app(scope | {"path": "/link"}, receive, send)
    await asyncio.sleep(0)
    assert begun == ["link"]
    idle.set()
    await call
    assert begun == ["link", "call"]


def test_in_a_standing_overload_a_call_does_not_wait_for_an_idle_process() -> None:
    begun: list[str] = []

    async def begin(_: Exchange) -> None:
        begun.append("call")

    async def never() -> None:
        await asyncio.Event().wait()

    async def receive() -> dict[str, Any]:
        raise AssertionError("no step reads the body")

    async def send(_: MutableMapping[str, Any]) -> None:
        pass

    async def call() -> None:
        given = access(admission=Admission(1))
        endpoint = Endpoint("/call", ("POST",), "payment", "payment", do_nothing, (begin, admit, respond))
        app = Application((endpoint,), given, (), never)
        with await given.admission.take("192.0.2.1"):
            waits = asyncio.create_task(given.admission.take("192.0.2.1"))
            await asyncio.sleep(STANDING_S * 1.5)
            scope = {"type": "http", "method": "POST", "path": "/call", "headers": [], "query_string": b""}
            await app(scope | {"client": ("198.51.100.1", 1)}, receive, send)
        with await waits:
            pass

    run_in_virtual_time(call())
    assert begun == ["call"]
