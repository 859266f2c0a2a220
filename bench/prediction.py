"""How many payments per second a deployment with several database nodes takes, computed from what a payment costs.

Arithmetic, not a measurement: an upper bound, since nothing waits for anything else in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

NODES: Final = (1, 2, 4, 8)
#: A payment is a row of the batch that opens it, and a row of the one that records its outcome.
BATCHES_OF_A_PAYMENT: Final = 2


@dataclass(frozen=True, slots=True)
class Costs:
    """Of a payment, in microseconds of CPU time."""

    postgres_us: float  #: with one cell
    api_us: Mapping[int, float]  #: by the number of cells that an API process pays in
    rows_per_batch: float

    def api_us_with(self, cells: int) -> float:
        """With so many cells, or as many as were measured."""
        return self.api_us[max(number for number in self.api_us if number <= cells)]


@dataclass(frozen=True, slots=True)
class Machines:
    """What the payments are made with."""

    node_cores: int  #: of each database node
    node_flushes_per_s: int  #: of the disk of each
    api_cores: int  #: of all API processes together


@dataclass(frozen=True, slots=True)
class Prediction:
    """Payments per second that each part takes with so many nodes."""

    nodes: int
    limits: Mapping[str, float]

    @property
    def per_second(self) -> float:
        return self.limits[self.saturated_first]

    @property
    def saturated_first(self) -> str:
        return min(self.limits, key=self.limits.__getitem__)


def predict(costs: Costs, machines: Machines, nodes: int) -> Prediction:
    """With one cell on each node."""
    return Prediction(
        nodes,
        {
            "PostgreSQL": nodes * machines.node_cores * 1e6 / costs.postgres_us,
            "disks": nodes * machines.node_flushes_per_s * costs.rows_per_batch / BATCHES_OF_A_PAYMENT,
            "API": machines.api_cores * 1e6 / costs.api_us_with(nodes),
        },
    )


def shown(costs: Costs, machines: Machines, predictions: Sequence[Prediction]) -> str:
    """The assumptions, and a line for each number of nodes."""
    most, each = max(costs.api_us), machines
    return "\n".join(
        [
            "predicted payments per second, if there are",
            f"  {each.node_cores} cores, {each.node_flushes_per_s} flushes a second, one cell for each database node,",
            f"  {each.api_cores} cores for API processes (their CPU time with more than {most} cells: as with {most}),",
            f"  batches of {costs.rows_per_batch:.1f} rows, as measured with one cell, and a flush for each commit,",
            "  the same load on each cell, none on the directory, no network latency, no other work on these cores:",
            f"{'nodes':>5}{'PostgreSQL':>12}{'disks':>10}{'API':>10}{'predicted':>11}   saturated first",
            *map(_line, predictions),
        ]
    )


def _line(prediction: Prediction) -> str:
    limits = "".join(
        f"{limit:>{width}.0f}" for limit, width in zip(prediction.limits.values(), (12, 10, 10), strict=True)
    )
    return f"{prediction.nodes:>5}{limits}{prediction.per_second:>11.0f}   {prediction.saturated_first}"
