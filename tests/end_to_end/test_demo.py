"""The demo as a program: told once, killed, started again, and refused where it would do harm."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.end_to_end.conftest import merchant_of
from tests.end_to_end.merchant import Merchant, send
from tests.end_to_end.rig import (
    ROOT,
    Demo,
    NotStarted,
    clean_environment,
    descendants,
    eventually,
    free_port_block,
    is_alive,
)
from tests.support.postgres import open_folder

ONCE_LIMIT_S: Final = 90
#: A worker that is killed in the middle of a question keeps its row for 15 s of real time.
LEASE_S: Final = 40.0
SAID_IN_THE_TABLE: Final = (
    "paid",
    "password asked: pending",
    "password typed: paid",
    "partial refund",
    "full refund",
    "over-refund refused",
    "reversal of paid",
    "reversal of unpaid",
    "close of unpaid",
    "close of paid refused",
    "query by GET",
    "webhook, old style",
    "webhook, new style",
)


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


def test_the_whole_story_is_told_and_right(folder: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tael.cli", "demo", "--once"),
            *("--port", str(free_port_block()), "--data", str(folder)),
        ],
        cwd=ROOT,
        env=clean_environment() | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=ONCE_LIMIT_S,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    for what in SAID_IN_THE_TABLE:
        assert what in done.stdout
    for pay_type in ("800151", "800152", "800108", "800201", "800207", "800208", "800228"):
        assert pay_type in done.stdout
    assert "✗" not in done.stdout


def test_the_line_for_programs_says_everything_and_names_the_published_app_first(demo: Demo) -> None:
    first = demo.apps[0]
    assert {"appcode", "key", "mchid", "mchids", "notify_url", "return_url"} <= set(first)
    assert (first["appcode"], first["key"]) == ("123456", "123456")
    assert first["mchid"] == "eqqmYMn0Zj6pncw5ZDxjgMqbzV"


def test_the_line_for_programs_has_three_apps_and_the_first_merchant_of_each(demo: Demo) -> None:
    assert sorted(len(app["mchids"]) for app in demo.apps) == [1, 1, 2]
    assert all(app["mchid"] == app["mchids"][0] for app in demo.apps)
    assert len({app["appcode"] for app in demo.apps}) == 3


def test_health_and_readiness_answer(demo: Demo) -> None:
    assert send(demo.gateway, "GET", "/healthz").status == 200
    assert send(demo.gateway, "GET", "/readyz").status == 200


def test_a_second_start_on_the_same_data_is_refused_in_one_sentence(demo: Demo, shop: Merchant) -> None:
    with pytest.raises(NotStarted) as refused:
        Demo.start(demo.folder)

    said = str(refused.value).strip()
    assert said.startswith("tael: ")
    assert str(demo.folder) in said
    assert "Traceback" not in said
    assert len(said.splitlines()) == 1
    assert shop.open("800208").respcd == "0000"


def test_a_taken_port_is_refused_in_one_sentence(demo: Demo, folder: Path) -> None:
    with pytest.raises(NotStarted) as refused:
        Demo.start(folder, demo.port)

    said = str(refused.value).strip()
    assert said.startswith(f"tael: port {demo.port} is taken")
    assert len(said.splitlines()) == 1


def test_a_killed_demo_leaves_nothing_behind_and_starts_again_with_everything(folder: Path) -> None:
    demo = Demo.start(folder)
    try:
        demo.advance(3600)
        shop = merchant_of(demo, "published")
        paid, pending = shop.paid("800208"), shop.pending("800201")
        waiting = shop.open("800208", "password")
        before = [shop.row(opened["syssn"]) for opened in (paid, pending, waiting)]
        time_before = demo.now()
        below = descendants(demo.process.pid)
        assert len(below) >= 5  # PostgreSQL, sandbox, two of the API, a worker
    finally:
        demo.kill()
    left = eventually(lambda: {pid for pid in below if is_alive(pid)}, lambda alive: not alive)
    assert left == set(), [Path(f"/proc/{pid}/cmdline").read_text() for pid in left]

    again = Demo.start(folder, demo.port)
    try:
        assert again.now() >= time_before
        assert again.apps == demo.apps
        shop = merchant_of(again, "published")
        assert [shop.row(row["syssn"]) for row in before] == before
        assert again.held(paid["syssn"]) == 1000
        again.confirm(trade=waiting["syssn"])
        shop.until(waiting["syssn"], "0000", limit_s=LEASE_S)
        shop.pay_by_phone(pending)
        shop.until(pending["syssn"], "0000")
        assert shop.call("close", syssn=pending["syssn"]).respcd == "1124"
    finally:
        again.end()


def test_a_process_that_dies_is_started_again_and_no_payment_is_lost(folder: Path) -> None:
    demo = Demo.start(folder)
    try:
        shop = merchant_of(demo, "published")
        paid, waiting = shop.paid("800208"), shop.open("800208", "password")
        python_children = [pid for pid in descendants(demo.process.pid) if "tael.cli" in _command(pid)]
        assert python_children
        for pid in python_children:
            os.kill(pid, 9)
        demo.confirm(trade=waiting["syssn"])

        def is_back() -> bool:
            try:
                return send(demo.gateway, "GET", "/readyz").status == 200
            except OSError:
                return False

        assert eventually(is_back, bool)
        shop.until(waiting["syssn"], "0000", limit_s=LEASE_S)
        assert shop.row(paid["syssn"])["respcd"] == "0000"
    finally:
        demo.end()


def _command(pid: int) -> str:
    try:
        return json.dumps(Path(f"/proc/{pid}/cmdline").read_text().split("\0"))
    except OSError:
        return ""
