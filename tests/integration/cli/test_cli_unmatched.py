"""`tael unmatched`: an operator lists unmatched payments, sees their ledger entries, and decides about held ones."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tael.base.money import Money
from tael.channels.outcomes import Refunded
from tael.cli.app import app
from tael.incidents.domain.evidence import Evidence
from tael.incidents.domain.incident import Incident, IncidentKind
from tael.merchants.domain.merchant import UnmatchedPolicy
from tael.operations.store import Store
from tael.unmatched.domain.unmatched import UnmatchedPayment, apply_return_outcome, confirm, unmatched_entries
from tael.unmatched.store.unmatched import UnmatchedChange
from tests.support.operator import Operator, fill, operator_of
from tests.support.store import with_a_merchant
from tests.support.values import MCHID, NOW

RETURNED, HELD, SUSPECTED = "4e70000000000001", "4e1d000000000002", "5059000000000003"
SYSSN, HELD_SYSSN = "202601020100990000000002", "202601020100990000000003"
#: One more than are listed; each is one second older than the one before it.
MANY = """
INSERT INTO unmatched_payment (mchid, unmatched_id, subject_id, kind, account_id, protocol, at, wallet_ref, payer_ref)
SELECT 'many', 'id-' || n, 'order-' || n, 'unknown_order', 'wechat1', 'wechat',
    '2026-01-01T00:00:00Z'::timestamptz - n * interval '1 second', '', ''
FROM generate_series(1, 1001) AS n
"""
MEMBERS = {
    *("unmatched_id", "at", "mchid", "kind", "subject_id", "account_id", "amount_minor", "currency"),
    *("wallet_ref", "payer_ref", "state", "syssn", "booked_at", "asked_at", "wallet_code", "return_ref"),
    *("returned_at", "check_at", "reason", "note"),
}


def report(unmatched_id: str, mchid: str, seconds: int) -> tuple[Incident, Evidence]:
    """700.05 for an unknown order."""
    order, at = f"order-{unmatched_id}", NOW + timedelta(seconds=seconds)
    kind, money = IncidentKind.UNKNOWN_ORDER, Money(70_005, "HKD")
    return (
        Incident(mchid, order, kind, unmatched_id, "wechat1", "a notice", at, unmatched_id=unmatched_id),
        Evidence(
            mchid, unmatched_id, order, kind, "wechat1", "wechat_v2", at, money, f"trade-{order}", "p-1"
        ),
    )


async def booked(store: Store, unmatched_id: str, syssn: str, policy: UnmatchedPolicy) -> UnmatchedPayment:
    before = await store.unmatched_payments.by_id(unmatched_id)
    assert before is not None
    after = confirm(before, Money(70_005, "HKD"), syssn, policy, NOW)
    assert await store.unmatched_payments.record(
        UnmatchedChange(after, unmatched_entries(before, after, NOW))
    )
    found = await store.unmatched_payments.by_id(unmatched_id)
    assert found is not None
    return found


async def happened(store: Store) -> None:
    """One was returned, one is held, and another merchant's is suspected."""
    await with_a_merchant(store)
    for unmatched_id, mchid, seconds in ((RETURNED, MCHID, 0), (HELD, MCHID, 1), (SUSPECTED, "mch2", 2)):
        incident, evidence = report(unmatched_id, mchid, seconds)
        await store.incidents.note([incident], [evidence])
    before = await booked(store, RETURNED, SYSSN, UnmatchedPolicy.RETURN)
    at = NOW + timedelta(hours=1)
    back = apply_return_outcome(before, Refunded(None, "refund-77", at), at=at)
    assert await store.unmatched_payments.record(UnmatchedChange(back, unmatched_entries(before, back, at)))
    await booked(store, HELD, HELD_SYSSN, UnmatchedPolicy.HOLD)


@pytest.fixture
def operator(database_url: str, tmp_path: Path) -> Operator:
    fill(database_url, happened)
    return operator_of(database_url, tmp_path)


def listed(operator: Operator, *arguments: str) -> list[str]:
    return [row["unmatched_id"] for row in operator.run_json("unmatched", "list", *arguments)]


def incident_of(operator: Operator, unmatched_id: str) -> dict[str, Any]:
    shown: dict[str, Any] = operator.run_json("incident", "show", unmatched_id)
    return shown


def test_undecided_ones_are_listed_newest_first(operator: Operator) -> None:
    assert listed(operator) == [SUSPECTED, HELD]
    assert listed(operator, "--all") == [SUSPECTED, HELD, RETURNED]
    assert listed(operator, "--mchid", "mch2") == [SUSPECTED]
    assert listed(operator, "--all", "--mchid", MCHID) == [HELD, RETURNED]
    assert listed(operator, "--mchid", "unknown") == []


def test_the_table_has_amounts_in_major_units(operator: Operator) -> None:
    (line,) = [line for line in operator.run("unmatched", "list").splitlines() if HELD in line]
    for value in (MCHID, "unknown_order", "700.05 HKD", "HELD", "2026-01-02 11:04:06 UTC+8"):
        assert value in line


def test_one_is_shown_with_its_ledger_entries(operator: Operator) -> None:
    shown = operator.run_json("unmatched", "show", RETURNED)
    ledger = shown.pop("ledger")
    assert set(shown) == MEMBERS
    assert (shown["kind"], shown["subject_id"], shown["mchid"]) == (
        "unknown_order",
        f"order-{RETURNED}",
        MCHID,
    )
    assert (shown["amount_minor"], shown["currency"]) == (70_005, "HKD")
    assert (shown["state"], shown["syssn"], shown["return_ref"]) == ("RETURNED", SYSSN, "refund-77")
    assert (shown["booked_at"], shown["returned_at"]) == ("2026-01-02T03:04:05Z", "2026-01-02T04:04:05Z")
    assert [(e["kind"], e["debit"], e["credit"], e["amount_minor"], e["at"]) for e in ledger] == [
        ("unmatched_received", "wallet:HKD:wechat1", "unmatched:HKD:wechat1", 70_005, "2026-01-02T03:04:05Z"),
        ("unmatched_returned", "unmatched:HKD:wechat1", "wallet:HKD:wechat1", 70_005, "2026-01-02T04:04:05Z"),
    ]
    table = operator.run("unmatched", "show", RETURNED)
    assert all(value in table for value in ("700.05 HKD", "refund-77", "unmatched_received"))
    assert operator.run_json("unmatched", "show", SUSPECTED)["ledger"] == []
    assert "ledger" not in operator.run("unmatched", "show", SUSPECTED)


def test_a_held_one_is_kept_with_a_note_that_resolves_its_incident(operator: Operator) -> None:
    shown = operator.run_json("unmatched", "keep", HELD, "--note", " the shop agreed ")
    assert set(shown) == MEMBERS
    assert (shown["state"], shown["note"], shown["check_at"]) == ("KEPT", "the shop agreed", None)
    assert listed(operator) == [SUSPECTED]
    incident = incident_of(operator, HELD)
    assert (incident["resolution"], incident["resolved_at"] is None) == ("the shop agreed", False)
    assert incident_of(operator, SUSPECTED)["resolved_at"] is None
    refused = operator.is_refused("unmatched", "return", HELD, code=1)
    assert "it is KEPT, not HELD" in refused


def test_a_held_one_is_due_for_its_return(operator: Operator) -> None:
    shown = operator.run_json("unmatched", "return", HELD, "--note", "sent to us by mistake")
    assert (shown["state"], shown["syssn"], shown["note"]) == (
        "APPROVED",
        HELD_SYSSN,
        "sent to us by mistake",
    )
    assert shown["asked_at"] == shown["check_at"] is not None
    assert listed(operator) == [SUSPECTED, HELD]
    assert incident_of(operator, HELD)["resolved_at"] is None  # until it is returned
    assert "APPROVED" in operator.run("unmatched", "show", HELD)
    for decision in (("return", HELD), ("keep", HELD, "--note", "x")):
        assert "it is APPROVED" in operator.is_refused("unmatched", *decision, code=1)


def test_a_return_needs_no_note(operator: Operator) -> None:
    shown = operator.run_json("unmatched", "return", HELD)
    assert (shown["state"], shown["note"]) == ("APPROVED", "")


@pytest.mark.parametrize("unmatched_id", [RETURNED, SUSPECTED])
def test_only_what_is_held_is_decided(operator: Operator, unmatched_id: str) -> None:
    before = operator.run_json("unmatched", "show", unmatched_id)
    operator.is_refused("unmatched", "return", unmatched_id, code=1)
    operator.is_refused("unmatched", "keep", unmatched_id, "--note", "x", code=1)
    assert operator.run_json("unmatched", "show", unmatched_id) == before


def test_an_unknown_id_is_refused(operator: Operator) -> None:
    for arguments in (("show", "0" * 16), ("return", "0" * 16), ("keep", "0" * 16, "--note", "x")):
        refused = operator.is_refused("unmatched", *arguments, code=1)
        assert "no unmatched payment 0000000000000000" in refused
    assert "no unmatched payment" in operator.is_refused("unmatched", "show", HELD[:8], code=1)


def test_to_keep_it_needs_a_note(operator: Operator) -> None:
    bare = CliRunner().invoke(app, ["unmatched", "keep", HELD], env=operator.environment)
    assert (bare.exit_code, bare.stdout) == (2, "")
    assert "--note" in bare.stderr
    assert "--note" in operator.is_refused("unmatched", "keep", HELD, "--note", "", code=2)
    assert operator.run_json("unmatched", "show", HELD)["state"] == "HELD"


@pytest.mark.parametrize(
    "note", ["  \t", "two\nlines", "red \x1b[31m", "nul \x00", "turned \u202e", "x" * 501]
)
def test_a_note_is_one_short_line_without_control_characters(operator: Operator, note: str) -> None:
    for command in ("keep", "return"):
        refused = operator.is_refused("unmatched", command, HELD, "--note", note, code=2)
        assert "--note: must be one line of 1 to 500 characters" in refused
    assert operator.run_json("unmatched", "show", HELD)["state"] == "HELD"


def test_a_note_may_have_500_characters_of_any_language(operator: Operator) -> None:
    note = "退款" * 250
    assert operator.run_json("unmatched", "keep", HELD, "--note", note)["note"] == note


def test_the_newest_thousand_are_listed(operator: Operator) -> None:
    operator.in_store(lambda store: store.database.execute(MANY))
    assert len(listed(operator, "--mchid", "many")) == 1_000
    assert listed(operator, "--mchid", "many")[0] == "id-1"


def test_without_unmatched_payments_there_is_an_empty_list(operator: Operator) -> None:
    operator.in_store(lambda store: store.database.execute("DELETE FROM unmatched_payment"))
    assert json.loads(operator.run("unmatched", "list", "--all", "--json")) == []
