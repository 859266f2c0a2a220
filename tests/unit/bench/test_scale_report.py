"""`make scale` predicts what several database nodes take, and its last line is JSON."""

import json

import pytest

from bench.figures import Figures
from bench.prediction import Costs, Machines, predict
from bench.scale import Cost, add_ratios, report

COSTS = Costs(postgres_us=100, api_us={1: 400, 2: 500, 4: 800}, rows_per_batch=10)


def machines(node_cores: int = 2, node_flushes_per_s: int = 100_000, api_cores: int = 1000) -> Machines:
    """With more than enough of all that is not given."""
    return Machines(node_cores, node_flushes_per_s, api_cores)


def test_each_node_adds_the_payments_of_its_cores() -> None:
    # 10,000 payments of 100 us are one second of a core.
    found = [predict(COSTS, machines(), nodes) for nodes in (1, 2, 8)]
    assert [each.per_second for each in found] == [20_000, 40_000, 160_000]
    assert {each.saturated_first for each in found} == {"PostgreSQL"}


def test_a_payment_is_a_row_in_two_commits() -> None:
    found = [predict(COSTS, machines(node_flushes_per_s=1_000), nodes) for nodes in (1, 4)]
    assert [each.per_second for each in found] == [5_000, 20_000]
    assert {each.saturated_first for each in found} == {"disks"}


def test_nodes_add_nothing_once_the_api_processes_are_saturated() -> None:
    found = [predict(COSTS, machines(node_cores=64, api_cores=4), nodes) for nodes in (1, 2, 4, 8)]
    assert [each.per_second for each in found] == [10_000, 8_000, 5_000, 5_000]
    assert {each.saturated_first for each in found} == {"API"}


def figures(*ratios: float) -> Figures:
    found = Figures()
    for ratio in ratios:
        for cells, api_us in COSTS.api_us.items():
            found.add(f"cells_{cells}_api_us", api_us)
            found.add(f"cells_{cells}_postgres_us", 100 * cells)
            found.add(f"cells_{cells}_payments_per_batch", 10)
            found.add(f"cells_{cells}_payments_per_s", 2000)
        found.add("cpu_ratio_plain", ratio)
    return found


def test_ratios_are_of_the_cpu_time_of_both() -> None:
    found = Figures()
    costs = {"cells_1": Cost(300, 100, 9, 9), "cells_2": Cost(330, 110, 9, 9), "cells_4": Cost(9, 9, 9, 9)}
    add_ratios(costs, found)
    add_ratios({**costs, "earlier": Cost(400, 100, 9, 9)}, found)
    assert found.values == {"cpu_ratio_plain": [1.1, 1.1], "cpu_ratio_split": [0.8]}


def test_the_last_line_has_the_medians_and_the_prediction() -> None:
    last = json.loads(report(figures(1.1, 1.3, 1.2), machines()).splitlines()[-1])
    assert last["cells"]["2"] == {
        "api_us": 500,
        "postgres_us": 200,
        "payments_per_batch": 10,
        "payments_per_s": 2000,
    }
    assert list(last["cells"]) == ["1", "2", "4"]
    assert last["cpu_ratio_plain"] == {"median": 1.2, "min": 1.1, "max": 1.3, "rounds": 3}
    assert last["predicted_payments_per_s"] == {"1": 20_000, "2": 40_000, "4": 80_000, "8": 160_000}
    assert last["saturated_first"] == dict.fromkeys("1248", "PostgreSQL")


@pytest.mark.parametrize(("ratio", "is_met"), [(1.15, "yes"), (1.16, "no")])
def test_it_says_whether_two_cells_cost_at_most_15_percent_more(ratio: float, is_met: str) -> None:
    (line,) = [
        line for line in report(figures(ratio), machines()).splitlines() if line.startswith("cpu_ratio_plain")
    ]
    assert f"<= 1.15{is_met}" in line
