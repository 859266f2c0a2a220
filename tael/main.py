"""The composition root: builds services from settings, and an application or jobs from services.

A function imports what it joins, so that a process loads only its own part: a command the store, a worker no API.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from structlog.typing import Processor

from tael.base.admission import Admission
from tael.base.cipher import Cipher
from tael.base.clock import Clock, DemoClock, RealClock
from tael.base.log_context import mark_request, mark_span
from tael.base.serial import cell_of
from tael.config import DEFAULT_SETTINGS_CACHE_S, Settings
from tael.db.cells import FIRST, Cells, PerCell, only
from tael.db.database import PATIENT, Database, Limits
from tael.incidents.store.incidents import Incidents
from tael.merchants.domain.rate_limits import NO_LIMITS, RateLimits
from tael.merchants.store.document_places import Place, place_at
from tael.operations.store import Store, store_over

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.routing import BaseRoute

    from tael.api.app import Application
    from tael.api.exchange import Endpoint
    from tael.base.transport import Transport
    from tael.channels.base import Channel, NoteAnswer
    from tael.jobs.app_slots import AppSlotTable
    from tael.jobs.runner import Job
    from tael.merchants.rate_limit_totals import RateLimitTotals
    from tael.merchants.rate_limiter import RateLimiter
    from tael.payments.context import PaymentContext
    from tael.payments.page_links import PageLinks
    from tael.payments.wallets import Wallets
    from tael.reconciliation.runs import ReconciliationContext
    from tael.unmatched.advance import UnmatchedContext
    from tael.webhooks.delivery import DeliveryContext

#: Python's own logger, in case structlog's is broken.
log = logging.getLogger("tael")


def configure_logs() -> None:
    """Log one JSON line per event to standard error, including those of uvicorn, asyncio and Python's warnings."""
    shared: list[Processor] = [
        mark_request,
        mark_span,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering: list[Processor] = [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(serializer=_json),
    ]
    structlog.configure(
        processors=[*shared, *rendering],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_crash


def _json(event: object, *, default: Callable[[Any], Any]) -> str:
    """`default` gives what JSON has no form for."""
    return msgspec.json.encode(event, enc_hook=default).decode()


def _log_crash(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Log the exception that ends the process."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
    else:
        log.critical("process.crashed", exc_info=(kind, error, traceback))


def limits_of(settings: Settings) -> Limits:
    """The database limits of a gateway's process."""
    return Limits(connections=settings.database_connections, call_s=settings.database_timeout_s)


def clock_of(settings: Settings) -> Clock:
    """The system clock, or in a demo the one that the sandbox controls."""
    return DemoClock(settings.clock_file) if settings.clock_file else RealClock()


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores of all cells, over one directory."""

    cells: Cells
    of_cell: PerCell[Store]

    @property
    def first(self) -> Store:
        """That of cell 0, for what is in the directory."""
        return self.of_cell.first

    async def of_merchant(self, mchid: str) -> Store:
        """The store of a merchant's cell; of an unknown merchant, the first. Raises StoreUnavailable."""
        merchant = await self.first.merchants.merchant(mchid)
        return await self.of_cell.of(merchant.cell) if merchant else self.first

    async def of_syssn(self, syssn: str) -> Store:
        """The store of the cell that a syssn names. Raises NoSuchCell, StoreUnavailable."""
        return await self.of_cell.of(cell_of(syssn) or FIRST)


@asynccontextmanager
async def open_stores(settings: Settings, limits: Limits = PATIENT) -> AsyncIterator[Stores]:
    """Stores over the configured database, which need not be up yet. The default limits are those of a command."""
    async with Cells(settings.database_url.reveal(), limits) as cells:
        cipher = Cipher(settings.key_source())
        place = place_at(settings.documents) if settings.documents else None
        yield stores_over(cells, cipher, settings.node, place)


def stores_over(cells: Cells, cipher: Cipher, node: int, documents: Place | None = None) -> Stores:
    """The stores over opened databases."""
    databases = cells.databases

    def store_in(number: int, database: Database) -> Store:
        return store_over(
            cells.directory, database, cipher, node, documents, cell=number, database_of=databases.of
        )

    return Stores(cells, databases.map_numbered(store_in))


@asynccontextmanager
async def open_store(settings: Settings, limits: Limits = PATIENT) -> AsyncIterator[Store]:
    """The store of the directory and the first cell."""
    async with open_stores(settings, limits) as stores:
        yield stores.first


@dataclass(frozen=True, slots=True)
class Shared:
    """What the cells of one process have in common."""

    wallets: "Wallets"
    links: "PageLinks"
    to_merchants: "Transport"
    clock: Clock
    rate_limits: RateLimits
    rate_limit_totals: "RateLimitTotals"

    async def cell_of(self, mchid: str) -> int:
        """The number of a merchant's cell; of an unknown merchant, the first one's. Raises StoreUnavailable."""
        merchant = await self.wallets.credentials.merchant(mchid)
        return FIRST if merchant is None else merchant.cell


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that one process runs on in one cell."""

    store: Store
    payments: "PaymentContext"
    links: "PageLinks"
    unmatched: "UnmatchedContext"
    deliveries: "DeliveryContext"
    rate_limiter: "RateLimiter"


#: Those of all cells, or of the only one.
CellServices = Services | PerCell[Services]


@asynccontextmanager
async def open_services(settings: Settings) -> "AsyncIterator[PerCell[Services]]":
    """The services of one process, by cell."""
    from tael.base.transport import Transport
    from tael.payments.outcomes import initialize_metrics
    from tael.payments.verification import AnswerChecks

    clock = clock_of(settings)
    async with (
        _open_traces(settings),
        open_stores(settings, limits_of(settings)) as stores,
        stores.cells.following(),
        Transport(settings.webhook_egress) as to_merchants,
    ):

        async def incidents_of(mchid: str) -> Incidents:
            return (await stores.of_cell.of(await shared.cell_of(mchid))).incidents

        async with open_channels(settings, clock, AnswerChecks(incidents_of, clock).note) as channels:
            initialize_metrics(channels)
            shared = shared_over(
                stores.first,
                channels,
                to_merchants,
                clock,
                settings.public_url,
                takes_published_key=settings.takes_published_key,
                settings_cache_s=settings.settings_cache_s,
                rate_limits=settings.rate_limits,
            )
            yield stores.of_cell.map(partial(services_in, shared=shared, stores=stores.of_cell))


def _open_traces(settings: Settings) -> "AbstractAsyncContextManager[None]":
    if not settings.exports_traces:
        return nullcontext()
    from tael.base.spans import exporting

    return exporting()


@asynccontextmanager
async def open_channels(
    settings: Settings, clock: Clock, note_answer: "NoteAnswer"
) -> "AsyncIterator[Mapping[str, Channel]]":
    """The channel of each installed protocol, by the protocol's name."""
    from tael.channels.protocols import ChannelEnvironment
    from tael.channels.registry import installed_protocols

    urls = {
        "alipay": settings.alipay_url,
        "alipay_instore": settings.alipay_instore_url,
        "wechat": settings.wechat_url,
        "wechat_authorize": settings.wechat_authorize_url,
        "wechat_api": settings.wechat_api_url,
    }
    async with AsyncExitStack() as transports:
        channels: dict[str, Channel] = {}
        for name, protocol in installed_protocols().by_name.items():
            transport = await transports.enter_async_context(_to_wallet(settings, name))
            channels[name] = protocol.open_channel(
                ChannelEnvironment(
                    transport, clock, note_answer, urls, settings.wechat_ca_pem, settings.server_ip
                )
            )
        yield channels


def services_over(
    store: Store,
    channels: "Mapping[str, Channel]",
    to_merchants: "Transport",
    clock: Clock,
    public_url: str,
    *,
    takes_published_key: bool = False,
    settings_cache_s: float = DEFAULT_SETTINGS_CACHE_S,
    rate_limits: RateLimits = NO_LIMITS,
) -> Services:
    """The services of a deployment with one cell, over opened parts."""
    shared = shared_over(
        store,
        channels,
        to_merchants,
        clock,
        public_url,
        takes_published_key=takes_published_key,
        settings_cache_s=settings_cache_s,
        rate_limits=rate_limits,
    )
    return services_in(store, shared=shared)


def shared_over(
    store: Store,
    channels: "Mapping[str, Channel]",
    to_merchants: "Transport",
    clock: Clock,
    public_url: str,
    *,
    takes_published_key: bool = False,
    settings_cache_s: float = DEFAULT_SETTINGS_CACHE_S,
    rate_limits: RateLimits = NO_LIMITS,
) -> Shared:
    """What all cells have in common, over opened parts. `store` is that of the first."""
    from tael.merchants.rate_limit_totals import RateLimitTotals
    from tael.merchants.rate_limiter import MAX_WAIT_S
    from tael.merchants.store.rate_limits import RateLimitRows
    from tael.payments.page_links import PageLinks

    wallets = _wallets_over(store, channels, public_url, takes_published_key, settings_cache_s)
    links = PageLinks(public_url, store.link_keys, clock, settings_cache_s)
    totals = RateLimitTotals(RateLimitRows(store.database, MAX_WAIT_S))
    return Shared(wallets, links, to_merchants, clock, rate_limits, totals)


def services_in(store: Store, shared: Shared, stores: PerCell[Store] | None = None) -> Services:
    """The services in the cell of `store`, one of `stores`."""
    from tael.payments.context import InFlightRequests, PaymentContext
    from tael.qfpay.webhook_bodies import WebhookRenderer
    from tael.unmatched.advance import UnmatchedContext
    from tael.webhooks.delivery import DeliveryContext

    clock, wallets = shared.clock, shared.wallets
    payments_of = stores.map(lambda each: each.payments).of if stores else None
    payments = PaymentContext(store, wallets, clock, InFlightRequests(), payments_of)
    renderer = WebhookRenderer(store.payments, store.refunds)
    return Services(
        store=store,
        payments=payments,
        links=shared.links,
        unmatched=UnmatchedContext(payments, store.unmatched_payments),
        deliveries=DeliveryContext(store.webhooks, wallets.credentials, renderer, shared.to_merchants, clock),
        rate_limiter=rate_limiter_over(store, clock, shared.rate_limits, totals=shared.rate_limit_totals),
    )


def rate_limiter_over(
    store: Store,
    clock: Clock,
    defaults: RateLimits,
    max_wait_s: float | None = None,
    totals: "RateLimitTotals | None" = None,
) -> "RateLimiter":
    """The limits of requests that this process shares with all others on the same cell."""
    from tael.merchants.rate_limit_totals import RateLimitTotals
    from tael.merchants.rate_limiter import MAX_WAIT_S, RateLimiter
    from tael.merchants.store.rate_limits import RateLimitRows

    rows = RateLimitRows(store.database, max_wait_s or MAX_WAIT_S)
    return RateLimiter(rows.grant, totals or RateLimitTotals(rows), clock, defaults)


def _to_wallet(settings: Settings, protocol: str) -> "Transport":
    """A pool of its own for each protocol, so that a hanging wallet cannot exhaust another's connections."""
    from tael.base.transport import Transport

    return Transport(
        connections=settings.wallet_connections,
        wait_s=settings.wallet_wait_s,
        proxy=settings.wallet_proxy,
        protocol=protocol,
    )


def application(
    services: CellServices,
    max_form_bytes: int | None = None,
    max_per_second_of_address: int = 0,
    admission: Admission | None = None,
    *,
    serves_health: bool = True,
) -> "Application":
    """The application of an API process, over one cell or several. `max_per_second_of_address` 0 is no limit."""
    from tael.api import (
        checkout,
        notices,
        oauth,
        openids,
        settlements,
        sign_up,
        trade,
        trade_bill,
        users,
    )
    from tael.api.address_guard import AddressGuard
    from tael.api.app import Application
    from tael.api.cells import in_cells
    from tael.api.exchange import Access
    from tael.api.request_body import MAX_FORM_BYTES
    from tael.cashier import pages as cashier
    from tael.cashier.context import CashierContext
    from tael.merchants.sign_up import SignUpContext
    from tael.oauth.context import OAuthContext

    cells = services if isinstance(services, PerCell) else only(services, services.store.cell)
    first = cells.first
    store, payments, links = first.store, first.payments, first.links
    credentials = payments.wallets.credentials
    permitting = OAuthContext(store.users, store.grants, store.sign_in_attempts, credentials, payments.clock)
    admission = admission or Admission()
    limiters = cells.map(lambda each: each.rate_limiter)
    access = Access(
        credentials,
        payments.clock,
        store.database.limits.call_s,
        max_form_bytes or MAX_FORM_BYTES,
        AddressGuard(max_per_second_of_address, payments.clock),
        limiters,
        permitting,
        admission,
    )
    applying = SignUpContext(store.merchants, store.applications, store.document_files, credentials)
    bills = trade_bill.BillContext(cells.map(lambda each: trade_bill.tables_of(each.store)), payments.clock)

    def calls_in(each: Services) -> "tuple[Endpoint[Any], ...]":
        return (
            *trade.calls(each.payments, each.links, each.store.settlements),
            *settlements.calls(each.store.settlements),
            *users.calls(each.payments),
            checkout.opening(each.payments, each.links.site),
        )

    async def context_of(mchid: str) -> "PaymentContext":
        merchant = await credentials.merchant(mchid)
        return (await cells.of(merchant.cell)).payments if merchant else payments

    async def context_of_payment(syssn: str) -> "PaymentContext":
        return (await cells.of(cell_of(syssn) or FIRST)).payments

    return Application(
        (
            *in_cells(cells.map(calls_in)),
            *trade_bill.calls(bills),
            *sign_up.calls(applying),
            *openids.calls(payments.wallets),
        ),
        access,
        [
            *sign_up.routes(),
            *oauth.routes(permitting, access),
            *notices.routes(payments, context_of),
            *(health_routes(cells, admission) if serves_health else ()),
            *cashier.routes(CashierContext(payments, links, permitting, context_of_payment, context_of)),
        ],
    )


def ops_application(
    services: CellServices, is_stopping: Callable[[], bool], admission: Admission | None = None
) -> "Starlette":
    """The application of a process's operations port. `admission` is that of its merchants' calls, if it serves any."""
    from starlette.applications import Starlette

    app = Starlette(routes=health_routes(services, admission, is_stopping))
    app.router.redirect_slashes = False
    return app


def health_routes(
    services: CellServices,
    admission: Admission | None,
    is_stopping: Callable[[], bool] = lambda: False,
) -> "list[BaseRoute]":
    """/healthz, /readyz and /metrics of this process."""
    from tael.api import health

    cells = services if isinstance(services, PerCell) else only(services, services.store.cell)
    return health.routes(
        cells.map(lambda each: each.store),
        cells.first.rate_limiter.totals,
        admission,
        cells.first.payments.clock,
        is_stopping,
    )


def all_jobs(services: Services, apps: "AppSlotTable | None" = None) -> "list[Job[Any]]":
    """The jobs of a worker process in one cell. `apps` are the slots of webhooks that cells share."""
    from tael.jobs.daily_close import daily_close_job
    from tael.jobs.polling import polling_jobs
    from tael.jobs.reconciliation import reconciliation_jobs
    from tael.jobs.statements import statement_jobs
    from tael.jobs.webhooks import webhook_job
    from tael.statements.schedule import ScheduleContext

    store, clock = services.store, services.payments.clock
    scheduled = ScheduleContext(
        store.statements,
        store.statements_due,
        store.accounts,
        store.incidents,
        services.payments.wallets.channels,
        clock,
    )
    return [
        *polling_jobs(services.unmatched),
        webhook_job(services.deliveries, apps),
        daily_close_job(store.ledger_digests, clock),
        *statement_jobs(scheduled),
        *reconciliation_jobs(reconciliation_over(store, services.payments), store.statements.due),
    ]


def directory_jobs(cells: PerCell[Services]) -> "list[Job[Any]]":
    """The jobs of a worker process in the directory."""
    from tael.jobs.certificates import certificate_job
    from tael.jobs.oauth_removal import oauth_removal_job

    first = cells.first
    store, clock, credentials = first.store, first.payments.clock, first.payments.wallets.credentials

    async def incidents_of(mchid: str) -> Incidents:
        merchant = await credentials.merchant(mchid)
        return (await cells.of(FIRST if merchant is None else merchant.cell)).store.incidents

    return [
        certificate_job(store.accounts, incidents_of, clock),
        oauth_removal_job(store.oauth_removals, clock),
    ]


def reconciliation_over(store: Store, payments: "PaymentContext") -> "ReconciliationContext":
    from tael.reconciliation.runs import ReconciliationContext

    return ReconciliationContext(payments, store.reconciliations, store.differences)


def payments_over(
    store: Store,
    channels: "Mapping[str, Channel]",
    clock: Clock,
    public_url: str,
    *,
    takes_published_key: bool = False,
    settings_cache_s: float = DEFAULT_SETTINGS_CACHE_S,
) -> "PaymentContext":
    """What the use cases of payments depend on, in one cell."""
    from tael.payments.context import InFlightRequests, PaymentContext

    wallets = _wallets_over(store, channels, public_url, takes_published_key, settings_cache_s)
    return PaymentContext(store, wallets, clock, InFlightRequests())


def _wallets_over(
    store: Store,
    channels: "Mapping[str, Channel]",
    public_url: str,
    takes_published_key: bool,
    settings_cache_s: float,
) -> "Wallets":
    from tael.merchants.credential_cache import CredentialCache
    from tael.payments.wallets import Wallets

    credentials = CredentialCache(
        store.merchants,
        store.accounts,
        store.maintenance_windows,
        takes_published_key=takes_published_key,
        ttl_s=settings_cache_s,
    )
    return Wallets(channels, credentials, public_url)


async def work_until(
    stop: asyncio.Event, services: CellServices, chosen: Collection[int] | None = None
) -> None:
    """Run every job until `stop` is set, in the directory and in the `chosen` cells, or in all.

    Cells that are added meanwhile are found.
    """
    from tael.base.exposition import register
    from tael.jobs.cells import run_in_cells
    from tael.jobs.runner import run_for_ever
    from tael.jobs.webhooks import app_slots_of_process

    register()
    cells = services if isinstance(services, PerCell) else only(services, services.store.cell)
    clock, directory = cells.first.payments.clock, cells.first.store.due_in_directory

    async def work_in(each: Services, number_of_cells: Callable[[], int]) -> None:
        await run_for_ever(all_jobs(each, apps), clock, stop, each.store.due_work.queues, number_of_cells)

    apps = app_slots_of_process()

    async with asyncio.TaskGroup() as group:
        group.create_task(run_for_ever(directory_jobs(cells), clock, stop, directory.queues))
        group.create_task(run_in_cells(cells, work_in, stop, chosen))
