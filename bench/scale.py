"""What cells cost, and how a deployment grows with database nodes: `make scale`.

    python -m bench.scale [--rounds 5] [--seconds 10] [--callers 32] [--against FOLDER]
                          [--node-cores 4] [--node-flushes 10000] [--api-cores 64] [--folder .bench]

One API process pays in 1, 2 and 4 cells, schemas of one private PostgreSQL. Each cell has one merchant with the same
number of callers, so batches have about the same size. The wallet is answered at the transport port. Each round
measures every number of cells once, in an order of its own; with `--against` also the code of an earlier checkout that
has no cells. The last line is JSON:

    cells                     for each number of cells, medians: CPU microseconds of a payment in the API process and in
                              PostgreSQL, payments per batch, and payments per second
    cpu_ratio_plain           CPU of both with 2 cells, divided by that with 1 in the same round
    cpu_ratio_split           with `--against`: that with 1 cell, divided by that of the other checkout
    predicted_payments_per_s  by the number of database nodes; `saturated_first` names what limits them
"""

import argparse
import asyncio
import json
import random
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench import closed_load, cluster, prediction, processes, rates, requests, rig, setup
from bench.cluster import Server
from bench.figures import Figures, table
from bench.prediction import Costs, Machines, Prediction
from bench.processes import ROOT
from tael_demo.cells import migrate_cells

FOLDER: Final = Path(".bench")
CELLS: Final = (1, 2, 4)
PREPARE_S: Final = 120
#: Rows and number of the batches that open payments and record their outcomes. An earlier checkout has two kinds.
BATCHES: Final = re.compile(
    r'^tael_batch_rows_(sum|count)\{batch="(?:write|open|record)_payment"\} (\S+)$', re.MULTILINE
)
#: With the code of another checkout, which has no cells.
PREPARE: Final = """
import asyncio, sys
from bench import setup
from tael.db.migrate import migrate
migrate(sys.argv[1])
asyncio.run(setup.add_merchant(sys.argv[1], sys.argv[2]))
"""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A database with a merchant in each cell, and the code that pays in it."""

    name: str
    url: str
    mchids: Sequence[str]
    checkout: Path = ROOT


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a payment in one round."""

    api_us: float
    postgres_us: float
    payments_per_batch: float
    payments_per_s: float

    @property
    def cpu_us(self) -> float:
        return self.api_us + self.postgres_us


def main() -> None:
    parser = argparse.ArgumentParser("bench.scale", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=10, help="of each measurement")
    parser.add_argument("--callers", type=int, default=32, help="of each cell")
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="a checkout of code without cells")
    parser.add_argument("--node-cores", type=int, default=4, help="of each predicted database node")
    parser.add_argument("--node-flushes", type=int, default=10_000, help="a second, of the disk of each")
    parser.add_argument("--api-cores", type=int, default=64, help="of all predicted API processes")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    chosen = parser.parse_args()
    closed_load.check_tool()
    figures = Figures()
    with cluster.running(chosen.folder) as server:
        print(rig.shown(rig.rig_of(server.url, chosen.folder)), flush=True)
        deployments = [deployment_of(server, cells) for cells in CELLS]
        if chosen.against:
            deployments.append(earlier_deployment(server, chosen.against.resolve()))
        for number in range(chosen.rounds):
            print(f"round {number + 1} of {chosen.rounds}", flush=True)
            measure_round(server, deployments, number, chosen.callers, chosen.seconds, figures)
    print(report(figures, Machines(chosen.node_cores, chosen.node_flushes, chosen.api_cores)))


def report(figures: Figures, machines: Machines) -> str:
    """The figures, the prediction, and the line of JSON."""
    summary = figures.summary()
    costs = costs_in(summary)
    predictions = [prediction.predict(costs, machines, nodes) for nodes in prediction.NODES]
    lines = (table(dict(sorted(summary.items()))), "", prediction.shown(costs, machines, predictions), "")
    return "\n".join([*lines, json.dumps(result(summary, predictions))])


# ---- deployments ------------------------------------------------------------------------------------------------


def deployment_of(server: Server, cells: int) -> Deployment:
    """A new database with so many cells."""
    url = cluster.create(server, f"scale_{cells}")
    migrate_cells(url, cells)
    return Deployment(_name_of(cells), url, asyncio.run(setup.add_merchants(url, cells)))


def earlier_deployment(server: Server, checkout: Path) -> Deployment:
    """A new database of the code in `checkout`."""
    url = cluster.create_empty(server, "scale_earlier")
    command = [processes.python_of(checkout), "-c", PREPARE, url, setup.NOWHERE]
    subprocess.run(command, cwd=checkout, check=True, timeout=PREPARE_S)
    return Deployment("earlier", url, [setup.MCHID], checkout)


def _name_of(cells: int) -> str:
    return f"cells_{cells}"


# ---- measurements -----------------------------------------------------------------------------------------------


def measure_round(
    server: Server,
    deployments: Sequence[Deployment],
    number: int,
    callers: int,
    seconds: int,
    figures: Figures,
) -> None:
    """Each deployment once, in an order of this round."""
    in_turn = random.Random(number).sample(deployments, len(deployments))
    add_ratios({each.name: measure(server, each, callers, seconds, figures) for each in in_turn}, figures)


def add_ratios(costs: Mapping[str, Cost], figures: Figures) -> None:
    """Of one round, by the deployment's name."""
    figures.add_ratio("cpu_ratio_plain", costs["cells_2"].cpu_us, costs["cells_1"].cpu_us)
    if earlier := costs.get("earlier"):
        figures.add_ratio("cpu_ratio_split", costs["cells_1"].cpu_us, earlier.cpu_us)


def measure(server: Server, deployment: Deployment, callers: int, seconds: int, figures: Figures) -> Cost:
    """So many callers of each merchant, with a new API process."""
    cluster.checkpoint(server)
    environment, log = environment_of(deployment, callers), server.folder / "api.log"
    with processes.api(1, environment, log, 0, deployment.checkout) as api:
        files = _write_payments(server.folder, deployment.mchids, rates.WARM_UP_S)
        closed_load.run_files(api.url, files, callers, rates.WARM_UP_S)
        files = _write_payments(server.folder, deployment.mchids, seconds)
        rows, batches = _batches(api.url)
        found = rates.measured(lambda: closed_load.run_files(api.url, files, callers, seconds), api, server)
        rows_after, batches_after = _batches(api.url)
    rows, batches = rows_after - rows, batches_after - batches
    if rows < prediction.BATCHES_OF_A_PAYMENT * found.load.requests:
        raise RuntimeError(f"not every answer was a paid payment; see {log}")
    cost = Cost(found.gateway_us, found.postgres_us, rows / batches, found.load.per_second)
    for name in Cost.__dataclass_fields__:
        figures.add(f"{deployment.name}_{name}", getattr(cost, name))
    return cost


def environment_of(deployment: Deployment, callers: int) -> Mapping[str, str]:
    """With the same number of places for any number of cells."""
    # When the warm-up ends, calls are under way that the next run meets.
    places = str(2 * max(CELLS) * callers)
    return {
        **setup.environment(deployment.url, setup.NOWHERE),
        "TAEL_MAX_CONCURRENT_CALLS": places,
        "TAEL_WALLET_CONNECTIONS": places,
    }


def _write_payments(folder: Path, mchids: Sequence[str], seconds: int) -> list[Path]:
    """A file for each merchant, with more payments than are made."""
    files = [folder / f"payments-{mchid}.txt" for mchid in mchids]
    for path, mchid in zip(files, mchids, strict=True):
        requests.write_payments(path, [mchid], seconds * rates.MAX_PER_SECOND // len(mchids))
    return files


def _batches(url: str) -> tuple[float, float]:
    """Rows and number of the batches of payments so far."""
    found = BATCHES.findall(closed_load.metrics(url))
    rows, number = (sum(float(value) for kind, value in found if kind == part) for part in ("sum", "count"))
    return rows, number


# ---- results ----------------------------------------------------------------------------------------------------


def costs_in(summary: Mapping[str, Mapping[str, float]]) -> Costs:
    """The medians that a prediction needs."""
    return Costs(
        summary["cells_1_postgres_us"]["median"],
        {cells: summary[f"{_name_of(cells)}_api_us"]["median"] for cells in CELLS},
        summary["cells_1_payments_per_batch"]["median"],
    )


def result(
    summary: Mapping[str, Mapping[str, float]], predictions: Sequence[Prediction]
) -> Mapping[str, Any]:
    """The members of the last line."""
    ratios = {name: summary[name] for name in ("cpu_ratio_plain", "cpu_ratio_split") if name in summary}
    return {
        "cells": {
            str(cells): {
                name: round(summary[f"{_name_of(cells)}_{name}"]["median"], 1)
                for name in Cost.__dataclass_fields__
            }
            for cells in CELLS
        },
        **ratios,
        "predicted_payments_per_s": {str(each.nodes): round(each.per_second) for each in predictions},
        "saturated_first": {str(each.nodes): each.saturated_first for each in predictions},
    }


if __name__ == "__main__":
    main()
