"""/healthz: this process is running. /readyz: the database accepts writes. /metrics: for Prometheus.

A process whose jobs or whose public port end, ends: a worker needs no other sign of life.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache, partial
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tael.base import metrics
from tael.base.admission import Admission
from tael.base.clock import Clock
from tael.base.exposition import counter, gauge, register
from tael.db.database import Database, StoreUnavailable, budget
from tael.db.due_work import DueWork
from tael.db.readiness import Readiness
from tael.incidents.domain.incident import IncidentKind
from tael.incidents.store.incidents import Incidents
from tael.merchants.domain.rate_limits import Limit
from tael.merchants.rate_limit_totals import SHED, UNCHECKED, RateLimitTotals
from tael.merchants.store.accounts import Accounts, CertificateFigure
from tael.reconciliation.domain.difference import DifferenceKind
from tael.reconciliation.store.differences import Differences
from tael.unmatched.store.unmatched import UnmatchedFigure, UnmatchedPayments

#: Why a process is not ready that was asked to end, in the form of the database's reasons.
STOPPING: Final = "Stopping"
#: How long the ages of due rows are reported before they are read again: a queue may be long.
OLDEST_DUE_S: Final = 15.0


class IncidentFigures(Collector):
    """Incidents as counted in the database: every process reports the same figures."""

    def __init__(self) -> None:
        self.counts: Mapping[IncidentKind, tuple[int, int]] = {}

    def collect(self) -> Iterator[Metric]:
        open_now = gauge(metrics.INCIDENTS_OPEN)
        open_now.add_metric((), sum(counts[1] for counts in self.counts.values()))
        yield open_now
        unverified = gauge(metrics.ACCOUNTS_UNVERIFIED)
        unverified.add_metric((), self.counts.get(IncidentKind.ANSWERS_UNVERIFIED, (0, 0))[1])
        yield unverified
        total = counter(metrics.INCIDENTS)
        for kind in IncidentKind:
            total.add_metric([kind.value], self.counts.get(kind, (0, 0))[0])
        yield total


class UnmatchedFigures(Collector):
    """Unmatched payments that are booked and not finally decided, as counted in the database."""

    def __init__(self) -> None:
        self.figures: Sequence[UnmatchedFigure] = ()
        self.now: datetime | None = None  #: of the figures, by the gateway's clock

    def collect(self) -> Iterator[Metric]:
        amount, oldest = gauge(metrics.UNMATCHED_AMOUNT), gauge(metrics.UNMATCHED_OLDEST)
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
        open_now = gauge(metrics.DIFFERENCES_OPEN)
        for kind in DifferenceKind:
            open_now.add_metric([kind.value], self.counts.get(kind, 0))
        yield open_now


class RateLimitFigures(Collector):
    """What the limits of requests did, as counted in the database."""

    def __init__(self) -> None:
        self.totals: Mapping[str, int] = {}

    def collect(self) -> Iterator[Metric]:
        refused = counter(metrics.RATE_LIMITED)
        for limit in Limit:
            refused.add_metric([limit.value], self.totals.get(limit.value, 0))
        yield refused
        for definition, result in ((metrics.UNCHECKED, UNCHECKED), (metrics.CALLS_SHED, SHED)):
            total = counter(definition)
            total.add_metric((), self.totals.get(result, 0))
            yield total


class CertificateFigures(Collector):
    """The certificates of wallet accounts, by protocol, as stored in the database."""

    def __init__(self) -> None:
        self.figures: Sequence[CertificateFigure] = ()
        self.now: datetime | None = None  #: of the figures, by the gateway's clock

    def collect(self) -> Iterator[Metric]:
        earliest, expiring = gauge(metrics.CERTIFICATE_EXPIRES), gauge(metrics.CERTIFICATES_EXPIRING)
        for figure in self.figures:
            if self.now is not None:
                earliest.add_metric([figure.protocol], (figure.earliest - self.now).total_seconds())
            expiring.add_metric([figure.protocol], figure.expiring)
        yield earliest
        yield expiring


class QueueFigures(Collector):
    """For how long the oldest row of each queue has been due, by the gateway's clock."""

    def __init__(self) -> None:
        self.ages_s: Mapping[str, float] = {}
        self._read_at_s: float | None = None

    def collect(self) -> Iterator[Metric]:
        oldest = gauge(metrics.QUEUE_OLDEST_DUE)
        for queue, age_s in self.ages_s.items():
            oldest.add_metric([queue], age_s)
        yield oldest

    async def read(self, due_work: DueWork, now: datetime) -> None:
        """Read them again, unless they are new. Raises StoreUnavailable."""
        now_s = asyncio.get_running_loop().time()
        if self._read_at_s is not None and 0 <= now_s - self._read_at_s < OLDEST_DUE_S:
            return
        due_since = await due_work.oldest_due(now, datetime.now(UTC))
        self.ages_s = {
            queue: 0.0 if since is None else (now - since).total_seconds()
            for queue, since in due_since.items()
        }
        self._read_at_s = now_s


CERTIFICATES: Final = CertificateFigures()
DIFFERENCES: Final = DifferenceFigures()
INCIDENTS: Final = IncidentFigures()
RATE_LIMITS: Final = RateLimitFigures()
QUEUES: Final = QueueFigures()
UNMATCHED: Final = UnmatchedFigures()
for collector in (CERTIFICATES, DIFFERENCES, INCIDENTS, QUEUES, RATE_LIMITS, UNMATCHED):
    REGISTRY.register(collector)


def routes(
    database: Database,
    incidents: Incidents,
    accounts: Accounts,
    unmatched: UnmatchedPayments,
    differences: Differences,
    rate_limit_totals: RateLimitTotals,
    due_work: DueWork,
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

    register()
    if admission is not None:
        places = admission
        metrics.CALLS_IN_PROGRESS.watch(lambda: places.in_progress)
        metrics.CALLS_WAITING.watch(lambda: places.waiting)

    async def metrics_page(_: Request) -> Response:
        ready = 0 if await unready() else 1
        metrics.READY.watch(lambda: ready)
        now = clock.now()
        # If they cannot be counted now, the last figures are reported.
        with suppress(StoreUnavailable), budget(database.limits.probe_s):
            INCIDENTS.counts = await incidents.counts()
            DIFFERENCES.counts = await differences.counts()
            UNMATCHED.figures = await unmatched.figures()
            UNMATCHED.now = CERTIFICATES.now = now
            CERTIFICATES.figures = await accounts.certificate_figures(now)
            RATE_LIMITS.totals = await rate_limit_totals.read()
            await QUEUES.read(due_work, now)
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return [
        Route("/healthz", _healthz, methods=["GET"]),
        Route("/readyz", partial(_readyz, unready=unready), methods=["GET"]),
        Route("/metrics", metrics_page, methods=["GET"]),
    ]


async def _healthz(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _readyz(_: Request, unready: Callable[[], Awaitable[str]]) -> Response:
    reason = await unready()
    if not reason:
        return JSONResponse({"status": "ready"})
    status = "this process is stopping" if reason == STOPPING else "the database takes no writes"
    return JSONResponse({"status": status, "reason": reason}, 503)
