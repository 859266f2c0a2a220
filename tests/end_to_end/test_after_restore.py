"""Point-in-time recovery: a gateway takes payments, its database is restored to an earlier moment, and goes on.

The backup is a copy of the stopped server's files, and the log is archived, as PostgreSQL's manual describes it.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import psycopg
import pytest

from tael.base.serial import cell_of
from tael_demo.embedded.server import EmbeddedPostgres
from tests.end_to_end.conftest import merchant_of
from tests.end_to_end.merchant import scannable
from tests.end_to_end.rig import Demo, Members, eventually
from tests.support.commands import run_tael
from tests.support.postgres import open_folder
from tests.support.seeded import seed_folder

#: A skip leaves out half of the sequences, the last ten digits of a syssn.
HALF: Final = 5_000_000_000
DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Backup:
    """A demo's cluster, a copy of it, and the archive of its log."""

    folder: Path

    @property
    def cluster(self) -> Path:
        return self.folder / "postgres" / "cluster"

    def make(self) -> None:
        """Copy the cluster, which is stopped, and let the next server archive its log."""
        archive = self.folder / "archive"
        archive.mkdir()
        self._settings(f"archive_mode = on\narchive_command = 'cp %p {archive}/%f'\n")
        _copy(self.cluster, self.folder / "backup")
        owner = self.cluster.stat()
        shutil.chown(archive, owner.st_uid, owner.st_gid)

    def restore(self, moment: str) -> None:
        """Replace the cluster, which is stopped; the next server recovers to `moment`."""
        shutil.rmtree(self.cluster)
        _copy(self.folder / "backup", self.cluster)
        self._settings(
            f"restore_command = 'cp {self.folder}/archive/%f %p'\nrecovery_target_time = '{moment}'\n"
            "recovery_target_action = 'promote'\n"
        )
        (self.cluster / "recovery.signal").touch()
        owner = self.cluster.stat()
        shutil.chown(self.cluster / "recovery.signal", owner.st_uid, owner.st_gid)

    def _settings(self, text: str) -> None:
        with (self.cluster / "postgresql.auto.conf").open("a") as file:
            file.write(text)


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", source, target], check=True)


def moment_of(url: str) -> str:
    with psycopg.connect(url) as connection:
        (moment,) = connection.execute("SELECT clock_timestamp()::text").fetchone() or ("",)
    return str(moment)


def is_recovered(url: str) -> bool:
    """The server takes connections before the end of its recovery."""
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)


def after_restore(folder: Path, *options: str) -> list[Members]:
    """The report on each cell."""
    done = run_tael("after-restore", *options, "--json", "--data", str(folder))
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    cells: list[Members] = json.loads(done.stdout)["cells"]
    return cells


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as folder:
        seed_folder(folder)
        yield folder


def test_after_a_recovery_no_number_is_used_twice_and_lost_payments_are_found(folder: Path) -> None:
    backup = Backup(folder)
    backup.make()
    demo = Demo.start(folder)
    try:
        shop = merchant_of(demo, "wechat_only")
        kept = shop.paid("800208")
        pending = shop.open("800201")
        moment = moment_of(demo.database_url)
        lost, lost_order = shop.paid("800208"), shop.open("800201")
        shop.pay_by_phone(pending)
        shop.until(pending["syssn"], "0000")
    finally:
        demo.end()

    backup.restore(moment)
    with EmbeddedPostgres(folder) as postgres:
        assert eventually(lambda: is_recovered(postgres.url), bool)
        first = after_restore(folder)
        assert [each["is_applied"] for each in first] == [False, False]
        by_number = {each["cell"]: each["payments"] for each in first}
        assert by_number[cell_of(pending["syssn"])] == 1  # the one that was pending then
        applied = after_restore(folder, "--apply")
        assert applied == [each | {"is_applied": True} for each in first]
        assert after_restore(folder, "--apply") == applied

    demo = Demo.start(folder, demo.port)
    try:
        shop = merchant_of(demo, "wechat_only")
        assert shop.row(kept["syssn"])["respcd"] == "0000"
        shop.until(pending["syssn"], "0000")  # the wallet is asked
        assert shop.rows(syssn=lost["syssn"]) == []
        day = demo.now().date()
        before = [int(each["syssn"][14:]) for each in (kept, pending, lost, lost_order)]
        now = [int(shop.open("800201")["syssn"][14:]) for _ in range(3)]
        assert (
            HALF <= (min(now) - max(before)) % 10_000_000_000 < 10_000_000_000 - (max(before) - min(before))
        )

        demo.confirm(url=scannable(lost_order))  # the payer pays, and the wallet sends a notice
        found = eventually(lambda: demo.ask("unmatched", "list", "--all"), bool)
        assert [each["subject_id"] for each in found] == [lost_order["syssn"]]

        demo.advance(DAY_S + timedelta(hours=12).seconds)
        account = next(row["account_id"] for row in demo.ask("account", "list", "--mchid", shop.mchid))
        demo.ask("statement", "fetch", account, "--day", str(day))
        differences = eventually(
            lambda: demo.ask("reconcile", "list", "--all", "--kind", "missing_here"),
            lambda rows: lost["syssn"] in [row["number"] for row in rows],
        )
        assert lost["syssn"] in [row["number"] for row in differences]
    finally:
        demo.end()
