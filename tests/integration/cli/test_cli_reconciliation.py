"""`tael reconcile`: an operator compares a day, looks at a difference, and resolves it."""

from pathlib import Path
from typing import Any, Final

import pytest

from tael.operations.store import Store
from tests.support.operator import Operator, fill, operator_of
from tests.support.statements import paid_line, stored
from tests.support.store import paid, with_a_merchant
from tests.support.values import a_payment

SYSSN: Final = "202601020100990000009999"


async def reconcilable(store: Store) -> None:
    """A day with a payment that agrees, and one with another fee than that of the contract."""
    await with_a_merchant(store)
    await store.directory.execute("UPDATE wallet_account SET wallet_fee_rate_ppm = 6000")
    payment = await paid(store, a_payment())
    wrong = await paid(store, a_payment(syssn=SYSSN, reference="wrong"))
    lines = [
        paid_line(payment.syssn, fee_micros=6_000),
        paid_line(wrong.syssn, fee_micros=10_000),
    ]
    await stored(store, lines)


@pytest.fixture
def operator(database_url: str, tmp_path: Path) -> Operator:
    fill(database_url, reconcilable)
    return operator_of(database_url, tmp_path)


def test_a_difference_is_found_shown_assigned_and_resolved(operator: Operator) -> None:
    (run,) = operator.run_json("reconcile", "run", "--day", "2026-01-02")
    members: dict[str, Any] = {
        "account_id": "wechat1",
        "kind": "transactions",
        "day": "2026-01-02",
        "lines": 2,
        "matched": 1,
        "differences": {"fee": 1},
    }
    assert {name: run[name] for name in members} == members
    total = {"currency": "HKD", "payments": 2, "paid_minor": 200, "refunds": 0, "refunded_minor": 0}
    assert run["theirs"] == run["ours"] == [total]
    table = operator.run(
        "reconcile", "run", "--account", "wechat1", "--from", "2026-01-01", "--to", "2026-01-02"
    )
    assert "2 paid 2.00 HKD, 0 returned 0.00 HKD" in table
    assert "1 fee" in table
    assert operator.run_json("reconcile", "run", "--from", "2026-01-03") == []

    (found,) = operator.run_json("reconcile", "list")
    assert (found["kind"], found["number"], found["state"]) == ("fee", SYSSN, "OPEN")
    assert (found["theirs"]["fee_micros"], found["ours"]["fee_micros"]) == (10_000, 6_000)
    assert "--wallet-fee-rate-ppm" in found["next_step"]
    difference = found["difference_id"]
    shown = operator.run("reconcile", "show", difference)
    assert "0.010000" in shown
    assert "0.006000 expected" in shown
    assert "a fee of 0.010000 HKD, expected 0.006000" in operator.run("reconcile", "list")

    assert operator.run_json("reconcile", "assign", difference, "--owner", "anna")["owner"] == "anna"
    filters = ("--account", "wechat1", "--day", "2026-01-02", "--kind", "fee", "--owner", "anna")
    assert [each["owner"] for each in operator.run_json("reconcile", "list", *filters)] == ["anna"]
    for option, value in (
        ("--account", "other"),
        ("--day", "2026-01-03"),
        ("--kind", "state"),
        ("--owner", "bao"),
    ):
        assert operator.run_json("reconcile", "list", option, value) == []

    (incident,) = operator.run_json("incident", "list")
    assert (incident["kind"], incident["detail"]) == (
        "reconciliation_difference",
        "transactions of 2026-01-02: 1 fee",
    )
    resolved = operator.run_json("reconcile", "resolve", difference, "--note", "claimed")
    assert (resolved["state"], resolved["resolution"]) == ("RESOLVED", "claimed")
    assert operator.run_json("incident", "list") == []
    assert operator.run_json("reconcile", "list", "--open") == []
    assert len(operator.run_json("reconcile", "list", "--all")) == 1
    (run,) = operator.run_json("reconcile", "run")
    assert (run["matched"], run["differences"]) == (1, {})
    refused = operator.is_refused("reconcile", "resolve", difference, "--note", "again", code=1)
    assert "already resolved: claimed" in refused


def test_what_is_not_there_is_refused(operator: Operator) -> None:
    for command in (("show",), ("assign", "--owner", "anna"), ("resolve", "--note", "seen")):
        assert "no difference other" in operator.is_refused("reconcile", *command, "other", code=1)
    assert "no account other" in operator.is_refused("reconcile", "run", "--account", "other", code=1)
    both = ("--day", "2026-01-02", "--from", "2026-01-01")
    assert "give either" in operator.is_refused("reconcile", "run", *both, code=2)


def test_the_wallets_fee_is_a_member_of_the_account(operator: Operator) -> None:
    account = operator.run_json("account", "set", "wechat1", "--wallet-fee-rate-ppm", "10000")
    assert account["wallet_fee_rate_ppm"] == 10_000
    (run,) = operator.run_json("reconcile", "run")
    assert run["differences"] == {"fee": 1}
    (found,) = operator.run_json("reconcile", "list")
    assert found["number"] != SYSSN
