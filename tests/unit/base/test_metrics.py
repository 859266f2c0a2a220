"""What Prometheus reads of counters, histograms and gauges, and that the table of metrics is complete."""

import shutil
import subprocess

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from tael.api import health
from tael.base import metrics
from tael.base.exposition import family_of, register
from tael.base.metrics import (
    FIGURES,
    INSTRUMENTS,
    ROW_BOUNDS,
    Counter,
    Definition,
    Gauge,
    Histogram,
    Instrument,
    Kind,
)

UNITS = ("_seconds", "_minor", "_rows")


class Only:
    """A collector of one instrument."""

    def __init__(self, instrument: Instrument) -> None:
        self._family = family_of(instrument)

    def collect(self) -> list[object]:
        return [self._family]


def exposed(instrument: Instrument) -> list[str]:
    """The samples, without those about the creation of a series."""
    registry = CollectorRegistry()
    registry.register(Only(instrument))  # type: ignore[arg-type]
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_a_counter_adds_up_each_combination_of_labels() -> None:
    counter = Counter("rows_total", "rows", "job", "result")
    counter.count("polling", "done")
    counter.count("polling", "done", number=3)
    counter.count("polling", "failed")
    assert exposed(counter) == [
        'rows_total{job="polling",result="done"} 4.0',
        'rows_total{job="polling",result="failed"} 1.0',
    ]


def test_the_buckets_of_a_histogram_are_cumulative_and_include_their_bounds() -> None:
    histogram = Histogram("wait_seconds", (0.5, 1.0, 2.5), "waits", "pool")
    for seconds in (0.5, 0.75, 2.0, 2.5, 8.0):
        histogram.observe(seconds, "rest")
    assert exposed(histogram) == [
        'wait_seconds_bucket{le="0.5",pool="rest"} 1.0',
        'wait_seconds_bucket{le="1.0",pool="rest"} 2.0',
        'wait_seconds_bucket{le="2.5",pool="rest"} 4.0',
        'wait_seconds_bucket{le="+Inf",pool="rest"} 5.0',
        'wait_seconds_count{pool="rest"} 5.0',
        'wait_seconds_sum{pool="rest"} 13.75',
    ]


def test_an_initialized_series_begins_at_0_and_one_that_exists_is_kept() -> None:
    counter, histogram = (
        Counter("rows_total", "rows", "job"),
        Histogram("wait_seconds", (0.5,), "waits", "pool"),
    )
    counter.count("polling")
    histogram.observe(8.0, "rest")
    for label in ("polling", "webhooks"):
        counter.initialize(label)
    for label in ("rest", "batch"):
        histogram.initialize(label)
    assert exposed(counter) == ['rows_total{job="polling"} 1.0', 'rows_total{job="webhooks"} 0.0']
    assert exposed(histogram) == [
        'wait_seconds_bucket{le="0.5",pool="rest"} 0.0',
        'wait_seconds_bucket{le="+Inf",pool="rest"} 1.0',
        'wait_seconds_count{pool="rest"} 1.0',
        'wait_seconds_sum{pool="rest"} 8.0',
        'wait_seconds_bucket{le="0.5",pool="batch"} 0.0',
        'wait_seconds_bucket{le="+Inf",pool="batch"} 0.0',
        'wait_seconds_count{pool="batch"} 0.0',
        'wait_seconds_sum{pool="batch"} 0.0',
    ]


def test_a_gauge_is_read_at_each_scrape_and_the_last_reader_counts() -> None:
    gauge, waiting = Gauge("waiting", "calls", "protocol"), [1]
    gauge.watch(lambda: 99, "wechat_v2")
    gauge.watch(lambda: len(waiting), "wechat_v2")
    assert exposed(gauge) == ['waiting{protocol="wechat_v2"} 1.0']
    waiting.append(2)
    assert exposed(gauge) == ['waiting{protocol="wechat_v2"} 2.0']


def test_every_metric_is_in_the_table_once() -> None:
    defined = [
        value
        for value in vars(metrics).values()
        if isinstance(value, Counter | Gauge | Histogram | Definition)
    ]
    assert set(map(id, defined)) == {id(each) for each in (*INSTRUMENTS, *FIGURES)}
    names = [each.name for each in definitions()]
    assert len(names) == len(set(names))


def test_what_is_registered_is_what_the_table_has() -> None:
    """With the types and the help."""
    register()
    assert health.QUEUES is not None
    families = {
        (family.name + "_total" * (family.type == "counter"), family.type, family.documentation)
        for family in REGISTRY.collect()
        if family.name.startswith("tael_")
    }
    assert families == {(each.name, each.kind.value, each.help) for each in definitions()}


@pytest.mark.parametrize("definition", [*(each.definition for each in INSTRUMENTS), *FIGURES])
def test_names_follow_the_conventions_of_prometheus(definition: Definition) -> None:
    """https://prometheus.io/docs/practices/naming/: counters end with `_total`, and durations are in seconds.

    `job` and `instance` are labels of the scraped target.
    """
    assert definition.name.startswith("tael_")
    assert definition.name.endswith("_total") == (definition.kind is Kind.COUNTER)
    if definition.kind is Kind.HISTOGRAM:
        assert definition.name.endswith(UNITS)
    assert not set(definition.labels) & {
        "mchid",
        "account_id",
        "appcode",
        "syssn",
        "url",
        "peer",
        "le",
        "job",
        "instance",
    }


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is missing (Debian: prometheus)")
def test_promtool_has_nothing_against_the_exposition() -> None:
    register()
    metrics.BATCH_ROWS.observe(ROW_BOUNDS[0], "test")
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=generate_latest(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    # The metrics of the process itself have names that its linter knows nothing about.
    assert [line for line in done.stdout.decode().splitlines() if line.startswith("tael_")] == []
    assert [line for line in done.stderr.decode().splitlines() if line.startswith("tael_")] == []


def definitions() -> list[Definition]:
    return [*(each.definition for each in INSTRUMENTS), *FIGURES]
