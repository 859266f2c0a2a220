"""The audit log: every command that changes something is in it, with old and new values, and without secrets."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from unittest.mock import ANY
from urllib.parse import urlsplit

import psycopg
import pytest
import typer.main

from tael.channels.statements import LineType
from tael.cli.app import COMMANDS, Entry, app
from tael.merchants.domain.merchant import UnmatchedPolicy
from tael.operations.store import Store
from tael.reconciliation.domain.difference import DifferenceKind, difference_id_of
from tests.integration.cli.test_cli_unmatched import HELD, HELD_SYSSN, booked, report
from tests.integration.cli.test_cli_webhooks import EXHAUSTED, seed_webhooks
from tests.support.citus import needs_plain_postgres
from tests.support.operator import Operator, fill, operator_of
from tests.support.settlement import DAY_0, Moved, close_before, morning_of, move, with_terms
from tests.support.values import MCHID

pytestmark = needs_plain_postgres

KEY: Final = "0123456789abcdef0123456789abcdef"
OTHER_KEY: Final = KEY[::-1]
#: The first 64 bits, by `printf %s 0123456789abcdef0123456789abcdef | sha256sum`.
KEY_DIGEST: Final = "sha256:3eb1bd439947eb76"
RETURNED, RETURNED_SYSSN = "4e1d000000000009", "202601020100990000000009"
INCIDENT: Final = "4e1d00000000000a"
PAYOUT: Final = "aPayout000000001"
#: Groups that start processes, change nothing in the deployment's rows, or are another package's.
OUTSIDE: Final = {"serve", "work", "migrate", "doctor"} | {
    name for name, entry in COMMANDS.items() if not isinstance(entry, Entry)
}
#: Commands that change nothing.
READING: Final = {
    *("keys list", "cell list", "cell check"),
    *("app list", "merchant list", "merchant show", "merchant documents", "account list", "account check"),
    *(
        "account protocols",
        "payment show",
        "webhook list",
        "webhook attempts",
        "incident list",
        "incident show",
    ),
    *("user list", "unmatched list", "unmatched show", "ledger verify", "maintenance status", "audit list"),
    *("statement list", "statement show", "reconcile list", "reconcile show"),
    *("statement list", "statement show", "statement export"),
    *("settlement list", "settlement show", "settlement export"),
}
#: Commands about the file of encryption keys: the first changes nothing else, and the others are in `test_cli_keys.py`.
OF_KEY_FILE: Final = {"keys add", "keys rotate", "keys remove"}
STATEMENT: Final = "202601020100990000000001|10.00|HKD|20260102110405||P|0.12|P|\n"
#: What `STATEMENT` has and we do not.
DIFFERENCE: Final = difference_id_of(
    MCHID,
    "alipay-online",
    DifferenceKind.MISSING_HERE,
    LineType.PAYMENT,
    "202601020100990000000001",
    "",
)
ACCOUNT: Final = ("--protocol", "alipay_mapi", "--set", "pid=2088000000000077", "--set", "scene=online")
#: Of commands that change several rows of the table: one for each kind of statement.
ROWS: Final = {"statement schedule": 2, "statement unschedule": 2}
#: Needs a wallet: in `tests/end_to_end/test_statements.py`.
WITH_A_WALLET: Final = {"statement fetch"}
#: Needs old rows: in `tests/integration/retention/`.
WITH_OLD_ROWS: Final = {"purge"}
#: Needs Citus: in `tests/integration/citus/`.
WITH_CITUS: Final = {"cell move"}
#: Its subject is a restore: in `tests/integration/recovery/`.
OF_A_RESTORE: Final = {"after-restore"}
#: Commands that change something, in an order in which each can: arguments, table and id of a row that changes, and
#: a field with its old and new value.
CHANGING: Final[dict[str, tuple[list[str], str, str, tuple[str, Any, Any]]]] = {
    "app add": (["--appcode", "SHOP", "--key-file", "KEY"], "app", "SHOP", ("key", None, KEY_DIGEST)),
    "app set": (["SHOP", "--sha256-only"], "app", "SHOP", ("sha256_only", False, True)),
    "app rotate-key": (["SHOP"], "app", "SHOP", ("key", KEY_DIGEST, ANY)),
    "app end-overlap": (["SHOP"], "app", "SHOP", ("previous_key", ANY, ANY)),
    "app disable": (["SHOP"], "app", "SHOP", ("is_disabled", False, True)),
    "app enable": (["SHOP"], "app", "SHOP", ("is_disabled", True, False)),
    "merchant add": (
        ["SHOP", "--name", "Tea", "--currency", "HKD", "--mchid", "tea", "--state", "waiting"],
        "merchant",
        "tea",
        ("name", None, "Tea"),
    ),
    "merchant set": (
        ["tea", "--max-amount-minor", "500"],
        "merchant",
        "tea",
        ("max_amount_minor", None, 500),
    ),
    "merchant refuse": (
        ["tea", "--reason", "no license"],
        "merchant",
        "tea",
        ("state", "waiting", "refused"),
    ),
    "merchant approve": (["tea"], "merchant", "tea", ("state", "refused", "active")),
    "merchant suspend": (
        ["tea", "--reason", "complaints"],
        "merchant",
        "tea",
        ("state", "active", "disabled"),
    ),
    "merchant resume": (["tea", "--reason", "solved"], "merchant", "tea", ("state", "disabled", "active")),
    "account add": (
        ["tea", *ACCOUNT, "--set", "sign_type=MD5", "--file", "key=KEY"],
        "wallet_account",
        "",
        ("key", None, KEY_DIGEST),
    ),
    "account set": (
        ["--where", "pid=2088000000000077", "--refund-window-days", "30", "--file", "key=OTHER"],
        "wallet_account",
        "",
        ("refund_window_days", 365, 30),
    ),
    "user add": (
        ["tea", "--username", "anna", "--nickname", "Anna"],
        "merchant_user",
        "",
        ("username", None, "anna"),
    ),
    "user set-password": (["anna"], "merchant_user", "", ("password_hash", ANY, ANY)),
    "user disable": (["anna"], "merchant_user", "", ("is_disabled", False, True)),
    "user enable": (["anna"], "merchant_user", "", ("is_disabled", True, False)),
    "account end-overlap": (
        ["--where", "pid=2088000000000077"],
        "wallet_account",
        "",
        ("previous", ANY, None),
    ),
    "webhook resend": ([EXHAUSTED], "webhook", f"{EXHAUSTED}/payment", ("state", "EXHAUSTED", "DUE")),
    "incident resolve": (
        [INCIDENT, "--note", "seen"],
        "incident",
        INCIDENT,
        ("resolution", "", "seen"),
    ),
    "unmatched keep": ([HELD, "--note", "ours"], "unmatched_payment", HELD, ("state", "HELD", "KEPT")),
    "unmatched return": ([RETURNED], "unmatched_payment", RETURNED, ("state", "HELD", "APPROVED")),
    "keys rotate-links": ([], "link_key", "", ("key", None, ANY)),
    "statement import": (
        ["STATEMENT", "--account", "alipay-online"],
        "statement",
        "",
        ("lines", None, 1),
    ),
    "reconcile run": (["--account", "alipay-online"], "reconciliation", "", ("lines", None, 1)),
    "reconcile assign": ([DIFFERENCE, "--owner", "anna"], "difference", DIFFERENCE, ("owner", "", "anna")),
    "reconcile resolve": (
        [DIFFERENCE, "--note", "ours"],
        "difference",
        DIFFERENCE,
        ("resolution", "", "ours"),
    ),
    "statement schedule": (["wechat1"], "statement_due", "", ("attempts", None, 0)),
    "statement unschedule": (["wechat1"], "statement_due", "", ("attempts", 0, None)),
    "settlement terms": (
        [MCHID, "--cycle", "daily", "--since", "2026-01-01"],
        "payout_terms",
        f"{MCHID}/HKD",
        ("cycle", None, "daily"),
    ),
    "settlement run": (["--until", "2026-01-01"], "payout", "", ("state", None, "CARRIED")),
    "settlement paid": ([PAYOUT, "--reference", "FT-1"], "payout", PAYOUT, ("bank_reference", "", "FT-1")),
    "maintenance on": (
        ["--reason", "disks"],
        "maintenance_window",
        "gateway",
        ("reason", None, "disks"),
    ),
    "maintenance off": ([], "maintenance_window", "gateway", ("reason", "disks", None)),
    # The last, since merchants are then added to it.
    "cell add": (["7"], "cell_location", "7", ("number", None, 7)),
    "cell set": (["7", "--servers", "SERVERS"], "cell_location", "7", ("servers", "", ANY)),
}


async def happened(store: Store) -> None:
    """Webhooks to resend, an incident, two unmatched payments that are held, and a payout."""
    await seed_webhooks(store)
    for unmatched_id, syssn in ((HELD, HELD_SYSSN), (RETURNED, RETURNED_SYSSN)):
        incident, evidence = report(unmatched_id, MCHID, 0)
        await store.incidents.note([incident], [evidence])
        await booked(store, unmatched_id, syssn, UnmatchedPolicy.HOLD)
    incident, _ = report(INCIDENT, MCHID, 1)
    await store.incidents.note([incident])
    await with_terms(store, currency="JPY")
    await move(store, Moved(0, "payment", 100, "JPY"))
    await close_before(store, 1)
    await store.payouts.add_next(MCHID, "JPY", DAY_0, PAYOUT, morning_of(1))


@pytest.fixture
def operator(database_url: str, tmp_path: Path) -> Operator:
    fill(database_url, happened)
    return operator_of(database_url, tmp_path)


def commands() -> Iterator[str]:
    """All commands with their groups."""
    for name in COMMANDS.keys() - OUTSIDE:
        group = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
        for command in getattr(group, "commands", [""]):
            yield f"{name} {command}".rstrip()


def contents(url: str) -> dict[str, list[str]]:
    """All rows but the audit log's, by table."""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname IN ('public', 'cell_00')"
        ).fetchall()
        return {
            name: [str(row) for row in connection.execute(f'SELECT t::text FROM "{name}" AS t ORDER BY 1')]
            for (name,) in tables
            if not name.endswith("audit_entry")
        }


def test_every_command_is_known_to_change_something_or_nothing() -> None:
    elsewhere = [*OF_KEY_FILE, *WITH_A_WALLET, *WITH_OLD_ROWS, *WITH_CITUS, *OF_A_RESTORE]
    assert sorted(commands()) == sorted([*READING, *elsewhere, *CHANGING])


def test_every_command_that_changes_something_is_logged(operator: Operator) -> None:
    keys = {"KEY": operator.file("key", KEY), "OTHER": operator.file("other", OTHER_KEY)}
    url = operator.environment["TAEL_DATABASE_URL"]
    given = {"SERVERS": urlsplit(url).netloc.rpartition("@")[2]}
    files = keys | given | {"STATEMENT": operator.file("statement.txt", STATEMENT)}
    for command, (arguments, table, subject, (field, old, new)) in CHANGING.items():
        before, logged = contents(url), operator.run_json("audit", "list", "--limit", "1000")
        operator.run(*command.split(), *(_with_file(argument, files) for argument in arguments))

        assert contents(url) != before, command
        entries = operator.run_json("audit", "list", "--limit", "1000")
        ours = [entry for entry in entries if entry not in logged and entry["action"] == f"tael {command}"]
        assert ours, command
        of_table = [entry for entry in ours if entry["subject_kind"] == table and field in shown(entry)]
        assert len(of_table) == ROWS.get(command, 1), command
        for entry in of_table:
            assert subject in ("", entry["subject_id"]), command
            changed = (entry["before"] or {}).get(field), (entry["after"] or {}).get(field)
            assert changed == (old, new), command
    shown_in_table = operator.run("audit", "list", "--subject", "tea", "--limit", "1")
    assert "merchant tea" in shown_in_table
    assert "state: disabled \u2192 active" in shown_in_table
    everything = operator.run("audit", "list", "--limit", "1000", "--json")
    for key in (KEY, OTHER_KEY):
        assert key not in everything
        assert key not in operator.run("audit", "list")


def _with_file(argument: str, files: dict[str, str]) -> str:
    """Its last word may be the name of a file."""
    start, equals, last = argument.rpartition("=")
    return start + equals + files.get(last, last)


def shown(entry: dict[str, Any]) -> set[str]:
    return {*(entry["before"] or {}), *(entry["after"] or {})}
