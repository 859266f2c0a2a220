"""An unreachable database: every call is refused at once, and everything recovers by itself."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, MutableMapping
from functools import partial
from typing import Any

import asyncpg
import pytest

from tael.api.app import Application
from tael.base.transport import Transport
from tael.db.database import Database, Limits, RowLocked, SchemaOutdated, StoreUnavailable, budget
from tael.jobs.runner import Job, run_once
from tael.main import application
from tael.operations.store import Store, store_over
from tael.payments.domain.payment import State
from tests.integration.payments.test_recording import gateway_over
from tests.support.alipay import TestClock
from tests.support.citus import needs_plain_postgres
from tests.support.ports import reserved_ports
from tests.support.services import services_of
from tests.support.store import (
    CIPHER,
    NODE,
    CellsOfUrl,
    being_paid,
    count_of,
    current,
    entered_store,
    opened,
)
from tests.support.values import NOW, OF_ANY, a_payment
from tests.support.wire import Wire


@pytest.fixture
def wire(database_url: str) -> Iterator[Wire]:
    with Wire(database_url) as joined:
        yield joined


@pytest.fixture
async def wired_store(wire: Wire, store: Store) -> AsyncIterator[Store]:
    """A store behind a wire that can be cut; `store` bypasses the wire."""
    async with entered_store(wire.url) as entered:
        yield entered


async def test_a_process_may_start_before_its_database() -> None:
    with reserved_ports(1) as (port,):
        async with Database(f"postgresql://nobody@127.0.0.1:{port}/nothing") as database:
            with pytest.raises(StoreUnavailable):
                await database.fetch("SELECT 1")


async def test_while_the_wire_is_cut_every_call_is_refused_and_afterwards_all_work(
    wire: Wire, wired_store: Store, store: Store
) -> None:
    payment = await opened(wired_store, a_payment())
    wire.cut()
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await wired_store.payments.by_syssn(payment.mchid, payment.syssn)
    answers = await asyncio.gather(
        *(wired_store.payments.open(a_payment()) for _ in range(20)),
        wired_store.payments.record(being_paid(payment)),
        wired_store.serials.syssn(NOW),
        return_exceptions=True,
    )
    assert {type(answer) for answer in answers} == {StoreUnavailable}
    assert await count_of(store, "payment") == 1
    wire.join()
    assert await wired_store.payments.record(being_paid(payment))
    assert await wired_store.payments.open(a_payment())
    assert (await current(store, payment)).state is State.PAID


async def test_a_payer_sees_that_a_page_is_unavailable_and_may_retry(wire: Wire, wired_store: Store) -> None:
    gateway = gateway_over(wired_store)
    services = services_of(gateway, Transport())
    path = (await services.links.pages()).path(await opened(wired_store, a_payment()))
    app = application(services)
    wire.cut()
    for each in (path, f"{path}/state", f"{path}/onward", "/checkstand/m/l"):
        status, text = await got(app, each)
        assert status == 503, each
        assert "Payment is not possible right now" in text

    wire.join()
    assert (await got(app, f"{path}/state")) == (200, '{"state":"pending"}')


async def got(
    app: Application, path: str, method: str = "GET", headers: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """The response to `path`, called as a server calls an ASGI application."""
    messages: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        messages.append(message)

    sent = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "headers": sent}
    await app(scope | {"query_string": b"", "root_path": "", "scheme": "http"}, receive, send)
    return messages[0]["status"], b"".join(message.get("body", b"") for message in messages).decode()


async def test_a_wire_cut_inside_a_transaction_leaves_nothing_of_it(
    wire: Wire, wired_store: Store, store: Store
) -> None:
    payment = await opened(wired_store, a_payment())

    async def cut_halfway() -> None:
        async with wired_store.payments.locked(payment.mchid, payment.syssn) as (connection, _):
            await wired_store.payments.write(connection, being_paid(payment))
            wire.cut()
            await connection.fetch("SELECT 1")

    with pytest.raises(StoreUnavailable):
        await cut_halfway()
    assert await current(store, payment) == payment
    assert await count_of(store, "ledger_entry") == 0
    wire.join()
    assert await wired_store.payments.record(being_paid(payment))


async def test_a_store_recovers_from_a_server_that_ends_its_connections(
    wired_store: Store, store: Store
) -> None:
    payment = await opened(wired_store, a_payment())
    await store.database.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    answers = []
    for _ in range(12):  # fails at most once per connection of the pool
        try:
            answers.append(await wired_store.payments.by_syssn(payment.mchid, payment.syssn))
        except StoreUnavailable:
            answers.clear()
    assert answers[-3:] == [payment] * 3


async def test_a_job_logs_that_the_store_is_gone_and_works_again_when_it_is_back(
    wire: Wire, wired_store: Store
) -> None:
    payment = await opened(wired_store, a_payment(check_at=NOW))
    done: list[str] = []

    async def do(row: object) -> None:
        done.append(repr(row))

    job = Job("test", partial(wired_store.payments.due.claim, accounts=OF_ANY), do)
    wire.cut()
    with pytest.raises(StoreUnavailable):
        await run_once(job, TestClock(NOW))
    wire.join()
    assert await run_once(job, TestClock(NOW)) == 1
    assert payment.syssn in done[0]


# ---- a database that accepts connections and hangs ---------------------------------------------------------------

SOON = Limits(call_s=0.5, probe_s=0.3)
PATIENCE_S = 20.0  #: a statement's own limit, and a cancellation's, would be longer


@pytest.fixture
async def soon(wire: Wire, store: Store) -> AsyncIterator[Store]:
    """A store behind the wire with a limit of half a second per call."""
    async with CellsOfUrl(wire.url, SOON) as cells:
        yield store_over(cells.directory, cells.databases.first, CIPHER, NODE)


async def test_while_it_hangs_a_crowd_is_refused_in_time(wire: Wire, soon: Store) -> None:
    payment = await opened(soon, a_payment())
    wire.hold()
    calls = [soon.payments.by_syssn(payment.mchid, payment.syssn) for _ in range(400)]
    writes = [soon.payments.open(a_payment()) for _ in range(400)]
    answers = await asyncio.wait_for(asyncio.gather(*calls, *writes, return_exceptions=True), PATIENCE_S)
    assert {type(answer) for answer in answers} == {StoreUnavailable}
    wire.join()
    assert await soon.payments.record(being_paid(payment))
    assert await soon.payments.open(a_payment())


async def test_merchants_get_1112_and_wallets_are_made_to_retry(
    wire: Wire, soon: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    app = application(services_of(gateway_over(soon), Transport()))
    wire.hold()
    asked = [
        *(("/trade/v1/query", {"X-QF-APPCODE": "A", "X-QF-SIGN": "S"}) for _ in range(20)),
        ("/checkstand/open", {}),
        ("/notices/wechat/unknown", {}),
    ]
    answers = await asyncio.wait_for(
        asyncio.gather(*(got(app, path, "POST", h) for path, h in asked)), PATIENCE_S
    )
    assert [(status, json.loads(text)["respcd"]) for status, text in answers[:21]] == [(200, "1112")] * 21
    assert answers[21][0] == 503
    lines = [line for line in capsys.readouterr().out.splitlines() if "store.unavailable" in line]
    assert 1 <= len(lines) <= 4  # one line per second and place, not one per call


async def test_all_statements_of_a_call_share_one_limit_and_a_wallet_s_time_is_not_in_it(
    store: Store,
) -> None:
    with budget(0.5):
        await store.database.fetch("SELECT pg_sleep(0.2)")
        await asyncio.sleep(0.6)  # the wallet's
        await store.database.fetch("SELECT 1")
        with pytest.raises(StoreUnavailable, match="TimeoutError"):
            await store.database.fetch("SELECT pg_sleep(0.4)")
        with pytest.raises(StoreUnavailable):
            await store.payments.open(a_payment())
    assert await store.payments.open(a_payment())


async def test_a_cancelled_statement_ends_with_its_connection(wire: Wire, soon: Store) -> None:
    """A cancel request would wait for the hanging server, and so would its caller."""
    reading = asyncio.create_task(soon.database.fetch("SELECT pg_sleep(0.4)"))
    await asyncio.sleep(0.1)
    wire.hold()
    reading.cancel()
    ended, _ = await asyncio.wait([reading], timeout=PATIENCE_S)
    assert ended
    wire.join()
    assert await soon.database.fetch("SELECT 1")


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        ("53100", StoreUnavailable),  # disk full
        ("53200", StoreUnavailable),  # out of memory
        ("25006", StoreUnavailable),  # read only
        ("57014", StoreUnavailable),  # cancelled by a limit
        ("57P01", StoreUnavailable),  # shutting down
        ("58030", StoreUnavailable),  # input and output
        ("42501", StoreUnavailable),
        ("55P03", RowLocked),
        ("42P01", SchemaOutdated),
        ("42703", SchemaOutdated),
        ("23505", asyncpg.UniqueViolationError),
        ("22P02", asyncpg.InvalidTextRepresentationError),
    ],
)
async def test_temporary_errors_are_one_error(store: Store, sqlstate: str, kind: type[Exception]) -> None:
    with pytest.raises(Exception) as raised:
        await store.database.execute(
            f"DO $$ BEGIN RAISE EXCEPTION 'a row''s value' USING ERRCODE = '{sqlstate}'; END $$"
        )
    assert type(raised.value) is kind
    assert "value" not in str(raised.value) or not isinstance(raised.value, StoreUnavailable)


@needs_plain_postgres
async def test_a_full_disk_fails_a_batch_at_once_and_not_row_by_row(store: Store) -> None:
    await store.database.execute(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = '53100'; END $$"
    )
    await store.database.execute(
        "CREATE TRIGGER full_disk BEFORE INSERT ON payment EXECUTE FUNCTION full_disk()"
    )
    answers = await asyncio.gather(
        *(store.payments.open(a_payment()) for _ in range(20)), return_exceptions=True
    )
    assert {(type(answer), str(answer)) for answer in answers} == {(StoreUnavailable, "DiskFullError")}


async def test_every_connection_has_its_limits(store: Store) -> None:
    expected = {
        "lock_timeout": "3000",
        "idle_in_transaction_session_timeout": "10000",
        "statement_timeout": "30000",
        "tcp_keepalives_idle": "10",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
        "tcp_user_timeout": "20000",
    }
    sql = "SELECT name, setting FROM pg_settings WHERE name = ANY($1)"
    rows = await store.database.fetch(sql, list(expected))
    assert {row["name"]: row["setting"] for row in rows} == expected
