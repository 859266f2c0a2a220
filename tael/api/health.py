"""/healthz: this process is running. /readyz: the database accepts writes. /metrics: for Prometheus.

A process whose jobs or whose public port end, ends: a worker needs no other sign of life.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache, partial
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tael.base.admission import Admission
from tael.base.clock import Clock
from tael.db.database import Database, StoreUnavailable, budget
from tael.db.readiness import Readiness
from tael.incidents.domain.incident import IncidentKind
from tael.incidents.store.incidents import Incidents
from tael.merchants.domain.rate_limits import Limit
from tael.merchants.rate_limit_totals import SHED, UNCHECKED, RateLimitTotals
from tael.merchants.store.accounts import Accounts, CertificateFigure
from tael.reconciliation.domain.difference import DifferenceKind
from tael.reconciliation.store.differences import Differences
from tael.unmatched.store.unmatched import UnmatchedFigure, UnmatchedPayments

READY: Final = Gauge("tael_ready", "1 while the database takes writes, else 0")
#: Why a process is not ready that was asked to end, in the form of the database's reasons.
STOPPING: Final = "Stopping"

IN_PROGRESS: Final = Gauge("tael_calls_in_progress", "merchants' calls that this process works on")
WAITING: Final = Gauge("tael_calls_waiting", "merchants' calls that wait until this process works on them")


class IncidentFigures(Collector):
    """Incidents as counted in the database: every process reports the same figures."""

    def __init__(self) -> None:
        self.counts: Mapping[IncidentKind, tuple[int, int]] = {}

    def collect(self) -> Iterator[Metric]:
        open_now = sum(counts[1] for counts in self.counts.values())
        yield GaugeMetricFamily("tael_incidents_open", "incidents not resolved yet", open_now)
        unverified = self.counts.get(IncidentKind.ANSWERS_UNVERIFIED, (0, 0))[1]
        yield GaugeMetricFamily(
            "tael_accounts_unverified", "accounts whose wallet's responses fail verification", unverified
        )
        total = CounterMetricFamily("tael_incidents", "incidents in total, by kind", labels=["kind"])
        for kind in IncidentKind:
            total.add_metric([kind.value], self.counts.get(kind, (0, 0))[0])
        yield total


class UnmatchedFigures(Collector):
    """Unmatched payments that are booked and not finally decided, as counted in the database."""

    def __init__(self) -> None:
        self.figures: Sequence[UnmatchedFigure] = ()
        self.now: datetime | None = None  #: of the figures, by the gateway's clock

    def collect(self) -> Iterator[Metric]:
        labels = ["state", "currency"]
        amount = GaugeMetricFamily(
            "tael_unmatched_amount_minor", "unmatched payments at the wallets, in minor units", labels=labels
        )
        oldest = GaugeMetricFamily(
            "tael_unmatched_oldest_seconds", "age of the oldest of these unmatched payments", labels=labels
        )
        for figure in self.figures:
            values = [figure.state.value, figure.currency]
            amount.add_metric(values, figure.amount_minor)
            if self.now is not None:
                oldest.add_metric(values, (self.now - figure.oldest).total_seconds())
        yield amount
        yield oldest


class DifferenceFigures(Collector):
    """Differences between statements and our records, as counted in the database."""

    def __init__(self) -> None:
        self.counts: Mapping[DifferenceKind, int] = {}

    def collect(self) -> Iterator[Metric]:
        open_now = GaugeMetricFamily(
            "tael_differences_open",
            "differences between statements and our records not resolved yet, by kind",
            labels=["kind"],
        )
        for kind in DifferenceKind:
            open_now.add_metric([kind.value], self.counts.get(kind, 0))
        yield open_now


class RateLimitFigures(Collector):
    """What the limits of requests did, as counted in the database."""

    def __init__(self) -> None:
        self.totals: Mapping[str, int] = {}

    def collect(self) -> Iterator[Metric]:
        refused = CounterMetricFamily(
            "tael_rate_limited_requests", "requests that were refused with 429, by limit", labels=["limit"]
        )
        for limit in Limit:
            refused.add_metric([limit.value], self.totals.get(limit.value, 0))
        yield refused
        yield CounterMetricFamily(
            "tael_rate_limit_unchecked_requests",
            "requests that were admitted without being counted, because the database was unavailable",
            self.totals.get(UNCHECKED, 0),
        )
        yield CounterMetricFamily(
            "tael_calls_shed",
            "merchants' calls that were refused because a process could not work on more",
            self.totals.get(SHED, 0),
        )


class CertificateFigures(Collector):
    """The certificates of wallet accounts, by protocol, as stored in the database."""

    def __init__(self) -> None:
        self.figures: Sequence[CertificateFigure] = ()
        self.now: datetime | None = None  #: of the figures, by the gateway's clock

    def collect(self) -> Iterator[Metric]:
        earliest = GaugeMetricFamily(
            "tael_certificate_expires_seconds",
            "time until the first certificate of the protocol's accounts expires; negative if it has",
            labels=["protocol"],
        )
        expiring = GaugeMetricFamily(
            "tael_accounts_certificate_expiring",
            "accounts with a certificate that expires within 30 days or has expired",
            labels=["protocol"],
        )
        for figure in self.figures:
            if self.now is not None:
                earliest.add_metric([figure.protocol], (figure.earliest - self.now).total_seconds())
            expiring.add_metric([figure.protocol], figure.expiring)
        yield earliest
        yield expiring


CERTIFICATES: Final = CertificateFigures()
DIFFERENCES: Final = DifferenceFigures()
INCIDENTS: Final = IncidentFigures()
RATE_LIMITS: Final = RateLimitFigures()
UNMATCHED: Final = UnmatchedFigures()
REGISTRY.register(CERTIFICATES)
REGISTRY.register(DIFFERENCES)
REGISTRY.register(INCIDENTS)
REGISTRY.register(RATE_LIMITS)
REGISTRY.register(UNMATCHED)


def routes(
    database: Database,
    incidents: Incidents,
    accounts: Accounts,
    unmatched: UnmatchedPayments,
    differences: Differences,
    rate_limit_totals: RateLimitTotals,
    admission: Admission | None,
    clock: Clock,
    is_stopping: Callable[[], bool],
) -> list[BaseRoute]:
    """`admission` is that of the process's merchants' calls, if it serves any."""

    @cache
    def readiness() -> Readiness:  # created on the first request: routes may be listed without a gateway
        return Readiness(database)

    async def unready() -> str:
        return STOPPING if is_stopping() else await readiness().reason()

    async def metrics(_: Request) -> Response:
        READY.set(0 if await unready() else 1)
        if admission is not None:
            IN_PROGRESS.set(admission.in_progress)
            WAITING.set(admission.waiting)
        now = clock.now()
        # If they cannot be counted now, the last figures are reported.
        with suppress(StoreUnavailable), budget(database.limits.probe_s):
            INCIDENTS.counts = await incidents.counts()
            DIFFERENCES.counts = await differences.counts()
            UNMATCHED.figures = await unmatched.figures()
            UNMATCHED.now = CERTIFICATES.now = now
            CERTIFICATES.figures = await accounts.certificate_figures(now)
            RATE_LIMITS.totals = await rate_limit_totals.read()
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return [
        Route("/healthz", _healthz, methods=["GET"]),
        Route("/readyz", partial(_readyz, unready=unready), methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
    ]


async def _healthz(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _readyz(_: Request, unready: Callable[[], Awaitable[str]]) -> Response:
    reason = await unready()
    if not reason:
        return JSONResponse({"status": "ready"})
    status = "this process is stopping" if reason == STOPPING else "the database takes no writes"
    return JSONResponse({"status": status, "reason": reason}, 503)
