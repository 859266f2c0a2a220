"""The composition root: builds services from settings, and an application or jobs from services.

A function imports what it joins, so that a process loads only its own part: a command the store, a worker no API.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from structlog.typing import Processor

from tael.base.admission import Admission
from tael.base.cipher import Cipher
from tael.base.clock import Clock, DemoClock, RealClock
from tael.base.log_context import mark_request, mark_span
from tael.config import DEFAULT_SETTINGS_CACHE_S, Settings
from tael.db.database import PATIENT, Database, Limits
from tael.merchants.domain.rate_limits import NO_LIMITS, RateLimits
from tael.merchants.store.document_places import place_at
from tael.operations.store import Store, store_over

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.routing import BaseRoute

    from tael.api.app import Application
    from tael.base.transport import Transport
    from tael.channels.base import Channel, NoteAnswer
    from tael.jobs.runner import Job
    from tael.merchants.rate_limiter import RateLimiter
    from tael.payments.context import PaymentContext
    from tael.payments.page_links import PageLinks
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


@asynccontextmanager
async def open_store(settings: Settings, limits: Limits = PATIENT) -> AsyncIterator[Store]:
    """A store over the configured database, which need not be up yet. The default limits are those of a command."""
    async with Database(settings.database_url.reveal(), limits) as database:
        cipher = Cipher(settings.key_source())
        place = place_at(settings.documents) if settings.documents else None
        yield store_over(database, cipher, settings.node, place)


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that one process runs on."""

    store: Store
    payments: "PaymentContext"
    links: "PageLinks"
    unmatched: "UnmatchedContext"
    deliveries: "DeliveryContext"
    rate_limiter: "RateLimiter"


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """The services of one process."""
    from tael.base.transport import Transport
    from tael.payments.outcomes import initialize_metrics
    from tael.payments.verification import AnswerChecks

    clock = clock_of(settings)
    async with (
        _open_traces(settings),
        open_store(settings, limits_of(settings)) as store,
        open_channels(settings, clock, AnswerChecks(store.incidents, clock).note) as channels,
        Transport(settings.webhook_egress) as to_merchants,
    ):
        initialize_metrics(channels)
        yield services_over(
            store,
            channels,
            to_merchants,
            clock,
            settings.public_url,
            takes_published_key=settings.takes_published_key,
            settings_cache_s=settings.settings_cache_s,
            rate_limits=settings.rate_limits,
        )


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
    """The services over opened parts."""
    from tael.payments.page_links import PageLinks
    from tael.qfpay.webhook_bodies import WebhookRenderer
    from tael.unmatched.advance import UnmatchedContext
    from tael.webhooks.delivery import DeliveryContext

    payments = payments_over(
        store,
        channels,
        clock,
        public_url,
        takes_published_key=takes_published_key,
        settings_cache_s=settings_cache_s,
    )
    credentials = payments.wallets.credentials
    renderer = WebhookRenderer(store.payments, store.refunds)
    return Services(
        store=store,
        payments=payments,
        links=PageLinks(public_url, store.link_keys, clock, settings_cache_s),
        unmatched=UnmatchedContext(payments, store.unmatched_payments),
        deliveries=DeliveryContext(store.webhooks, credentials, renderer, to_merchants, clock),
        rate_limiter=rate_limiter_over(store, clock, rate_limits),
    )


def rate_limiter_over(
    store: Store, clock: Clock, defaults: RateLimits, max_wait_s: float | None = None
) -> "RateLimiter":
    """The limits of requests that this process shares with all others on the same database."""
    from tael.merchants.rate_limit_totals import RateLimitTotals
    from tael.merchants.rate_limiter import MAX_WAIT_S, RateLimiter
    from tael.merchants.store.rate_limits import RateLimitRows

    rows = RateLimitRows(store.database, max_wait_s or MAX_WAIT_S)
    return RateLimiter(rows.grant, RateLimitTotals(rows), clock, defaults)


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
    services: Services,
    max_form_bytes: int | None = None,
    max_per_second_of_address: int = 0,
    admission: Admission | None = None,
    *,
    serves_health: bool = True,
) -> "Application":
    """The application of an API process. `max_per_second_of_address` 0 is no limit."""
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
    from tael.api.exchange import Access
    from tael.api.request_body import MAX_FORM_BYTES
    from tael.cashier import pages as cashier
    from tael.cashier.context import CashierContext
    from tael.merchants.sign_up import SignUpContext
    from tael.oauth.context import OAuthContext

    store, payments, links = services.store, services.payments, services.links
    permitting = OAuthContext(
        store.users, store.grants, store.sign_in_attempts, payments.wallets.credentials, payments.clock
    )
    admission = admission or Admission()
    access = Access(
        payments.wallets.credentials,
        payments.clock,
        store.database.limits.call_s,
        max_form_bytes or MAX_FORM_BYTES,
        AddressGuard(max_per_second_of_address, payments.clock),
        services.rate_limiter,
        permitting,
        admission,
    )
    applying = SignUpContext(
        store.merchants,
        store.applications,
        store.document_files,
        payments.wallets.credentials,
    )
    return Application(
        (
            *trade.calls(payments, links, store.settlements),
            *settlements.calls(store.settlements),
            *trade_bill.calls(
                trade_bill.BillContext(store.database, store.transactions, store.settlements, payments.clock)
            ),
            *sign_up.calls(applying),
            *openids.calls(payments.wallets),
            *users.calls(payments),
            checkout.opening(payments, links.site),
        ),
        access,
        [
            *sign_up.routes(),
            *oauth.routes(permitting, access),
            *notices.routes(payments),
            *(health_routes(services, admission) if serves_health else ()),
            *cashier.routes(CashierContext(payments, links, permitting)),
        ],
    )


def ops_application(
    services: Services, is_stopping: Callable[[], bool], admission: Admission | None = None
) -> "Starlette":
    """The application of a process's operations port. `admission` is that of its merchants' calls, if it serves any."""
    from starlette.applications import Starlette

    app = Starlette(routes=health_routes(services, admission, is_stopping))
    app.router.redirect_slashes = False
    return app


def health_routes(
    services: Services, admission: Admission | None, is_stopping: Callable[[], bool] = lambda: False
) -> "list[BaseRoute]":
    """/healthz, /readyz and /metrics of this process."""
    from tael.api import health

    store = services.store
    return health.routes(
        store.database,
        store.incidents,
        store.accounts,
        store.unmatched_payments,
        store.differences,
        services.rate_limiter.totals,
        store.due_work,
        admission,
        services.payments.clock,
        is_stopping,
    )


def all_jobs(services: Services) -> "list[Job[Any]]":
    """The jobs of a worker process."""
    from tael.jobs.certificates import certificate_job
    from tael.jobs.daily_close import daily_close_job
    from tael.jobs.oauth_removal import oauth_removal_job
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
        webhook_job(services.deliveries),
        daily_close_job(store.ledger_digests, clock),
        certificate_job(store.accounts, store.incidents, clock),
        oauth_removal_job(store.oauth_removals, clock),
        *statement_jobs(scheduled),
        *reconciliation_jobs(reconciliation_over(store, services.payments), store.statements.due),
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
    """What the use cases of payments depend on."""
    from tael.merchants.credential_cache import CredentialCache
    from tael.payments.context import InFlightRequests, PaymentContext
    from tael.payments.wallets import Wallets

    credentials = CredentialCache(
        store.merchants,
        store.accounts,
        store.maintenance_windows,
        takes_published_key=takes_published_key,
        ttl_s=settings_cache_s,
    )
    return PaymentContext(store, Wallets(channels, credentials, public_url), clock, InFlightRequests())


async def work_until(stop: asyncio.Event, services: Services) -> None:
    """Run every job until `stop` is set."""
    from tael.base.exposition import register
    from tael.jobs.runner import run_for_ever

    register()
    await run_for_ever(all_jobs(services), services.payments.clock, stop, services.store.due_work.queues)
