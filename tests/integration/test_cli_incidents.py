"""`tael incident`: an operator sees what happened, follows unmatched payments in the ledger, and says what was done."""

import asyncio
import base64
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tael.base.money import Money
from tael.channels.outcomes import Refunded
from tael.cli.app import app
from tael.incidents.domain.incident import Incident, IncidentKind, UnmatchedState
from tael.operations.store import Store
from tael.unmatched.domain.unmatched import apply_return_outcome, confirm, unmatched_entries
from tael.unmatched.store.unmatched import UnmatchedChange
from tests.integration.test_cli import Operator
from tests.support.store import ENCRYPTION_KEY, entered_store, with_a_merchant
from tests.support.values import MCHID, NOW

#: In the order in which they happened, a second apart.
LATE, STRANGER, ALARM, ELSEWHERE = (
    "1a7e0000000000a1",
    "57a400000000000b",
    "a1a4000000000c0c",
    "e15e00000000000d",
)
PAYMENT, STRAY = "202601020100990000000001", "202601020100990000000002"
MEMBERS = {
    "incident_id",
    "at",
    "mchid",
    "kind",
    "subject_id",
    "detail",
    "account_id",
    "amount_minor",
    "currency",
    "wallet_ref",
    "payer_ref",
    "unmatched_state",
    "unmatched_syssn",
    "wallet_code",
    "return_ref",
    "returned_at",
    "check_at",
    "resolved_at",
    "resolution",
}


async def happened(store: Store) -> None:
    """Late money, a stranger's 700.05 that went back, a refused signature, and another merchant's incident."""
    await with_a_merchant(store)
    late = Incident(
        MCHID,
        PAYMENT,
        IncidentKind.LATE_MONEY,
        LATE,
        "wechat1",
        "paid after it was CLOSED",
        NOW,
        Money(100, "HKD"),
    )
    stranger = Incident(
        MCHID,
        "order-77",
        IncidentKind.UNKNOWN_ORDER,
        STRANGER,
        "wechat1",
        "a notice of order order-77, not created here: it was paid",
        NOW + timedelta(seconds=1),
        Money(70_005, "HKD"),
        wallet_ref="trade-77",
        payer_ref="payer-1",
        unmatched_state=UnmatchedState.SUSPECTED,
        check_at=NOW,
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
    await store.incidents.note([late, stranger, alarm, elsewhere])
    booked = confirm(stranger, Money(70_005, "HKD"), STRAY, returns=True, at=NOW)
    assert await store.unmatched_payments.record(
        UnmatchedChange(booked, unmatched_entries(stranger, booked, NOW))
    )
    booked = replace(booked, version=2)
    back = apply_return_outcome(booked, Refunded(None, "refund-77", NOW + timedelta(hours=1)), at=NOW)
    assert await store.unmatched_payments.record(
        UnmatchedChange(back, unmatched_entries(booked, back, NOW + timedelta(hours=1)))
    )


@pytest.fixture
def operator(database_url: str, tmp_path: Path) -> Operator:
    async def work() -> None:
        async with entered_store(database_url) as store:
            await happened(store)

    asyncio.run(work())
    encryption_key = base64.b64encode(ENCRYPTION_KEY).decode()
    return Operator({"TAEL_DATABASE_URL": database_url, "TAEL_ENCRYPTION_KEY": encryption_key}, tmp_path)


def listed(operator: Operator, *arguments: str) -> list[str]:
    return [row["incident_id"] for row in operator.asks("incident", "list", *arguments)]


def test_open_incidents_are_listed_newest_first(operator: Operator) -> None:
    assert listed(operator) == [ELSEWHERE, ALARM, STRANGER, LATE]
    assert listed(operator, "--mchid", MCHID) == [ALARM, STRANGER, LATE]
    assert listed(operator, "--mchid", "mch2") == [ELSEWHERE]
    assert listed(operator, "--mchid", "nobody") == []


def test_the_list_for_people_has_amounts_in_major_units(operator: Operator) -> None:
    shown = operator.says("incident", "list")
    (line,) = [line for line in shown.splitlines() if STRANGER in line]
    for word in (MCHID, "unknown_order", "order-77", "700.05 HKD", "RETURNED", "2026-01-02 11:04:06 UTC+8"):
        assert word in line
    (line,) = [line for line in shown.splitlines() if ALARM in line]
    assert "our_identity_refused" in line
    assert "NONE" in line


def test_an_incident_is_shown_with_the_ledger_entries_of_its_money(operator: Operator) -> None:
    told = operator.asks("incident", "show", STRANGER)
    ledger = told.pop("ledger")
    assert set(told) == MEMBERS
    assert (told["kind"], told["subject_id"], told["mchid"]) == ("unknown_order", "order-77", MCHID)
    assert (told["amount_minor"], told["currency"]) == (70_005, "HKD")
    assert (told["wallet_ref"], told["payer_ref"]) == ("trade-77", "payer-1")
    assert (told["unmatched_state"], told["unmatched_syssn"], told["return_ref"]) == (
        "RETURNED",
        STRAY,
        "refund-77",
    )
    assert (told["at"], told["returned_at"]) == ("2026-01-02T03:04:06Z", "2026-01-02T04:04:05Z")
    assert (told["check_at"], told["resolved_at"], told["resolution"]) == (None, None, "")
    assert ledger == [
        {
            "kind": "unmatched_received",
            "debit": "wallet:HKD:wechat1",
            "credit": "unmatched:HKD:wechat1",
            "amount_minor": 70_005,
            "at": "2026-01-02T03:04:05Z",
        },
        {
            "kind": "unmatched_returned",
            "debit": "unmatched:HKD:wechat1",
            "credit": "wallet:HKD:wechat1",
            "amount_minor": 70_005,
            "at": "2026-01-02T04:04:05Z",
        },
    ]
    shown = operator.says("incident", "show", STRANGER)
    assert all(
        word in shown
        for word in (
            "not created here",
            "700.05 HKD",
            "refund-77",
            "unmatched_received",
            "unmatched_returned",
        )
    )


def test_an_incident_without_money_of_nobodys_has_no_entries(operator: Operator) -> None:
    assert operator.asks("incident", "show", LATE)["ledger"] == []
    assert "ledger" not in operator.says("incident", "show", LATE)
    alarm = operator.asks("incident", "show", ALARM)
    assert (alarm["amount_minor"], alarm["currency"], alarm["unmatched_state"]) == (None, None, "NONE")


def test_a_wallets_words_do_not_reach_the_terminal_as_commands(operator: Operator) -> None:
    shown = operator.says("incident", "show", ALARM)
    assert "SIGNERROR" in shown
    assert "\x1b" not in shown


def test_a_resolved_incident_leaves_the_list_and_keeps_what_was_written(operator: Operator) -> None:
    told = operator.asks("incident", "resolve", LATE, "--note", "called the merchant")
    assert set(told) == MEMBERS
    assert (told["incident_id"], told["resolution"]) == (LATE, "called the merchant")
    assert told["resolved_at"] is not None
    assert listed(operator) == [ELSEWHERE, ALARM, STRANGER]
    assert listed(operator, "--all") == [ELSEWHERE, ALARM, STRANGER, LATE]
    assert listed(operator, "--all", "--mchid", "mch2") == [ELSEWHERE]
    assert operator.asks("incident", "show", LATE)["resolution"] == "called the merchant"
    assert "called the merchant" in operator.says(
        "incident", "resolve", STRANGER, "--note", "called the merchant"
    )


def test_the_first_word_about_an_incident_stands(operator: Operator) -> None:
    first = operator.asks("incident", "resolve", LATE, "--note", "called the merchant")
    refused = operator.is_refused("incident", "resolve", LATE, "--note", "did nothing", code=1)
    assert "resolved before: called the merchant" in refused
    shown = operator.asks("incident", "show", LATE)
    assert (shown["resolved_at"], shown["resolution"]) == (first["resolved_at"], "called the merchant")


def test_resolving_leaves_money_on_its_way(operator: Operator) -> None:
    operator.in_store(
        lambda store: store.database.execute(
            "UPDATE incident SET unmatched_state = 'RETURNING', check_at = at WHERE incident_id = $1",
            STRANGER,
        )
    )
    told = operator.asks("incident", "resolve", STRANGER, "--note", "known")
    assert (told["unmatched_state"], told["check_at"]) == ("RETURNING", "2026-01-02T03:04:06Z")


def test_an_unknown_incident_is_refused(operator: Operator) -> None:
    for arguments in (("show", "0000000000000000"), ("resolve", "0000000000000000", "--note", "x")):
        assert "no incident 0000000000000000" in operator.is_refused("incident", *arguments, code=1)
    # A name is whole or it is none.
    assert "no incident" in operator.is_refused("incident", "show", LATE[:8], code=1)


def test_a_resolution_says_something(operator: Operator) -> None:
    bare = CliRunner().invoke(app, ["incident", "resolve", LATE], env=operator.environment)
    assert (bare.exit_code, bare.stdout) == (2, "")
    assert "--note" in bare.stderr
    for note in ("", "  \t"):
        assert "--note" in operator.is_refused("incident", "resolve", LATE, "--note", note, code=2)
    assert LATE in listed(operator)


def test_without_incidents_there_is_an_empty_list(operator: Operator) -> None:
    operator.in_store(lambda store: store.database.execute("DELETE FROM incident"))
    assert operator.says("incident", "list", "--json") == "[]\n"
    assert json.loads(operator.says("incident", "list", "--all", "--json")) == []
