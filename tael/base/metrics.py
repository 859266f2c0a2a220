"""The metrics of the gateway: a table of all of them, and what this process has counted so far.

Counting takes a fraction of a microsecond and needs no library, so that no command has to load one; `exposition.py`
passes the values to prometheus_client. All are counted in the thread of the event loop. A label has few values, known
beforehand: never a merchant, an account, an address or anything else that a request chooses.

Prometheus sees no increase in the first sample of a series. So the module that knows the values of labels initializes
their series before the first event, at least those that an alert reads.
"""

import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

#: The values of a metric's labels, in their order.
Labels = tuple[str, ...]

#: Upper bounds of buckets, in seconds.
CALL_BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
STATEMENT_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
ROW_BOUNDS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


class Kind(StrEnum):
    """Prometheus's types of metrics."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric. `help` is the text in the manual and in the exposition."""

    name: str  #: with its suffix, such as `_total`; a histogram's without `_bucket`, `_sum` and `_count`
    kind: Kind
    help: str
    labels: Labels = ()


class Counter:
    """Events of this process since it began."""

    def __init__(self, name: str, help_text: str, *labels: str) -> None:
        self.definition: Final = Definition(name, Kind.COUNTER, help_text, labels)
        # Without labels there is one series, which begins at 0: its first event is an increase.
        self.values: Final[dict[Labels, int]] = {} if labels else {(): 0}

    def initialize(self, *labels: str) -> None:
        """Begin a series at 0, if there is none."""
        self.values.setdefault(labels, 0)

    def count(self, *labels: str, number: int = 1) -> None:
        self.values[labels] = self.values.get(labels, 0) + number


class Distribution:
    """The observations with the same labels: how many fell into each bucket, and their sum."""

    __slots__ = ("counts", "sum")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.sum = 0.0


class Histogram:
    """Observations of this process since it began. The last bucket has no upper bound."""

    def __init__(self, name: str, bounds: tuple[float, ...], help_text: str, *labels: str) -> None:
        self.definition: Final = Definition(name, Kind.HISTOGRAM, help_text, labels)
        self.bounds: Final = bounds
        self.values: Final[dict[Labels, Distribution]] = {}

    def initialize(self, *labels: str) -> Distribution:
        """Begin a series at 0, if there is none; returns it."""
        return self.values.setdefault(labels, Distribution(len(self.bounds) + 1))

    def observe(self, value: float, *labels: str) -> None:
        found = self.values.get(labels) or self.initialize(*labels)
        found.counts[bisect_left(self.bounds, value)] += 1
        found.sum += value

    def observe_since(self, began_s: float, *labels: str) -> None:
        """The time since `began_s`, a value of `timer_s`."""
        self.observe(timer_s() - began_s, *labels)


class Gauge:
    """Values of this process at the moment of a scrape."""

    def __init__(self, name: str, help_text: str, *labels: str) -> None:
        self.definition: Final = Definition(name, Kind.GAUGE, help_text, labels)
        self.readers: Final[dict[Labels, Callable[[], float]]] = {}

    def watch(self, read: Callable[[], float], *labels: str) -> None:
        """Report what `read` returns, in place of what was watched with the same labels."""
        self.readers[labels] = read


def timer_s() -> float:
    """The begin of a duration."""
    return time.perf_counter()


# ---- counted by each process ---------------------------------------------------------------------------------------

READY: Final = Gauge("tael_ready", "1 while this process would return 200 for `/readyz`, else 0")
DIRECTORY_UP: Final = Gauge(
    "tael_directory_up", "1 if this process could read the directory of the database a moment ago, else 0"
)
CALLS_IN_PROGRESS: Final = Gauge("tael_calls_in_progress", "merchants' calls that this process works on")
CALLS_WAITING: Final = Gauge(
    "tael_calls_waiting", "merchants' calls that wait until this process works on them"
)
CALLS: Final = Histogram(
    "tael_call_duration_seconds",
    CALL_BOUNDS_S,
    "merchants' calls, by what their response code asks the client to do: `done`, `pending`, `retry`, `unknown` or"
    " `final`. Without calls that an overload refused before their first step: `tael_calls_shed_total`",
    "call",
    "result",
)
PAYMENTS: Final = Counter(
    "tael_payment_state_changes_total", "payments that came into the state", "protocol", "state"
)
REFUNDS: Final = Counter(
    "tael_refund_state_changes_total", "refunds that came into the state", "protocol", "state"
)
REVERSALS: Final = Counter(
    "tael_reversal_state_changes_total", "reversals that came into the state", "protocol", "state"
)
WALLET_CALLS: Final = Histogram(
    "tael_wallet_call_duration_seconds",
    CALL_BOUNDS_S,
    "calls to wallets, with the wait for a connection. `operation` is the wallet's own name of the call. `result`:"
    " `answered`, `refused` (with an error code), `unverified` (the signature is missing or wrong), `unreadable`,"
    " `no_answer` (the request may have arrived) or `not_sent`",
    "protocol",
    "operation",
    "result",
)
WALLET_CALLS_WAITING: Final = Gauge(
    "tael_wallet_calls_waiting", "calls that wait for one of the connections to the wallet", "protocol"
)
WALLET_CALLS_IN_PROGRESS: Final = Gauge(
    "tael_wallet_calls_in_progress", "calls that have one of the connections to the wallet", "protocol"
)
BATCHES: Final = Histogram(
    "tael_batch_duration_seconds",
    STATEMENT_BOUNDS_S,
    "transactions that write the rows of many callers, from the first statement to the end of the commit",
    "batch",
)
BATCH_ROWS: Final = Histogram("tael_batch_rows", ROW_BOUNDS, "rows in each of these transactions", "batch")
WEBHOOK_ATTEMPTS: Final = Histogram(
    "tael_webhook_attempt_duration_seconds",
    CALL_BOUNDS_S,
    "attempts to deliver a webhook. `result`: `acknowledged`, `not_acknowledged` (any other response), `no_answer` or"
    " `not_sent`",
    "result",
)
WEBHOOKS_EXHAUSTED: Final = Counter(
    "tael_webhooks_exhausted_total", "webhooks that were given up at the end of the retry schedule"
)
JOB_ROWS_CLAIMED: Final = Counter(
    "tael_job_rows_claimed_total", "due rows that the job has claimed", "job_name"
)
JOB_ROWS: Final = Histogram(
    "tael_job_row_duration_seconds",
    CALL_BOUNDS_S,
    "due rows that the job has worked on. `result`: `done`, `failed` (a fault of ours) or `unavailable` (the database)",
    "job_name",
    "result",
)
DATABASE_CONNECTIONS: Final = Gauge(
    "tael_database_connections",
    "open connections to the database. `schema`: `public` is the directory, `cell_00` a cell. "
    "`pool`: `batch`, `pipeline`, `probe` or `rest`",
    "schema",
    "pool",
)
DATABASE_IN_USE: Final = Gauge("tael_database_connections_in_use", "those that are in use", "schema", "pool")
DATABASE_MAX: Final = Gauge("tael_database_connections_max", "how many may be open", "schema", "pool")
DATABASE_WAITING: Final = Gauge(
    "tael_database_connections_waiting", "tasks that wait for a connection", "schema", "pool"
)

Instrument = Counter | Gauge | Histogram

INSTRUMENTS: Final[tuple[Instrument, ...]] = (
    READY,
    DIRECTORY_UP,
    CALLS_IN_PROGRESS,
    CALLS_WAITING,
    CALLS,
    PAYMENTS,
    REFUNDS,
    REVERSALS,
    WALLET_CALLS,
    WALLET_CALLS_WAITING,
    WALLET_CALLS_IN_PROGRESS,
    BATCHES,
    BATCH_ROWS,
    WEBHOOK_ATTEMPTS,
    WEBHOOKS_EXHAUSTED,
    JOB_ROWS_CLAIMED,
    JOB_ROWS,
    DATABASE_CONNECTIONS,
    DATABASE_IN_USE,
    DATABASE_MAX,
    DATABASE_WAITING,
)

# ---- counted in the database: every API process reports the same ----------------------------------------------------

INCIDENTS_OPEN: Final = Definition("tael_incidents_open", Kind.GAUGE, "unresolved incidents")
INCIDENTS: Final = Definition("tael_incidents_total", Kind.COUNTER, "incidents in total, by kind", ("kind",))
ACCOUNTS_UNVERIFIED: Final = Definition(
    "tael_accounts_unverified",
    Kind.GAUGE,
    "unresolved incidents of kind `answers_unverified`, that is, accounts",
)
CERTIFICATE_EXPIRES: Final = Definition(
    "tael_certificate_expires_seconds",
    Kind.GAUGE,
    "time until the first certificate of the protocol's accounts expires, by the gateway's clock; negative if it has",
    ("protocol",),
)
CERTIFICATES_EXPIRING: Final = Definition(
    "tael_accounts_certificate_expiring",
    Kind.GAUGE,
    "accounts with a certificate that expires within 30 days, or has expired",
    ("protocol",),
)
DIFFERENCES_OPEN: Final = Definition(
    "tael_differences_open",
    Kind.GAUGE,
    "unresolved differences between statements and our records",
    ("kind",),
)
RATE_LIMITED: Final = Definition(
    "tael_rate_limited_requests_total",
    Kind.COUNTER,
    "requests refused with 429 because of the limit of a `second`, a `minute` or an `address`",
    ("limit",),
)
UNCHECKED: Final = Definition(
    "tael_rate_limit_unchecked_requests_total",
    Kind.COUNTER,
    "requests admitted without being counted, because the database was unavailable",
)
CALLS_SHED: Final = Definition(
    "tael_calls_shed_total", Kind.COUNTER, "merchants' calls refused because of an overload"
)
UNMATCHED_AMOUNT: Final = Definition(
    "tael_unmatched_amount_minor",
    Kind.GAUGE,
    "booked unmatched payments in minor units, in the states HELD, APPROVED, RETURNING and REFUSED",
    ("state", "currency"),
)
UNMATCHED_OLDEST: Final = Definition(
    "tael_unmatched_oldest_seconds",
    Kind.GAUGE,
    "how long ago the oldest of them was booked, by the gateway's clock",
    ("state", "currency"),
)
QUEUE_OLDEST_DUE: Final = Definition(
    "tael_queue_oldest_due_seconds",
    Kind.GAUGE,
    "for how long the oldest row of a job's queue has been due without being worked on; 0 if none is due. Counted"
    " again after 15 s",
    ("schema", "queue"),
)
CELL_UP: Final = Definition(
    "tael_cell_up",
    Kind.GAUGE,
    "1 if this process could write to the cell a moment ago, else 0; with `schema` `cell_00` and so on",
    ("schema",),
)

FIGURES: Final[tuple[Definition, ...]] = (
    CELL_UP,
    INCIDENTS_OPEN,
    INCIDENTS,
    ACCOUNTS_UNVERIFIED,
    CERTIFICATE_EXPIRES,
    CERTIFICATES_EXPIRING,
    DIFFERENCES_OPEN,
    RATE_LIMITED,
    UNCHECKED,
    CALLS_SHED,
    UNMATCHED_AMOUNT,
    UNMATCHED_OLDEST,
    QUEUE_OLDEST_DUE,
)
