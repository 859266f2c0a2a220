"""Stores on real databases, what tests put into them, and a wire to a database that can be cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Final, Self
from urllib.parse import urlsplit

from tael.domain.ledger import Entry, payment_entry
from tael.domain.payment import Payment
from tael.domain.webhook import WebhookKind
from tael.store.database import Database
from tael.store.payments import Change
from tael.store.seal import Seal
from tael.store.store import Store, store_over
from tael.store.webhooks import NewWebhook
from tests.support.values import NOW, a_merchant, a_paid_payment, a_wechat_account, an_alipay_account, an_app

SEAL_KEY: Final = bytes(range(32))
NODE: Final = 9


@asynccontextmanager
async def entered_store(database_url: str, node: int = NODE) -> AsyncIterator[Store]:
    """What a process has of the database at `database_url`."""
    async with Database(database_url) as database:
        yield store_over(database, Seal(SEAL_KEY), node)


async def with_a_merchant(store: Store) -> None:
    """The app and merchant of `tests.support.values`, with all three accounts."""
    await store.merchants.add_app(an_app(), NOW)
    await store.merchants.add_merchant(a_merchant(), NOW)
    await store.accounts.add(a_wechat_account(), NOW)
    await store.accounts.add(an_alipay_account("alipay-online", scene="online", pid="2088000000000001"), NOW)
    await store.accounts.add(
        an_alipay_account("alipay-offline", scene="offline", pid="2088000000000002"), NOW
    )


def being_paid(payment: Payment) -> Change:
    """`payment` as paid, with everything that follows from it."""
    after = replace(a_paid_payment(payment.pay_type), **{name: getattr(payment, name) for name in _KEPT})
    return Change(after, (payment_entry(after, NOW),), (payment_webhook(after),))


def payment_webhook(payment: Payment) -> NewWebhook:
    return NewWebhook(
        payment.mchid, payment.syssn, WebhookKind.PAYMENT, payment.appcode, payment.syssn, payment.changed_at
    )


async def opened(store: Store, payment: Payment) -> Payment:
    """`payment` once it is in the table."""
    assert await store.payments.open(payment)
    return payment


async def paid(store: Store, payment: Payment) -> Payment:
    """`payment` once it is in the table as paid."""
    await opened(store, payment)
    assert await store.payments.record(being_paid(payment))
    return await current(store, payment)


async def current(store: Store, payment: Payment) -> Payment:
    """The row of `payment` as it stands."""
    found = await store.payments.by_syssn(payment.mchid, payment.syssn)
    assert found is not None
    return found


async def count_of(store: Store, table: str) -> int:
    rows = await store.database.fetch(f"SELECT count(*) AS rows FROM {table}")
    return int(rows[0]["rows"])


async def all_entries(store: Store) -> list[Entry]:
    from tael.store.ledger import entries_of

    rows = await store.database.fetch("SELECT DISTINCT mchid, cause FROM ledger_entry")
    mchids = {row["mchid"] for row in rows}
    found: list[Entry] = []
    for mchid in mchids:
        causes = [row["cause"] for row in rows if row["mchid"] == mchid]
        found += await entries_of(store.database, mchid, causes)
    return found


_KEPT: Final = tuple(
    name
    for name in Payment.__slots__
    if name not in ("state", "wallet_ref", "payer_ref", "paid_at", "check_at", "is_answered")
)


class Wire:
    """A relay in front of a server, so that a test can cut the connection and join it again."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """Where clients connect to."""
        login, _, _ = self._parts.netloc.rpartition("@")
        return self._parts._replace(netloc=f"{login}@127.0.0.1:{self._port}").geturl()

    async def __aenter__(self) -> Self:
        await self.join()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()

    async def join(self) -> None:
        """Let clients through (again, at the same port)."""
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self._port, reuse_address=True)
        self._port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """End every connection at once and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self._writers.clear()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = self._parts.hostname, self._parts.port
        server_reader, server_writer = await asyncio.open_connection(host, port)
        self._writers |= {writer, server_writer}
        both = asyncio.gather(_pump(reader, server_writer), _pump(server_reader, writer))
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with suppress(OSError, asyncio.CancelledError):
            await both
        for each in (writer, server_writer):
            each.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while taken := await reader.read(1 << 16):
        writer.write(taken)
        await writer.drain()
    writer.close()
