"""`make scale` pays in every cell, with the same number of callers in each."""

import shutil
from pathlib import Path

import psycopg
import pytest

from bench import cluster, scale
from bench.figures import Figures

CALLERS = 3
#: Of a cell's payments.
PAID = "SELECT mchid, count(*) FROM cell_{:02d}.payment WHERE state = 'PAID' GROUP BY mchid"


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_the_callers_of_each_merchant_pay_in_its_cell(readable_folder: Path) -> None:
    with cluster.running(readable_folder) as server:
        deployment = scale.deployment_of(server, 2)
        cost = scale.measure(server, deployment, CALLERS, 1, Figures())
        with psycopg.connect(deployment.url) as connection:
            paid = [connection.execute(PAID.format(cell)).fetchall() for cell in (0, 1)]
    (first, in_first), (second, in_second) = (rows for (rows,) in paid)
    assert [first, second] == deployment.mchids
    # Also in the database: the warm-up, and what was under way at the end.
    assert in_first + in_second > cost.payments_per_s > 0
    # A caller has one payment at a time.
    assert 1 <= cost.payments_per_batch <= CALLERS
    assert min(cost.api_us, cost.postgres_us) > 0
