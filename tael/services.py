"""Builds what a process runs on: once what all cells share, then the services in each.

A function imports what it joins, so that a process loads only its own part: a command the store, a worker no API.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self

from tael.base.clock import Clock, DemoClock, RealClock
from tael.config import DEFAULT_SETTINGS_CACHE_S, Settings
from tael.db.cells import FIRST, PerCell
from tael.incidents.store.incidents import Incidents
from tael.merchants.domain.rate_limits import NO_LIMITS, RateLimits
from tael.operations.store import Store
from tael.stores import limits_of, open_stores

if TYPE_CHECKING:
    from tael.base.transport import Transport
    from tael.channels.base import Channel, NoteAnswer
    from tael.merchants.rate_limit_totals import RateLimitTotals
    from tael.merchants.rate_limiter import RateLimiter
    from tael.payments.context import PaymentContext
    from tael.payments.page_links import PageLinks
    from tael.payments.wallets import Wallets
    from tael.reconciliation.runs import ReconciliationContext
    from tael.unmatched.advance import UnmatchedContext
    from tael.webhooks.delivery import DeliveryContext


def clock_of(settings: Settings) -> Clock:
    """The system clock, or in a demo the one that the sandbox controls."""
    return DemoClock(settings.clock_file) if settings.clock_file else RealClock()


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """The settings that the services of all cells have in common."""

    public_url: str
    takes_published_key: bool = False
    settings_cache_s: float = DEFAULT_SETTINGS_CACHE_S
    rate_limits: RateLimits = NO_LIMITS

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(
            settings.public_url,
            settings.takes_published_key,
            settings.settings_cache_s,
            settings.rate_limits,
        )


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
            shared = shared_over(stores.first, channels, to_merchants, clock, ServiceSettings.of(settings))
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


def _to_wallet(settings: Settings, protocol: str) -> "Transport":
    """A pool of its own for each protocol, so that a hanging wallet cannot exhaust another's connections."""
    from tael.base.transport import Transport

    return Transport(
        connections=settings.wallet_connections,
        wait_s=settings.wallet_wait_s,
        proxy=settings.wallet_proxy,
        protocol=protocol,
    )


def services_over(
    store: Store,
    channels: "Mapping[str, Channel]",
    to_merchants: "Transport",
    clock: Clock,
    settings: ServiceSettings,
) -> Services:
    """The services of a deployment with one cell, over opened parts."""
    return services_in(store, shared_over(store, channels, to_merchants, clock, settings))


def shared_over(
    store: Store,
    channels: "Mapping[str, Channel]",
    to_merchants: "Transport",
    clock: Clock,
    settings: ServiceSettings,
) -> Shared:
    """What all cells have in common, over opened parts. `store` is that of the first."""
    from tael.merchants.rate_limit_totals import RateLimitTotals
    from tael.merchants.rate_limiter import MAX_WAIT_S
    from tael.merchants.store.rate_limits import RateLimitRows
    from tael.payments.page_links import PageLinks

    wallets = _wallets_over(store, channels, settings)
    links = PageLinks(settings.public_url, store.link_keys, clock, settings.settings_cache_s)
    totals = RateLimitTotals(RateLimitRows(store.database, MAX_WAIT_S))
    return Shared(wallets, links, to_merchants, clock, settings.rate_limits, totals)


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


def payments_over(
    store: Store, channels: "Mapping[str, Channel]", clock: Clock, settings: ServiceSettings
) -> "PaymentContext":
    """What the use cases of payments depend on, in one cell."""
    from tael.payments.context import InFlightRequests, PaymentContext

    return PaymentContext(store, _wallets_over(store, channels, settings), clock, InFlightRequests())


def reconciliation_over(store: Store, payments: "PaymentContext") -> "ReconciliationContext":
    from tael.reconciliation.runs import ReconciliationContext

    return ReconciliationContext(payments, store.reconciliations, store.differences)


def _wallets_over(store: Store, channels: "Mapping[str, Channel]", settings: ServiceSettings) -> "Wallets":
    from tael.merchants.credential_cache import CredentialCache
    from tael.payments.wallets import Wallets

    credentials = CredentialCache(
        store.merchants,
        store.accounts,
        store.maintenance_windows,
        takes_published_key=settings.takes_published_key,
        ttl_s=settings.settings_cache_s,
    )
    return Wallets(channels, credentials, settings.public_url)
