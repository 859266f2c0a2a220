"""/healthz: this process is running. /readyz: a cell of the database accepts writes. /metrics: for Prometheus.

A process whose jobs or whose public port end, ends: a worker needs no other sign of life.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache, partial
from itertools import chain
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
from tael.db.cells import PerCell, schema_of
from tael.db.database import StoreUnavailable, budget
from tael.db.due_work import DueWork
from tael.db.readiness import Probed, Readiness
from tael.incidents.domain.incident import IncidentKind
from tael.merchants.domain.rate_limits import Limit
from tael.merchants.rate_limit_totals import SHED, UNCHECKED, RateLimitTotals
from tael.merchants.store.accounts import CertificateFigure
from tael.operations.store import Store
from tael.reconciliation.domain.difference import DifferenceKind
from tael.unmatched.store.unmatched import UnmatchedFigure

#: Why a process is not ready that was asked to end, in the form of the database's reasons.
STOPPING: Final = "Stopping"
#: How long the ages of due rows are reported before they are read again: a queue may be long.
OLDEST_DUE_S: Final = 15.0


class IncidentFigures(Collector):
    """Incidents as counted in the database: every process reports the same figures."""

    def __init__(self) -> None:
        #: By cell, and kind: in total, and open.
        self.counts: dict[int, Mapping[IncidentKind, tuple[int, int]]] = {}

    def collect(self) -> Iterator[Metric]:
        open_now = gauge(metrics.INCIDENTS_OPEN)
        open_now.add_metric((), sum(self._sum(kind, 1) for kind in IncidentKind))
        yield open_now
        unverified = gauge(metrics.ACCOUNTS_UNVERIFIED)
        unverified.add_metric((), self._sum(IncidentKind.ANSWERS_UNVERIFIED, 1))
        yield unverified
        total = counter(metrics.INCIDENTS)
        for kind in IncidentKind:
            total.add_metric([kind.value], self._sum(kind, 0))
        yield total

    def _sum(self, kind: IncidentKind, place: int) -> int:
        return sum(counts.get(kind, (0, 0))[place] for counts in self.counts.values())


class UnmatchedFigures(Collector):
    """Unmatched payments that are booked and not finally decided, as counted in the database."""

    def __init__(self) -> None:
        self.figures: dict[int, Sequence[UnmatchedFigure]] = {}  #: by cell
        self.now: datetime | None = None  #: of the figures, by the gateway's clock

    def collect(self) -> Iterator[Metric]:
        amount, oldest = gauge(metrics.UNMATCHED_AMOUNT), gauge(metrics.UNMATCHED_OLDEST)
        amounts: Counter[tuple[str, str]] = Counter()
        oldest_at: dict[tuple[str, str], datetime] = {}
        for figure in chain.from_iterable(self.figures.values()):
            values = figure.state.value, figure.currency
            amounts[values] += figure.amount_minor
            oldest_at[values] = min(figure.oldest, oldest_at.get(values, figure.oldest))
        for values, amount_minor in amounts.items():
            amount.add_metric(values, amount_minor)
            if self.now is not None:
                oldest.add_metric(values, (self.now - oldest_at[values]).total_seconds())
        yield amount
        yield oldest


class DifferenceFigures(Collector):
    """Differences between statements and our records, as counted in the database."""

    def __init__(self) -> None:
        self.counts: dict[int, Mapping[DifferenceKind, int]] = {}  #: by cell

    def collect(self) -> Iterator[Metric]:
        open_now = gauge(metrics.DIFFERENCES_OPEN)
        for kind in DifferenceKind:
            open_now.add_metric([kind.value], sum(counts.get(kind, 0) for counts in self.counts.values()))
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
    """For how long the oldest row of each queue has been due, by the gateway's clock, in the cell with the oldest."""

    def __init__(self) -> None:
        self.ages_s: dict[str, dict[str, float]] = {}  #: by schema, and queue
        self._read_at_s: dict[str, float] = {}

    def collect(self) -> Iterator[Metric]:
        oldest = gauge(metrics.QUEUE_OLDEST_DUE)
        for schema, ages_s in self.ages_s.items():
            for queue, age_s in ages_s.items():
                oldest.add_metric([schema, queue], age_s)
        yield oldest

    async def read(self, schema: str, due_work: DueWork, now: datetime) -> None:
        """Read those of one schema again, unless they are new. Raises StoreUnavailable."""
        now_s = asyncio.get_running_loop().time()
        if 0 <= now_s - self._read_at_s.get(schema, float("-inf")) < OLDEST_DUE_S:
            return
        due_since = await due_work.oldest_due(now, datetime.now(UTC))
        self.ages_s[schema] = {
            queue: 0.0 if since is None else (now - since).total_seconds()
            for queue, since in due_since.items()
        }
        self._read_at_s[schema] = now_s


class CellFigures(Collector):
    """Which cells can be used, by the newest probe of this process."""

    def __init__(self) -> None:
        self.down: Mapping[int, str] = {}
        self.numbers: Sequence[int] = ()

    def collect(self) -> Iterator[Metric]:
        up = gauge(metrics.CELL_UP)
        for number in self.numbers:
            up.add_metric([schema_of(number)], 0 if number in self.down else 1)
        yield up


CERTIFICATES: Final = CertificateFigures()
DIFFERENCES: Final = DifferenceFigures()
INCIDENTS: Final = IncidentFigures()
RATE_LIMITS: Final = RateLimitFigures()
QUEUES: Final = QueueFigures()
UNMATCHED: Final = UnmatchedFigures()
CELLS: Final = CellFigures()
for collector in (CELLS, CERTIFICATES, DIFFERENCES, INCIDENTS, QUEUES, RATE_LIMITS, UNMATCHED):
    REGISTRY.register(collector)


def routes(
    stores: PerCell[Store],
    rate_limit_totals: RateLimitTotals,
    admission: Admission | None,
    clock: Clock,
    is_stopping: Callable[[], bool],
) -> list[BaseRoute]:
    """`admission` is that of the process's merchants' calls, if it serves any."""

    @cache
    def readiness() -> Readiness:  # created on the first request: routes may be listed without a gateway
        return Readiness(stores.first.directory, stores.map(lambda store: store.database))

    async def probed() -> Probed:
        return Probed(STOPPING) if is_stopping() else await readiness().probed()

    register()
    if admission is not None:
        places = admission
        metrics.CALLS_IN_PROGRESS.watch(lambda: places.in_progress)
        metrics.CALLS_WAITING.watch(lambda: places.waiting)

    async def metrics_page(_: Request) -> Response:
        found = await probed()
        ready = 0 if found.reason else 1
        metrics.READY.watch(lambda: ready)
        metrics.DIRECTORY_UP.watch(lambda: 0 if found.directory else 1)
        CELLS.down = found.down
        # If they cannot be counted now, the last figures are reported.
        with suppress(StoreUnavailable):
            await _read_figures(stores, rate_limit_totals, clock.now())
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return [
        Route("/healthz", _healthz, methods=["GET"]),
        Route("/readyz", partial(_readyz, probed=probed), methods=["GET"]),
        Route("/metrics", metrics_page, methods=["GET"]),
    ]


async def _read_figures(stores: PerCell[Store], rate_limit_totals: RateLimitTotals, now: datetime) -> None:
    """Each part of the database has its own time. Raises StoreUnavailable if no cells are known."""
    first = stores.first
    with suppress(StoreUnavailable), budget(first.directory.limits.probe_s):
        CELLS.numbers = await stores.numbers()
        UNMATCHED.now = CERTIFICATES.now = now
        CERTIFICATES.figures = await first.accounts.certificate_figures(now)
        await QUEUES.read(first.directory.schema, first.due_in_directory, now)
    with suppress(StoreUnavailable), budget(first.database.limits.probe_s):
        RATE_LIMITS.totals = await rate_limit_totals.read()
    for number, store in (await stores.all()).items():
        with suppress(StoreUnavailable), budget(store.database.limits.probe_s):
            INCIDENTS.counts[number] = await store.incidents.counts()
            DIFFERENCES.counts[number] = await store.differences.counts()
            UNMATCHED.figures[number] = await store.unmatched_payments.figures()
            await QUEUES.read(store.database.schema, store.due_work, now)


async def _healthz(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _readyz(_: Request, probed: Callable[[], Awaitable[Probed]]) -> Response:
    found = await probed()
    down: dict[str, object] = {"directory_down": found.directory} if found.directory else {}
    if found.down:
        down["cells_down"] = {schema_of(number): why for number, why in found.down.items()}
    if not found.reason:
        return JSONResponse({"status": "ready", **down})
    if found.reason == STOPPING:
        return JSONResponse({"status": "this process is stopping", "reason": STOPPING}, 503)
    return JSONResponse({"status": "the database takes no writes", "reason": found.reason}, 503)
