"""The operator's commands over two cells, and over a third one whose server is down."""

import asyncio
import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql
from pytest_httpserver import HTTPServer
from typer.testing import CliRunner

from tael.cli import cell_answers
from tael.cli.app import app
from tael.cli.cell_answers import in_every_cell
from tael.db.cells import CellLocation, Cells
from tael.db.database import PATIENT
from tael.db.roles import ROLES
from tael.merchants.domain.merchant import UnmatchedPolicy
from tael.operations.store import Store
from tael.stores import Stores, stores_over
from tael.webhooks.domain.webhook import WebhookKind
from tael.webhooks.store.webhooks import NewWebhook, write_webhooks
from tael_demo.embedded.server import EmbeddedPostgres
from tests.integration.cli.test_cli_unmatched import booked, report
from tests.support.citus import needs_plain_postgres
from tests.support.operator import Operator, operator_of
from tests.support.ports import HOST, bound, reserved_ports
from tests.support.postgres import (
    as_role,
    create_database,
    create_login,
    create_role,
    drop_role,
    logged_in,
    open_folder,
    temporary_database,
)
from tests.support.settlement import Moved, close_before, move
from tests.support.several_cells import in_cells, migrate, with_cell, with_cell_down
from tests.support.statements import DAY, ONE_DAY, paid_line, stored
from tests.support.store import CIPHER, NODE, paid, with_a_merchant
from tests.support.values import APPCODE, MCHID, NOW, ORIGIN, a_merchant, a_payment, a_wechat_account

pytestmark = needs_plain_postgres

OTHER: Final = "mch2"
PATIENCE_S: Final = 20.0
#: The third and fourth digit after the day are the cell.
SYSSN, OTHERS_SYSSN = "202601020900990000000001", "202601020901990000000001"
UNMATCHED, OTHERS_UNMATCHED = "4e1d000000000001", "4e1d000000000002"
GATEWAY: Final = "gateway_of_cells"
GRANTEE: Final = "grantee_of_cells"
#: Refused long ago.
APPLICANT: Final = """
INSERT INTO merchant (mchid, appcode, name, currency, state, created_at)
VALUES ('refused', 'app1', 'Tea', 'HKD', 'refused', now() - interval '100 days');
INSERT INTO merchant_application (mchid, appcode, username, license_number, application_encrypted, created_at)
VALUES ('refused', 'app1', 'tea', '1', '', now() - interval '100 days')
"""
#: More payouts than the store reads at once, each like the first, so many days apart.
MORE_PAYOUTS: Final = """
INSERT INTO {schema}.payout SELECT (jsonb_populate_record(p, jsonb_build_object(
    'payout_id', 'p' || n, 'number', n, 'first_day', p.last_day + n * {days}, 'last_day', p.last_day + n * {days}
))).* FROM {schema}.payout AS p, generate_series(2, 1500) AS n
"""
DOWN: Final = "tael: cell 2 cannot be reached: ConnectionRefusedError\n"
OPTIONAL: Final = {"TAEL_PUBLIC_URL": "https://pay.example"}


def refund_of(syssn: str, number: int) -> str:
    return f"{syssn[:-2]}{number:02d}"


async def happen(store: Store, mchid: str, account_id: str, syssn: str, seconds: int) -> None:
    """A payment with webhooks of two refunds, a statement, and an unmatched payment that is held."""
    at = NOW + timedelta(seconds=seconds)
    await paid(
        store, a_payment(mchid=mchid, syssn=syssn, account_id=account_id, created_at=at, changed_at=NOW)
    )
    async with store.database.transaction() as connection:
        await write_webhooks(
            connection,
            [
                NewWebhook(
                    mchid,
                    refund_of(syssn, number),
                    WebhookKind.REFUND,
                    APPCODE,
                    syssn,
                    at + timedelta(seconds=number),
                )
                for number in (10, 20)
            ],
        )
    await store.database.execute(
        "UPDATE webhook SET state = 'EXHAUSTED', deliver_at = NULL WHERE kind = 'refund'"
    )
    account = a_wechat_account(account_id, mchid)
    await stored(store, [paid_line(syssn, fee_micros=9)], account=account, day=DAY + (1 + seconds) * ONE_DAY)
    unmatched_id = UNMATCHED if mchid == MCHID else OTHERS_UNMATCHED
    incident, evidence = report(unmatched_id, mchid, seconds)
    await store.incidents.note([incident], [evidence])
    await booked(store, unmatched_id, refund_of(syssn, 30), UnmatchedPolicy.HOLD)


async def seed(stores: Stores) -> None:
    """The merchant of tests in cell 0, and another one in cell 1, where everything happens a second later."""
    directory = stores.first
    await with_a_merchant(directory)
    await directory.merchants.add_merchant(a_merchant(OTHER, cell=1), ORIGIN)
    await directory.accounts.add(a_wechat_account("wechat2", OTHER, "1900000111"), ORIGIN)
    await happen(directory, MCHID, "wechat1", SYSSN, 0)
    await happen(await stores.of_cell.of(1), OTHER, "wechat2", OTHERS_SYSSN, 1)


@pytest.fixture(scope="module")
def migrated(postgres_server: str) -> Iterator[str]:
    """The name of a database with one cell."""
    with temporary_database(postgres_server, "template1") as url:
        migrate(url)
        yield url.rpartition("/")[2]


@pytest.fixture
def migrated_url(postgres_server: str, migrated: str) -> Iterator[str]:
    with temporary_database(postgres_server, migrated) as copy:
        yield copy


@pytest.fixture(scope="module")
def template(postgres_server: str, migrated: str) -> Iterator[str]:
    """The name of a database with two cells in which something happened."""
    with temporary_database(postgres_server, migrated) as url:
        with_cell(url, 1)
        execute(url, "GRANT ALL ON ALL TABLES IN SCHEMA public, cell_00, cell_01 TO CURRENT_USER")
        in_cells(url, seed)
        yield url.rpartition("/")[2]


@pytest.fixture
def url(postgres_server: str, template: str) -> Iterator[str]:
    with temporary_database(postgres_server, template) as copy:
        yield copy


@pytest.fixture
def operator(url: str, tmp_path: Path) -> Operator:
    return operator_of(url, tmp_path)


@pytest.fixture
def incomplete(url: str, tmp_path: Path) -> Iterator[Operator]:
    """The same, while a third cell is down."""
    with with_cell_down(url, 2):
        yield operator_of(url, tmp_path)


def without_the_third(operator: Operator, *arguments: str) -> Any:
    """The JSON of a command that names the third cell, and exits with 1."""
    done = CliRunner().invoke(app, [*arguments, "--json"], env=operator.environment)
    assert (done.exit_code, done.stderr) == (1, DOWN), done.output
    return json.loads(done.stdout)


def values(rows: list[dict[str, Any]], member: str) -> list[Any]:
    return [row[member] for row in rows]


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(sql.SQL(statement))


# ---- lists -----------------------------------------------------------------------------------------------------------


def test_lists_have_the_rows_of_all_cells_newest_first(operator: Operator) -> None:
    refunds = [refund_of(syssn, number) for number in (20, 10) for syssn in (OTHERS_SYSSN, SYSSN)]
    causes = values(operator.run_json("webhook", "list"), "cause")
    assert causes == [*refunds, OTHERS_SYSSN, SYSSN]
    assert values(operator.run_json("webhook", "list", "--limit", "3"), "cause") == refunds[:3]
    both = [OTHERS_UNMATCHED, UNMATCHED]
    assert values(operator.run_json("incident", "list"), "incident_id") == both
    assert values(operator.run_json("unmatched", "list"), "unmatched_id") == both
    assert values(operator.run_json("statement", "list"), "account_id") == ["wechat2", "wechat1"]


def test_a_list_of_one_merchant_or_account_has_no_others(incomplete: Operator) -> None:
    """Nor does it need other cells: one is down."""
    for command, option, expected in (
        ("webhook", "--mchid", 3),
        ("incident", "--mchid", 1),
        ("unmatched", "--mchid", 1),
    ):
        rows = incomplete.run_json(command, "list", option, OTHER)
        assert values(rows, "mchid") == [OTHER] * expected
    (statement,) = incomplete.run_json("statement", "list", "--account", "wechat2")
    assert statement["account_id"] == "wechat2"


def test_the_cell_of_an_account_is_known_without_its_keys(incomplete: Operator) -> None:
    other_key = {"TAEL_ENCRYPTION_KEY": base64.b64encode(bytes(32)).decode()}
    without_keys = replace(incomplete, environment=incomplete.environment | other_key)
    (statement,) = without_keys.run_json("statement", "list", "--account", "wechat2")
    assert statement["mchid"] == OTHER


def test_the_audit_log_is_that_of_the_directory_and_of_all_cells(operator: Operator) -> None:
    for unmatched_id in (UNMATCHED, OTHERS_UNMATCHED):
        operator.run("unmatched", "keep", unmatched_id, "--note", "theirs")
    entries = operator.run_json("audit", "list", "--limit", "2")
    assert values(entries, "subject_id") == [OTHERS_UNMATCHED, UNMATCHED]
    everything = operator.run_json("audit", "list")
    assert values(everything, "at") == sorted(values(everything, "at"), reverse=True)
    (merchant,) = operator.run_json("audit", "list", "--kind", "merchant", "--subject", OTHER)
    assert merchant["after"]["cell"] == 1


@pytest.mark.parametrize("command", ["webhook list", "incident list", "unmatched list", "statement list"])
def test_a_list_without_a_cell_says_so(incomplete: Operator, command: str) -> None:
    rows = without_the_third(incomplete, *command.split())
    assert len(rows) == (6 if command == "webhook list" else 2)


def test_the_audit_log_without_a_cell_says_so(incomplete: Operator) -> None:
    incomplete.run("unmatched", "keep", OTHERS_UNMATCHED, "--note", "theirs")
    (entry,) = without_the_third(incomplete, "audit", "list", "--limit", "1")
    assert entry["subject_id"] == OTHERS_UNMATCHED


# ---- one row ---------------------------------------------------------------------------------------------------------


def test_a_number_is_found_in_its_cell(incomplete: Operator) -> None:
    for syssn, mchid in ((SYSSN, MCHID), (OTHERS_SYSSN, OTHER)):
        shown = incomplete.run_json("payment", "show", syssn)
        assert (shown["payment"]["mchid"], len(shown["ledger"]), len(shown["webhooks"])) == (mchid, 1, 1)
        assert incomplete.run_json("webhook", "attempts", syssn) == []


def test_an_id_is_found_in_any_cell(incomplete: Operator) -> None:
    assert incomplete.run_json("incident", "show", OTHERS_UNMATCHED)["mchid"] == OTHER
    unmatched = incomplete.run_json("unmatched", "show", OTHERS_UNMATCHED)
    assert (unmatched["mchid"], len(unmatched["ledger"])) == (OTHER, 1)
    (statement,) = incomplete.run_json("statement", "list", "--account", "wechat2")
    shown = incomplete.run_json("statement", "show", statement["statement_id"])
    assert values(shown["content"], "syssn") == [OTHERS_SYSSN]


def test_a_row_that_may_be_in_a_cell_that_is_down_is_not_called_unknown(incomplete: Operator) -> None:
    for command in (
        *("incident show x", "incident resolve x --note n", "unmatched show x", "unmatched keep x --note n"),
        *("statement show x", "reconcile show x", "reconcile assign x --owner o", "settlement show x"),
        *("settlement paid x --reference r", "settlement export x --format csv", "payment show x"),
        *("webhook resend x", "webhook resend 202601020902990000000001"),
    ):
        assert incomplete.is_refused(*command.split(), code=1) == DOWN, command


def test_an_unknown_number_is_in_no_cell(operator: Operator) -> None:
    assert "no incident x" in operator.is_refused("incident", "show", "x", code=1)
    for unknown in ("x", "202601020902990000000001"):
        assert "no webhook for" in operator.is_refused("webhook", "resend", unknown, code=1)
    assert operator.run_json("webhook", "attempts", "x") == []


# ---- changes ---------------------------------------------------------------------------------------------------------


def test_a_decision_is_written_in_the_cell_of_its_row(incomplete: Operator) -> None:
    resolved = incomplete.run_json("incident", "resolve", OTHERS_UNMATCHED, "--note", "seen")
    assert (resolved["mchid"], resolved["resolution"]) == (OTHER, "seen")
    assert incomplete.run_json("unmatched", "keep", OTHERS_UNMATCHED, "--note", "theirs")["state"] == "KEPT"
    assert values(incomplete.run_json("incident", "list", "--mchid", MCHID), "incident_id") == [UNMATCHED]


def test_a_webhook_is_resent_in_its_cell(incomplete: Operator) -> None:
    again = refund_of(OTHERS_SYSSN, 10)
    assert values(incomplete.run_json("webhook", "resend", again), "cause") == [again]
    (due,) = incomplete.run_json("webhook", "list", "--mchid", OTHER, "--state", "DUE", "--limit", "1")
    assert due["cause"] == again


def test_exhausted_webhooks_are_resent_in_every_cell_that_is_up(incomplete: Operator) -> None:
    resent = without_the_third(incomplete, "webhook", "resend", "--all-exhausted")
    assert values(resent, "cause") == [
        refund_of(syssn, number) for syssn in (SYSSN, OTHERS_SYSSN) for number in (10, 20)
    ]
    assert without_the_third(incomplete, "webhook", "resend", "--all-exhausted") == []


def test_statements_are_reconciled_in_every_cell(operator: Operator) -> None:
    runs = operator.run_json("reconcile", "run")
    assert values(runs, "account_id") == ["wechat1", "wechat2"]
    assert values(operator.run_json("reconcile", "run", "--account", "wechat2"), "account_id") == ["wechat2"]
    found = operator.run_json("reconcile", "list")
    assert {row["account_id"] for row in found} == {"wechat1", "wechat2"}
    assert values(found, "found_at") == sorted(values(found, "found_at"), reverse=True)
    (theirs, *_) = operator.run_json("reconcile", "list", "--account", "wechat2")
    difference = theirs["difference_id"]
    assert operator.run_json("reconcile", "show", difference) == theirs
    assert operator.run_json("reconcile", "assign", difference, "--owner", "anna")["owner"] == "anna"
    resolved = operator.run_json("reconcile", "resolve", difference, "--note", "agreed")
    assert (resolved["account_id"], resolved["state"]) == ("wechat2", "RESOLVED")


def test_reconciling_goes_on_without_a_cell(incomplete: Operator) -> None:
    assert values(without_the_third(incomplete, "reconcile", "run"), "account_id") == ["wechat1", "wechat2"]
    assert len(without_the_third(incomplete, "reconcile", "list")) > 1


def test_a_statement_is_fetched_and_imported_into_the_cell_of_its_account(operator: Operator) -> None:
    line = "202601020901990000000777|10.00|HKD|20260102110405||P|0.12|P|\n"
    execute(
        operator.environment["TAEL_DATABASE_URL"],
        "UPDATE wallet_account SET mchid = 'mch2' WHERE account_id = 'alipay-online'",
    )
    file = operator.file("statement.txt", line)
    imported = operator.run_json("statement", "import", file, "--account", "alipay-online")
    assert imported["lines"] == 1
    assert len(operator.run_json("statement", "schedule", "wechat2")) == 2
    operator.run("statement", "unschedule", "wechat2")

    async def check(stores: Stores) -> None:
        first, second = stores.first, await stores.of_cell.of(1)
        assert await first.statements.list("alipay-online", with_superseded=False) == []
        (stored_there,) = await second.statements.list("alipay-online", with_superseded=False)
        assert stored_there.statement_id == imported["statement_id"]

    in_cells(operator.environment["TAEL_DATABASE_URL"], check)


# ---- payouts ---------------------------------------------------------------------------------------------------------


async def move_money(stores: Stores) -> None:
    for number, mchid in ((0, MCHID), (1, OTHER)):
        store = await stores.of_cell.of(number)
        await move(store, *(Moved(day, "payment", 10_000 + number) for day in range(3)), mchid=mchid)
        await close_before(store, 3, mchid)


def set_terms(operator: Operator) -> None:
    for mchid in (MCHID, OTHER):
        terms = ("settlement", "terms", mchid)
        operator.run(*terms, "--cycle", "daily", "--since", "2026-01-01")
        assert values(operator.run_json(*terms), "mchid") == [mchid]


def test_payouts_are_made_shown_and_exported_in_every_cell(operator: Operator, url: str) -> None:
    in_cells(url, move_money)
    set_terms(operator)
    assert values(
        operator.run_json("settlement", "run", "--merchant", OTHER, "--until", "2026-01-01")["payouts"],
        "mchid",
    ) == [OTHER]
    made = operator.run_json("settlement", "run", "--until", "2026-01-03")["payouts"]
    assert values(made, "mchid") == [MCHID] * 3 + [OTHER] * 2
    listed = operator.run_json("settlement", "list")
    assert values(listed, "last_day") == [f"2026-01-0{day}" for day in (3, 3, 2, 2, 1, 1)]
    assert values(operator.run_json("settlement", "list", "--merchant", OTHER), "mchid") == [OTHER] * 3

    theirs = made[-1]
    assert operator.run_json("settlement", "show", theirs["payout_id"]) == theirs
    done = operator.run_json("settlement", "paid", theirs["payout_id"], "--reference", "FT 1")
    assert done["state"] == "PAID"
    one = json.loads(operator.run("settlement", "export", theirs["payout_id"], "--format", "json"))
    assert one["payout"]["mchid"] == OTHER
    days = ("--from", "2026-01-01", "--to", "2026-01-02", "--format", "json")
    exported = json.loads(operator.run("settlement", "export", *days))["payouts"]
    assert [(row["last_day"], row["mchid"]) for row in exported] == [
        ("2026-01-01", MCHID),
        ("2026-01-01", OTHER),
        ("2026-01-02", MCHID),
        ("2026-01-02", OTHER),
    ]
    movements = operator.run("statement", "export", "--merchant", OTHER, *days)
    assert len(json.loads(movements)["movements"]) == 3  # two of `move_money`, and one of `happen`


def test_payouts_of_all_cells_are_exported_oldest_first(operator: Operator, url: str) -> None:
    in_cells(url, move_money)
    set_terms(operator)
    operator.run("settlement", "run", "--until", "2026-01-01")
    for schema, apart in (("cell_00", 1), ("cell_01", 3)):
        execute(url, MORE_PAYOUTS.format(schema=schema, days=apart))
    days = ("--from", "2026-01-01", "--to", "2040-01-01", "--format", "json")
    rows = json.loads(operator.run("settlement", "export", *days))["payouts"]
    order = [(row["last_day"], row["mchid"]) for row in rows]
    assert (len(rows), order) == (3_000, sorted(order))


def test_payouts_are_made_without_a_cell(incomplete: Operator, url: str) -> None:
    in_cells(url, move_money)
    set_terms(incomplete)
    run = without_the_third(incomplete, "settlement", "run", "--until", "2026-01-03")
    assert len(run["payouts"]) == 6
    assert without_the_third(incomplete, "settlement", "run", "--until", "2026-01-03")["payouts"] == []
    assert len(without_the_third(incomplete, "settlement", "list")) == 6
    days = ["--from", "2026-01-01", "--to", "2026-01-03", "--format", "json"]
    done = CliRunner().invoke(app, ["settlement", "export", *days], env=incomplete.environment)
    assert (done.exit_code, done.stderr) == (1, DOWN)
    assert len(json.loads(done.stdout)["payouts"]) == 6


# ---- the whole deployment --------------------------------------------------------------------------------------------


def test_the_books_of_all_cells_are_verified(operator: Operator, url: str) -> None:
    verified = operator.run_json("ledger", "verify")
    assert (verified["ok"], verified["orders"], verified["entries"], verified["cell"]) == (True, 2, 4, None)
    execute(url, "UPDATE cell_01.ledger_entry SET amount_minor = amount_minor + 1")
    refused = operator.is_refused("ledger", "verify", code=1)
    assert f"of merchant {OTHER} in cell 1: " in refused


def test_each_merchant_of_a_cell_has_its_days_closed(operator: Operator, url: str) -> None:
    execute(url, "DELETE FROM cell_01.daily_close")
    assert f"of merchant {OTHER} in cell 1: " in operator.is_refused("ledger", "verify", code=1)


def a_trade(order: str, minor: int) -> dict[str, Any]:
    """As the sandbox lists a payment that was not refunded."""
    row = {"wallet": "wechat", "order": order, "trade": f"t-{order}", "state": "SUCCESS", "refunded": 0}
    return row | {"amount": minor, "currency": "HKD"}


def test_an_order_of_the_wallets_is_unknown_if_no_cell_knows_it(
    operator: Operator, url: str, httpserver_ipv4: HTTPServer
) -> None:
    known = [a_trade(SYSSN, 100), a_trade(OTHERS_SYSSN, 100)]
    known += [a_trade(f"order-{each}", 70_005) for each in (UNMATCHED, OTHERS_UNMATCHED)]
    verify = ("ledger", "verify", "--sandbox", httpserver_ipv4.url_for(""))
    httpserver_ipv4.expect_request("/control/book").respond_with_json({"trades": known})
    execute(url, "UPDATE cell_00.payment SET check_at = NULL; UPDATE cell_01.payment SET check_at = NULL")
    assert operator.run_json(*verify)["compared"] == 2

    httpserver_ipv4.clear()
    more = {"trades": [*known, a_trade(f"{OTHERS_SYSSN[:-1]}9", 7)]}
    httpserver_ipv4.expect_request("/control/book").respond_with_json(more)
    assert "money held for an unknown order" in operator.is_refused(*verify, code=1)
    with with_cell_down(url, 2):  # it may know the order
        assert without_the_third(operator, *verify)["first"] is None


def test_books_that_are_not_all_read_are_not_verified(incomplete: Operator) -> None:
    verified = without_the_third(incomplete, "ledger", "verify")
    assert (verified["ok"], verified["orders"], verified["first"]) == (False, 2, None)


def test_personal_data_is_purged_in_every_cell(incomplete: Operator, url: str) -> None:
    for schema in ("cell_00", "cell_01"):
        execute(
            url,
            f"UPDATE {schema}.webhook SET created_at = now() - interval '100 days', state = 'DELIVERED', "
            "delivered_at = now() - interval '100 days', style = 'old', body = 'sent' WHERE kind = 'refund'",
        )
    execute(url, APPLICANT)
    counted = without_the_third(incomplete, "purge", "--older-than", "91d", "--dry-run")
    assert (counted["webhook"], counted["merchant_application"]) == (4, 1)
    assert without_the_third(incomplete, "purge", "--older-than", "91d") == counted
    assert without_the_third(incomplete, "purge", "--older-than", "91d")["webhook"] == 0


def test_each_cell_has_its_own_report_after_a_restore(operator: Operator) -> None:
    report = operator.run_json("after-restore")
    assert report["directory"] == {"unknown_key_ciphertexts": 0, "missing_documents": 0}
    assert values(report["cells"], "cell") == [0, 1]
    assert values(report["cells"], "unscheduled_accounts") == [3, 1]
    shown = operator.run("after-restore", "--apply")
    assert all(title in shown for title in ("directory", "cell 0", "cell 1"))
    assert values(operator.run_json("after-restore")["cells"], "is_applied") == [True, True]


def test_a_restore_is_applied_without_a_cell(incomplete: Operator) -> None:
    report = without_the_third(incomplete, "after-restore", "--apply")
    assert [(each["cell"], each["is_applied"]) for each in report["cells"]] == [(0, True), (1, True)]


async def test_servers_that_never_answer_are_given_up_together(
    migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command may wait a minute for each statement."""
    monkeypatch.setattr(cell_answers, "MAX_RESPONSE_S", 0.2)

    async def number_of(store: Store, _: None) -> int:
        return store.cell

    with bound() as silent:
        silent.listen()
        location = CellLocation(1, f"{HOST}:{silent.getsockname()[1]}")
        async with Cells(migrated_url, PATIENT) as databases:
            await databases.add(location, write_nothing)
            stores = stores_over(databases, CIPHER, NODE)
            async with asyncio.timeout(PATIENCE_S):
                answers = await in_every_cell(number_of)(stores, None)
    assert (answers.by_cell, set(answers.down)) == ({0: 0}, {1})


async def write_nothing(_: object) -> None:
    pass


# ---- merchants -------------------------------------------------------------------------------------------------------


def test_a_merchant_is_added_to_the_cell_with_the_fewest_or_to_a_given_one(
    operator: Operator, url: str
) -> None:
    add = ("merchant", "add", APPCODE, "--name", "Tea", "--currency", "HKD", "--mchid")
    assert operator.run_json(*add, "m3")["cell"] == 0
    assert operator.run_json(*add, "m4", "--cell", "0")["cell"] == 0
    assert operator.run_json(*add, "m5")["cell"] == 1
    listed = {row["mchid"]: row["cell"] for row in operator.run_json("merchant", "list")}
    assert listed == {MCHID: 0, OTHER: 1, "m3": 0, "m4": 0, "m5": 1}
    assert "cell" in operator.run("merchant", "list").splitlines()[1]
    assert operator.is_refused(*add, "m6", "--cell", "7", code=1) == "tael: no cell 7\n"
    with with_cell_down(url, 2):  # it has the fewest
        assert operator.is_refused(*add, "m6", code=1) == DOWN
    assert "no app NONE" in operator.is_refused("merchant", "add", "NONE", *add[3:], "m6", code=1)


def test_a_merchants_volume_is_that_of_its_cell(incomplete: Operator, url: str) -> None:
    execute(url, "UPDATE cell_01.payment SET created_at = now()")
    shown = incomplete.run_json("merchant", "show", OTHER)
    assert (shown["merchant"]["cell"], shown["volume"]["day_minor"]) == (1, 100)
    execute(url, f"UPDATE merchant SET cell = 2 WHERE mchid = '{OTHER}'")
    shown = without_the_third(incomplete, "merchant", "show", OTHER)
    assert (shown["merchant"]["cell"], shown["volume"]) == (2, None)


# ---- cells -----------------------------------------------------------------------------------------------------------


def test_a_cell_is_added_and_listed(migrated_url: str, tmp_path: Path) -> None:
    operator = operator_of(migrated_url, tmp_path)
    row = {"number": 1, "servers": "", "schema": "cell_01"}
    assert operator.run_json("cell", "add", "1") == row
    up = {"node": "", "merchants": 0, "state": "up", "reason": ""}
    assert operator.run_json("cell", "list") == [row | {"number": 0, "schema": "cell_00"} | up, row | up]
    (entry,) = operator.run_json("audit", "list", "--kind", "cell_location")
    assert (entry["action"], entry["subject_id"], entry["after"]) == (
        "tael cell add",
        "1",
        {"number": 1, "servers": ""},
    )
    assert "cell 1 exists" in operator.is_refused("cell", "add", "1", code=1)
    assert "up" in operator.run("cell", "list")


def test_a_new_cell_is_granted_to_a_role(postgres_server: str, migrated: str, tmp_path: Path) -> None:
    create_role(postgres_server, GRANTEE)
    try:
        with temporary_database(postgres_server, migrated) as url:
            operator_of(url, tmp_path).run("cell", "add", "1", "--grant-to", GRANTEE)
            execute(as_role(url, GRANTEE), "INSERT INTO cell_01.daily_close VALUES ('m', now())")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                execute(as_role(url, GRANTEE), "DELETE FROM cell_01.ledger_entry")
    finally:
        drop_role(postgres_server, GRANTEE)


def test_a_cell_is_added_to_a_migrated_database_only(postgres_server: str, tmp_path: Path) -> None:
    with temporary_database(postgres_server, "template1") as url:
        refused = operator_of(url, tmp_path).is_refused("cell", "add", "1", code=2)
    assert "run `tael migrate`" in refused


def test_adding_a_cell_can_be_repeated(migrated_url: str, tmp_path: Path) -> None:
    """The schema is there, and the directory does not name it yet."""
    with_cell(migrated_url, 1)
    execute(migrated_url, "DELETE FROM cell_location WHERE ctid = (SELECT max(ctid) FROM cell_location)")
    operator = operator_of(migrated_url, tmp_path)
    assert values(operator.run_json("cell", "list"), "number") == [0]
    operator.run("cell", "add", "1")
    assert values(operator.run_json("cell", "list"), "number") == [0, 1]


def test_malformed_servers_are_refused(operator: Operator) -> None:
    for servers in (
        *("db.example", "db.example:99999", "db.example:0", "db example:1", "a:1,", "/tmp:1", "u@h:1"),
        *("[::1]:1,", "[::1]:1[::2]:1"),
    ):
        assert "--servers: must be" in operator.is_refused("cell", "add", "3", "--servers", servers, code=2)


def test_a_number_that_a_syssn_has_no_room_for_is_refused(operator: Operator) -> None:
    assert "from 0 to 99" in operator.is_refused("cell", "add", "100", code=2)
    assert "cell 0 exists" in operator.is_refused("cell", "add", "0", code=1)


def test_a_cell_that_is_down_is_listed_and_checked(incomplete: Operator) -> None:
    rows = incomplete.run_json("cell", "list")
    assert [(row["number"], row["state"], row["reason"]) for row in rows] == [
        (0, "up", ""),
        (1, "up", ""),
        (2, "down", "ConnectionRefusedError"),
    ]
    assert values(rows, "merchants") == [1, 1, 0]
    problems = failed_checks(incomplete)
    assert problems[2, "database"] == "it cannot be reached (ConnectionRefusedError)"


def failed_checks(operator: Operator) -> dict[tuple[int, str], str]:
    """The problem of each check that fails, by cell and name."""
    done = CliRunner().invoke(app, ["cell", "check", "--json"], env=operator.environment)
    rows = json.loads(done.stdout)
    failed = {(row["cell"], row["check"]): row["problem"] for row in rows if row["state"] == "failed"}
    assert (done.exit_code, done.stderr) == (int(bool(failed)), ""), done.output
    return failed


@pytest.fixture(scope="module")
def prepared(postgres_server: str) -> Iterator[str]:
    """The name of a database with group roles, which belong to the server. The second cell came later."""
    try:
        with temporary_database(postgres_server, "template1") as url:
            migrate(url, "--roles")
            create_login(postgres_server, GATEWAY, "tael_app")
            with_cell(url, 1)
            in_cells(url, seed)
            yield url.rpartition("/")[2]
    finally:
        for role in (GATEWAY, *ROLES):
            drop_role(postgres_server, role)


@pytest.fixture
def owner_url(postgres_server: str, prepared: str) -> Iterator[str]:
    """The URL of the owner of a copy of it."""
    with temporary_database(postgres_server, prepared) as url:
        yield url


@pytest.fixture
def gateway(owner_url: str, tmp_path: Path) -> Operator:
    """An operator with the privileges of the gateway."""
    return operator_of(logged_in(owner_url, GATEWAY), tmp_path)


def test_a_new_cell_has_the_privileges_of_the_group_roles(gateway: Operator) -> None:
    assert failed_checks(gateway) == {}
    assert values(gateway.run_json("incident", "list"), "mchid") == [OTHER, MCHID]
    assert "migrations" in gateway.run("cell", "check")


@pytest.mark.parametrize(
    ("statement", "check", "problem"),
    [
        ("UPDATE cell_01.cell SET number = 3", "number", "has the number 3"),
        ("DELETE FROM cell_01.cell", "number", "has the number None"),
        ("DELETE FROM cell_01.daily_close", "merchants", f"no daily close here: {OTHER}"),
        ("DELETE FROM cell_01._yoyo_migration", "migrations", "missing migrations: cell_0001"),
        (
            "UPDATE cell_01._yoyo_migration SET migration_id = 'cell_9999'",
            "migrations",
            "newer than this version",
        ),
        ("REVOKE SELECT ON cell_01.payment FROM tael_app", "privileges", "on payment"),
        ("GRANT UPDATE ON cell_01.ledger_entry TO tael_app", "role", "change rows of ledger_entry"),
    ],
)
def test_what_is_wrong_with_a_cell_is_named(
    gateway: Operator, owner_url: str, statement: str, check: str, problem: str
) -> None:
    execute(owner_url, statement)
    problems = failed_checks(gateway)
    assert problems.keys() == {(1, check)}
    assert problem in problems[1, check]


def doctors_problems(operator: Operator, *options: str) -> dict[str, str]:
    environment = operator.environment | OPTIONAL
    done = CliRunner().invoke(app, ["doctor", "--json", *options], env=environment)
    failed = [row for row in json.loads(done.stdout) if row["state"] == "failed"]
    return {row["check"]: row["problem"] for row in reversed(failed)}


def test_the_doctor_looks_at_every_cell(gateway: Operator, owner_url: str) -> None:
    """By the manual, four processes would need 4 x (2 x 12 + 9) + 2 x 3 x 2 + 3 connections."""
    for schema in ("cell_00", "cell_01"):
        execute(owner_url, f"UPDATE {schema}.daily_close SET close_at = now()")
        execute(owner_url, f"UPDATE {schema}.webhook SET deliver_at = NULL, state = 'DELIVERED'")
        execute(owner_url, f"UPDATE {schema}.unmatched_payment SET check_at = NULL")
        execute(owner_url, f"UPDATE {schema}.statement SET check_at = NULL")
    assert doctors_problems(gateway) == {}
    assert "4 processes need 147" in doctors_problems(gateway, "--processes", "4")["connections"]
    execute(owner_url, "UPDATE cell_01.daily_close SET close_at = now() - interval '1 day'")
    assert doctors_problems(gateway)["queues"].startswith("cell 1: rows of these queues")
    execute(owner_url, "REVOKE SELECT ON cell_01.payment FROM tael_app")
    assert "cell 1: the role" in doctors_problems(gateway)["privileges"]


def test_the_doctor_names_a_cell_that_is_down(gateway: Operator, owner_url: str) -> None:
    with with_cell_down(owner_url, 2):
        problems = doctors_problems(gateway)
    assert problems["database"] == "cell 2: the database cannot be reached (ConnectionRefusedError)"


# ---- servers ---------------------------------------------------------------------------------------------------------


def test_the_others_are_migrated_while_a_cell_is_down(incomplete: Operator, url: str) -> None:
    execute(url, "DROP SCHEMA cell_01 CASCADE")
    done = CliRunner().invoke(app, ["migrate"], env=incomplete.environment)
    assert (done.exit_code, done.stdout) == (1, "1 migrations applied\n")
    assert done.stderr.startswith("tael: cell 2 was not migrated: the database cannot be reached: ")
    assert "Connection refused" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_server_that_cannot_be_used_gets_no_cell(operator: Operator) -> None:
    with with_cell_down(operator.environment["TAEL_DATABASE_URL"], 2):
        rows = operator.run_json("cell", "list")
        on_it = ("--servers", rows[2]["servers"])
        refused = operator.is_refused("cell", "add", "3", *on_it, code=2)
        assert "cell 1 exists" in operator.is_refused("cell", "add", "1", *on_it, code=1)
    assert f"{rows[2]['servers']}: the database cannot be reached: " in refused


def test_cells_of_another_server_are_used_and_migrated_with_their_roles(
    postgres_server: str, prepared: str, tmp_path: Path
) -> None:
    with (
        temporary_database(postgres_server, "template1") as url,
        open_folder() as folder,
        EmbeddedPostgres(folder) as other,
    ):
        migrate(url, "--roles")
        login, servers = url.rpartition("@")[0], other.url.rpartition("@")[2].partition("/")[0]
        owner = operator_of(url, tmp_path)
        name, password = login.removeprefix("postgresql://").split(":")
        execute(other.url, f"ALTER ROLE {name} PASSWORD '{password}'")
        there = f"{login}@{servers}/{url.rpartition('/')[2]}"
        missing = owner.is_refused("cell", "add", "1", "--servers", servers, code=2)
        assert "does not exist" in missing
        create_database(f"{login}@{servers}/tael", url.rpartition("/")[2])

        with_cell(url, 1, "--servers", servers)

        create_login(there, GATEWAY, "tael_app")
        in_cells(url, seed)
        gateway = operator_of(logged_in(url, GATEWAY), tmp_path)
        assert failed_checks(gateway) == {}
        assert values(gateway.run_json("incident", "list"), "mchid") == [OTHER, MCHID]
        execute(there, "REVOKE ALL ON cell_01.payment FROM tael_app")
        assert failed_checks(gateway).keys() == {(1, "privileges")}
        migrate(url, "--roles")
        assert failed_checks(gateway) == {}


def test_the_servers_of_a_cell_are_changed(migrated_url: str, tmp_path: Path) -> None:
    with_cell(migrated_url, 1)
    operator = operator_of(migrated_url, tmp_path)
    servers = urlsplit(migrated_url).netloc.rpartition("@")[2]
    row = {"number": 1, "servers": servers, "schema": "cell_01"}
    assert operator.run_json("cell", "set", "1", "--servers", servers) == row
    assert values(operator.run_json("cell", "list"), "servers") == ["", servers]
    entry, _ = operator.run_json("audit", "list", "--kind", "cell_location")
    assert (entry["action"], entry["before"], entry["after"]) == (
        "tael cell set",
        {"servers": ""},
        {"servers": servers},
    )


def test_servers_without_the_cell_are_refused(postgres_server: str, migrated: str, tmp_path: Path) -> None:
    with temporary_database(postgres_server, migrated) as url, with_cell_down(url, 2):
        operator = operator_of(url, tmp_path)
        servers = urlsplit(url).netloc.rpartition("@")[2]
        set_servers = ("cell", "set", "2", "--servers")
        before = values(operator.run_json("cell", "list"), "servers")
        assert "has no schema cell_02" in operator.is_refused(*set_servers, servers, code=1)
        execute(url, "CREATE SCHEMA cell_02")
        execute(url, "CREATE TABLE cell_02.cell AS SELECT true AS is_here, 1 AS number")
        assert "has the number 1" in operator.is_refused(*set_servers, servers, code=1)
        with reserved_ports(1) as (port,):
            assert "cannot be reached" in operator.is_refused(*set_servers, f"{HOST}:{port}", code=1)
        assert "--servers: must be" in operator.is_refused(*set_servers, "nowhere", code=2)
        assert operator.is_refused("cell", "set", "3", "--servers", servers, code=1) == (
            "tael: there is no cell 3\n"
        )
        assert "TAEL_DATABASE_URL" in operator.is_refused("cell", "set", "0", "--servers", servers, code=1)
        assert values(operator.run_json("cell", "list"), "servers") == before


def test_a_cell_moves_between_nodes_of_citus_only(operator: Operator) -> None:
    move = ("cell", "move", "1", "--to", "db-2.example:5432")
    assert "no Citus extension" in operator.is_refused(*move, code=1)
    assert operator.is_refused("cell", "move", "7", *move[3:], code=1) == "tael: there is no cell 7\n"
