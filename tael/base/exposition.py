"""Passes the metrics to prometheus_client, whose default registry a process serves."""

from collections.abc import Iterator
from functools import cache
from itertools import accumulate

from prometheus_client import REGISTRY
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from tael.base.metrics import INSTRUMENTS, Counter, Definition, Gauge, Histogram, Instrument


class _Instruments(Collector):
    """What this process has counted."""

    def collect(self) -> Iterator[Metric]:
        return map(family_of, INSTRUMENTS)


@cache
def register() -> None:
    """Add the metrics of this process to the default registry, once."""
    REGISTRY.register(_Instruments())


def counter(definition: Definition) -> CounterMetricFamily:
    return CounterMetricFamily(definition.name, definition.help, labels=definition.labels)


def gauge(definition: Definition) -> GaugeMetricFamily:
    return GaugeMetricFamily(definition.name, definition.help, labels=definition.labels)


def family_of(instrument: Instrument) -> Metric:
    """The samples of one metric."""
    match instrument:
        case Counter():
            return _counted(instrument)
        case Gauge():
            return _read(instrument)
        case Histogram():
            return _observed(instrument)


def _counted(instrument: Counter) -> Metric:
    family = counter(instrument.definition)
    for labels, value in instrument.values.items():
        family.add_metric(labels, value)
    return family


def _read(instrument: Gauge) -> Metric:
    family = gauge(instrument.definition)
    for labels, read in instrument.readers.items():
        family.add_metric(labels, read())
    return family


def _observed(instrument: Histogram) -> Metric:
    """Prometheus's buckets are cumulative."""
    definition = instrument.definition
    family = HistogramMetricFamily(definition.name, definition.help, labels=definition.labels)
    bounds = [*map(floatToGoString, instrument.bounds), "+Inf"]
    for labels, found in instrument.values.items():
        buckets = list(zip(bounds, accumulate(found.counts), strict=True))
        family.add_metric(labels, buckets, sum_value=found.sum)
    return family
