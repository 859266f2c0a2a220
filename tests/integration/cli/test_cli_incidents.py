"""`tael incident`: an operator lists incidents and resolves them."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tael.cli.app import app
from tael.incidents.domain.incident import Incident, IncidentKind
from tael.operations.store import Store
from tests.support.operator import Operator, fill, operator_of
from tests.support.store import with_a_merchant
from tests.support.values import MCHID, NOW

#: In order of time, one second apart.
LATE, UNKNOWN, ALARM, ELSEWHERE = (
    "1a7e0000000000a1",
    "57a400000000000b",
    "a1a4000000000c0c",
    "e15e00000000000d",
)
PAYMENT = "202601020100990000000001"
MEMBERS = {
    "incident_id",
    "at",
    "mchid",
    "kind",
    "subject_id",
    "detail",
    "account_id",
    "unmatched_id",
    "resolved_at",
    "resolution",
}


async def happened(store: Store) -> None:
    """Late money, an unmatched payment, a refused signature, and another merchant's incident."""
    await with_a_merchant(store)
    late = Incident(MCHID, PAYMENT, IncidentKind.LATE_MONEY, LATE, "wechat1", "paid after it was CLOSED", NOW)
    unknown = Incident(
        MCHID,
        "order-77",
        IncidentKind.UNKNOWN_ORDER,
        UNKNOWN,
        "wechat1",
        "a notice of order order-77, not created here: 700.05 HKD was paid",
        NOW + timedelta(seconds=1),
        unmatched_id=UNKNOWN,
    )
    alarm = Incident(
        MCHID,
        "wechat1",
        IncidentKind.OUR_IDENTITY_REFUSED,
        ALARM,
        "wechat1",
        "the wallet refuses who we are: \x1b[31mSIGNERROR",
        NOW + timedelta(seconds=2),
    )
    elsewhere = replace(alarm, mchid="mch2", incident_id=ELSEWHERE, at=NOW + timedelta(seconds=3))
    await store.incidents.note([late, unknown, alarm, elsewhere])


@pytest.fixture
def operator(database_url: str, tmp_path: Path) -> Operator:
    fill(database_url, happened)
    return operator_of(database_url, tmp_path)


def listed(operator: Operator, *arguments: str) -> list[str]:
    return [row["incident_id"] for row in operator.run_json("incident", "list", *arguments)]


def test_open_incidents_are_listed_newest_first(operator: Operator) -> None:
    assert listed(operator) == [ELSEWHERE, ALARM, UNKNOWN, LATE]
    assert listed(operator, "--mchid", MCHID) == [ALARM, UNKNOWN, LATE]
    assert listed(operator, "--mchid", "mch2") == [ELSEWHERE]
    assert listed(operator, "--mchid", "unknown") == []


def test_the_table_refers_to_the_unmatched_payment(operator: Operator) -> None:
    shown = operator.run("incident", "list")
    (line,) = [line for line in shown.splitlines() if "unknown_order" in line]
    for value in (MCHID, "order-77", "2026-01-02 11:04:06 UTC+8"):
        assert value in line
    assert line.count(UNKNOWN) == 2
    (line,) = [line for line in shown.splitlines() if ALARM in line]
    assert "our_identity_refused" in line


def test_an_incident_is_shown_whole(operator: Operator) -> None:
    shown = operator.run_json("incident", "show", UNKNOWN)
    assert set(shown) == MEMBERS
    assert (shown["kind"], shown["subject_id"], shown["mchid"]) == ("unknown_order", "order-77", MCHID)
    assert (shown["at"], shown["unmatched_id"]) == ("2026-01-02T03:04:06Z", UNKNOWN)
    assert (shown["resolved_at"], shown["resolution"]) == (None, "")
    assert "700.05 HKD" in operator.run("incident", "show", UNKNOWN)
    assert operator.run_json("incident", "show", LATE)["unmatched_id"] == ""


def test_a_wallets_text_cannot_send_terminal_escapes(operator: Operator) -> None:
    shown = operator.run("incident", "show", ALARM)
    assert "SIGNERROR" in shown
    assert "\x1b" not in shown


def test_a_resolved_incident_leaves_the_list_and_keeps_its_resolution(operator: Operator) -> None:
    shown = operator.run_json("incident", "resolve", LATE, "--note", "called the merchant")
    assert set(shown) == MEMBERS
    assert (shown["incident_id"], shown["resolution"]) == (LATE, "called the merchant")
    assert shown["resolved_at"] is not None
    assert listed(operator) == [ELSEWHERE, ALARM, UNKNOWN]
    assert listed(operator, "--all") == [ELSEWHERE, ALARM, UNKNOWN, LATE]
    assert listed(operator, "--all", "--mchid", "mch2") == [ELSEWHERE]
    assert operator.run_json("incident", "show", LATE)["resolution"] == "called the merchant"
    assert "called the merchant" in operator.run(
        "incident", "resolve", UNKNOWN, "--note", "called the merchant"
    )


def test_the_first_resolution_of_an_incident_stands(operator: Operator) -> None:
    first = operator.run_json("incident", "resolve", LATE, "--note", "called the merchant")
    refused = operator.is_refused("incident", "resolve", LATE, "--note", "did nothing", code=1)
    assert "already resolved: called the merchant" in refused
    shown = operator.run_json("incident", "show", LATE)
    assert (shown["resolved_at"], shown["resolution"]) == (first["resolved_at"], "called the merchant")


def test_an_unknown_incident_is_refused(operator: Operator) -> None:
    for arguments in (("show", "0000000000000000"), ("resolve", "0000000000000000", "--note", "x")):
        assert "no incident 0000000000000000" in operator.is_refused("incident", *arguments, code=1)
    # An incident's id is not abbreviated.
    assert "no incident" in operator.is_refused("incident", "show", LATE[:8], code=1)


def test_a_resolution_is_not_empty(operator: Operator) -> None:
    bare = CliRunner().invoke(app, ["incident", "resolve", LATE], env=operator.environment)
    assert (bare.exit_code, bare.stdout) == (2, "")
    assert "--note" in bare.stderr
    for note in ("", "  \t", "two\nlines", "red \x1b[31m", "turned \u202e", "x" * 501):
        assert "--note" in operator.is_refused("incident", "resolve", LATE, "--note", note, code=2)
    assert LATE in listed(operator)


def test_without_incidents_there_is_an_empty_list(operator: Operator) -> None:
    operator.in_store(lambda store: store.database.execute("DELETE FROM incident"))
    assert operator.run("incident", "list", "--json") == "[]\n"
    assert json.loads(operator.run("incident", "list", "--all", "--json")) == []
