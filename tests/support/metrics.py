"""Metrics of this process as Prometheus reads them, and by how much they grow in a test."""

from collections.abc import Callable

from prometheus_client import REGISTRY

from tael.base.exposition import register


def sample(name: str, **labels: str) -> float:
    """0 for a series that does not exist yet."""
    register()
    return REGISTRY.get_sample_value(name, labels) or 0.0


def growth(name: str, **labels: str) -> Callable[[], float]:
    """Returns how much the series has grown since this call."""
    before = sample(name, **labels)
    return lambda: sample(name, **labels) - before
