"""The demo as a program: run once, killed, restarted, and refused where it would do harm."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tael_demo.reset import throw_away
from tael_demo.stack import DemoPaths
from tests.end_to_end.applications import signed_up
from tests.end_to_end.conftest import merchant_of
from tests.end_to_end.merchant import Merchant, send
from tests.end_to_end.rig import (
    ROOT,
    Demo,
    NotStarted,
    descendants,
    eventually,
    free_port_block,
    is_alive,
    kernels_name,
)
from tests.support.commands import clean_environment
from tests.support.documents import png
from tests.support.old_certificates import issuer_in, make_old
from tests.support.postgres import open_folder

ONCE_LIMIT_S: Final = 90
#: A worker that is killed during a query keeps its row for 15 s of real time.
LEASE_S: Final = 40.0
EXPECTED_IN_THE_TABLE: Final = (
    "paid",
    "password requested: pending",
    "password entered: paid",
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


def test_a_fresh_demo_removes_only_its_own_files(folder: Path) -> None:
    """The demo may be in a developer's folder. All its own files there are removed, and `--once` runs in it."""
    mine = [
        *("shop/main.py", "shop/shop.sqlite.backup", "logs/mine.log", "logs/api.log"),
        *("sandbox/castle.txt", "sandbox/certificates/mine.pem", "documents/report.pdf", "notes.txt"),
    ]
    for name in mine:
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text("mine")
    demo = Demo.start(folder)
    try:
        demo.advance(3600)
        signed_up(merchant_of(demo, "published"), [("shopphoto", "shop.png", png())])
        paid = merchant_of(demo, "published").paid("800208")
        keys = [account["key"] for account in demo.control("accounts")]
    finally:
        demo.end()
    assert len(list((folder / "documents").iterdir())) == 2
    assert {"shop.sqlite", "main.py"} <= {path.name for path in (folder / "shop").iterdir()}

    throw_away(DemoPaths(free_port_block(), folder))
    kept = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert kept == {*mine, "postgres/lock"}
    assert {(folder / name).read_text() for name in mine} == {"mine"}

    again = Demo.start(folder, demo.port)
    try:
        shop = merchant_of(again, "published")
        assert shop.rows(syssn=paid["syssn"]) == []
        assert again.trades(paid["syssn"]) == []
        assert again.control("clock")["offset_s"] == 0
        assert not set(keys) & {account["key"] for account in again.control("accounts")}
        assert shop.paid("800208").respcd == "0000"
    finally:
        again.end()
    walk_through(folder)


def walk_through(folder: Path) -> None:
    done = run_demo(folder, free_port_block(), "--once", "--fresh")
    assert done.returncode == 0, done.stdout + done.stderr
    for what in EXPECTED_IN_THE_TABLE:
        assert what in done.stdout
    for pay_type in ("800151", "800152", "800108", "800201", "800207", "800208", "800228"):
        assert pay_type in done.stdout
    assert "✗" not in done.stdout


def test_a_running_demo_is_not_removed(demo: Demo, shop: Merchant) -> None:
    paid = shop.paid("800208")

    for port in (demo.port, free_port_block()):
        done = run_demo(demo.folder, port, "--once", "--fresh")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"tael: {demo.folder} is in use: ")
        assert len(done.stderr.splitlines()) == 1
    assert shop.row(paid["syssn"])["respcd"] == "0000"
    assert shop.paid("800208").respcd == "0000"


def test_a_demo_running_on_an_external_database_is_not_removed(demo: Demo, folder: Path) -> None:
    addresses = {"gateway": demo.gateway, "sandbox": demo.sandbox}
    kept = {
        **{"database_url": "postgresql://elsewhere/x", "addresses.json": json.dumps(addresses)},
        **{"sandbox/shops.json": "{}", "logs/worker.log": ""},
    }
    left_alone(folder, kept, f"tael: {folder} is in use: ")


@pytest.mark.parametrize(
    "names",
    [
        ["notes.txt"],
        ["encryption.key"],
        ["logs/shop.log"],
        ["sandbox/castle.txt", "logs/shop.log", "encryption.key"],
        ["sandbox/shops.json"],
        ["postgres/lock", "notes.txt"],
        ["postgres/lock", "logs/x", "main.py"],
    ],
    ids=",".join,
)
def test_a_folder_that_is_not_a_demo_s_is_left_alone(folder: Path, names: list[str]) -> None:
    left_alone(folder, dict.fromkeys(names, "mine"), f"tael: {folder} is not the folder of a demo")


def test_an_external_database_is_not_removed(folder: Path) -> None:
    kept = {"sandbox/shops.json": "{}", "logs/worker.log": "", "database_url": "x"}
    elsewhere = "postgresql://nobody@127.0.0.1:9/x"
    left_alone(folder, kept, "tael: --fresh deletes only", TAEL_DEMO_DATABASE_URL=elsewhere)


def test_a_taken_port_keeps_a_fresh_demo_from_removing_anything(demo: Demo, folder: Path) -> None:
    kept = {"sandbox/shops.json": "{}", "logs/worker.log": "", "encryption.key": "x"}
    done = left_alone(folder, kept, f"tael: port {demo.port} is taken", port=demo.port)
    assert len(done.stderr.splitlines()) == 1


def test_the_json_line_is_complete_and_names_the_published_app_first(demo: Demo) -> None:
    first = demo.apps[0]
    assert {"appcode", "key", "mchid", "mchids", "notify_url", "return_url"} <= set(first)
    assert (first["appcode"], first["key"]) == ("123456", "123456")
    assert first["mchid"] == "eqqmYMn0Zj6pncw5ZDxjgMqbzV"


def test_the_json_line_has_every_app_and_the_first_merchant_of_each(demo: Demo) -> None:
    assert [len(app["mchids"]) for app in demo.apps] == [1, 1, 2, 1, 10]
    assert all(app["mchid"] == app["mchids"][0] for app in demo.apps)
    assert len({app["appcode"] for app in demo.apps}) == 5


def test_health_and_readiness_answer(demo: Demo) -> None:
    assert send(demo.gateway, "GET", "/healthz").status == 200
    assert send(demo.gateway, "GET", "/readyz").status == 200


def test_a_second_start_on_the_same_data_is_refused_in_one_sentence(demo: Demo, shop: Merchant) -> None:
    with pytest.raises(NotStarted) as refused:
        Demo.start(demo.folder)

    message = str(refused.value).strip()
    assert message.startswith("tael: ")
    assert str(demo.folder) in message
    assert "Traceback" not in message
    assert len(message.splitlines()) == 1
    assert shop.open("800208").respcd == "0000"


def test_a_taken_port_is_refused_in_one_sentence(demo: Demo, folder: Path) -> None:
    with pytest.raises(NotStarted) as refused:
        Demo.start(folder, demo.port)

    message = str(refused.value).strip()
    assert message.startswith(f"tael: port {demo.port} is taken")
    assert len(message.splitlines()) == 1


def test_a_killed_demo_leaves_nothing_behind_and_starts_again_with_everything(folder: Path) -> None:
    demo = Demo.start_seeded(folder)
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
    assert left == set(), [kernels_name(pid) for pid in left]
    # Certificates of an earlier version, which the gateway has stored.
    certificates = folder / "sandbox" / "certificates"
    old_ca_pem = make_old(certificates, issuer_in(certificates))

    again = Demo.start(folder, demo.port)
    try:
        assert again.now() >= time_before
        assert again.apps == demo.apps
        shop = merchant_of(again, "published")
        assert [shop.row(row["syssn"]) for row in before] == before
        assert again.held(paid["syssn"]) == 1000
        assert (
            (folder / "wechat_ca.pem").read_text() == (certificates / "ca.cert.pem").read_text() != old_ca_pem
        )
        assert len(list(certificates.glob("client-*.p12"))) == 3
        shop.refund_and_wait(paid, "300")  # WeChat Pay refuses refunds without the client certificate
        again.confirm(trade=waiting["syssn"])
        shop.until(waiting["syssn"], "0000", limit_s=LEASE_S)
        shop.pay_by_phone(pending)
        shop.until(pending["syssn"], "0000")
        assert shop.call("close", syssn=pending["syssn"]).respcd == "1124"
    finally:
        again.end()


def test_a_process_that_dies_is_started_again_and_no_payment_is_lost(folder: Path) -> None:
    demo = Demo.start_seeded(folder)
    try:
        shop = merchant_of(demo, "published")
        paid, waiting = shop.paid("800208"), shop.open("800208", "password")
        names = {pid: kernels_name(pid) for pid in descendants(demo.process.pid)}
        ours = [pid for pid, name in names.items() if name in ("tael-api", "tael-worker")]
        assert len(ours) == 3, names
        for pid in ours:
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


def left_alone(
    folder: Path, kept: dict[str, str], sentence: str, port: int | None = None, **settings: str
) -> "subprocess.CompletedProcess[str]":
    """The message of `--fresh` on a folder with these files, which all stay."""
    for name, text in kept.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    done = run_demo(folder, port or free_port_block(), "--quiet", "--fresh", **settings)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(sentence), done.stderr
    assert {name: (folder / name).read_text() for name in kept} == kept
    return done


def run_demo(folder: Path, port: int, *options: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run the demo to its end."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "tael.cli", "demo", *options),
            *("--port", str(port), "--data", str(folder)),
        ],
        cwd=ROOT,
        env=clean_environment() | {"COLUMNS": "200"} | settings,
        capture_output=True,
        text=True,
        timeout=ONCE_LIMIT_S,
    )
