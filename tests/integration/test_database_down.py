"""A database that cannot be reached: everybody is told so at once, and all goes on by itself when it is back."""

import asyncio
from collections.abc import AsyncIterator, Iterator, MutableMapping
from typing import Any

import pytest
from starlette.applications import Starlette

from tael.domain.payment import State
from tael.jobs.runner import Job, run_once
from tael.main import application
from tael.store.database import Database, StoreUnavailable
from tael.store.store import Store
from tests.integration.test_recording import gateway_over
from tests.support.alipay import TestClock
from tests.support.postgres import free_ports
from tests.support.store import being_paid, count_of, current, entered_store, opened
from tests.support.values import NOW, a_payment
from tests.support.wire import Wire


@pytest.fixture
def wire(database_url: str) -> Iterator[Wire]:
    with Wire(database_url) as joined:
        yield joined


@pytest.fixture
async def far_store(wire: Wire, store: Store) -> AsyncIterator[Store]:
    """A store behind a wire that can be cut; `store` reaches the same database directly."""
    async with entered_store(wire.url) as entered:
        yield entered


async def test_a_process_may_start_before_its_database() -> None:
    (port,) = free_ports(1)
    async with Database(f"postgresql://nobody@127.0.0.1:{port}/nothing") as database:
        with pytest.raises(StoreUnavailable):
            await database.fetch("SELECT 1")


async def test_while_the_wire_is_cut_everybody_is_told_and_afterwards_all_goes_on(
    wire: Wire, far_store: Store, store: Store
) -> None:
    payment = await opened(far_store, a_payment())
    wire.cut()
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await far_store.payments.by_syssn(payment.mchid, payment.syssn)
    answers = await asyncio.gather(
        *(far_store.payments.open(a_payment()) for _ in range(20)),
        far_store.payments.record(being_paid(payment)),
        far_store.serials.syssn(NOW),
        return_exceptions=True,
    )
    assert {type(answer) for answer in answers} == {StoreUnavailable}
    assert await count_of(store, "payment") == 1
    wire.join()
    assert await far_store.payments.record(being_paid(payment))
    assert await far_store.payments.open(a_payment())
    assert (await current(store, payment)).state is State.PAID


async def test_a_payer_reads_that_a_page_cannot_be_shown_now_and_may_try_again(
    wire: Wire, far_store: Store
) -> None:
    gateway = gateway_over(far_store)
    path = gateway.pages.path(await opened(far_store, a_payment()))
    app = application(gateway)
    wire.cut()
    for each in (path, f"{path}/state", f"{path}/onward", "/checkstand/m/l"):
        status, text = await got(app, each)
        assert status == 503, each
        assert "Not possible at the moment" in text

    wire.join()
    assert (await got(app, f"{path}/state")) == (200, '{"state":"pending"}')


async def got(app: Starlette, path: str) -> tuple[int, str]:
    """GET of `path`, as a server asks an application."""
    said: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        said.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "headers": []}
    await app(scope | {"query_string": b"", "root_path": "", "scheme": "http"}, receive, send)
    return said[0]["status"], b"".join(message.get("body", b"") for message in said).decode()


async def test_a_wire_cut_inside_a_transaction_leaves_nothing_of_it(
    wire: Wire, far_store: Store, store: Store
) -> None:
    payment = await opened(far_store, a_payment())

    async def cut_halfway() -> None:
        async with far_store.payments.locked(payment.mchid, payment.syssn) as (connection, _):
            await far_store.payments.write(connection, being_paid(payment))
            wire.cut()
            await connection.fetch("SELECT 1")

    with pytest.raises(StoreUnavailable):
        await cut_halfway()
    assert await current(store, payment) == payment
    assert await count_of(store, "ledger_entry") == 0
    wire.join()
    assert await far_store.payments.record(being_paid(payment))


async def test_a_server_that_ends_its_connections_is_found_again(far_store: Store, store: Store) -> None:
    payment = await opened(far_store, a_payment())
    await store.database.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    answers = []
    for _ in range(12):  # at most once per connection of the pool, and then never again
        try:
            answers.append(await far_store.payments.by_syssn(payment.mchid, payment.syssn))
        except StoreUnavailable:
            answers.clear()
    assert answers[-3:] == [payment] * 3


async def test_a_job_says_that_the_store_is_gone_and_works_again_when_it_is_back(
    wire: Wire, far_store: Store
) -> None:
    payment = await opened(far_store, a_payment(check_at=NOW))
    done: list[str] = []

    async def do(row: object) -> None:
        done.append(repr(row))

    job = Job("test", far_store.payments.claim_due, do)
    wire.cut()
    with pytest.raises(StoreUnavailable):
        await run_once(job, TestClock(NOW))
    wire.join()
    assert await run_once(job, TestClock(NOW)) == 1
    assert payment.syssn in done[0]
