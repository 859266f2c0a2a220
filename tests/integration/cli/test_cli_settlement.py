"""`tael settlement`: an operator sets terms, makes payouts, records transfers and exports them."""

import csv
import io
import json
from pathlib import Path

import pytest

from tael.operations.store import Store
from tests.support.operator import Operator, fill, operator_of
from tests.support.settlement import Moved, close_before, move
from tests.support.store import with_a_merchant

TERMS = ("settlement", "terms", "mch1")


async def filled(store: Store) -> None:
    await with_a_merchant(store)
    await move(store, Moved(0, "payment", 10_000), Moved(0, "fee", 60), Moved(1, "refund", 9_990))
    await close_before(store, 3)


@pytest.fixture
def operator(database_url: str, tmp_path: Path) -> Operator:
    fill(database_url, filled)
    return operator_of(database_url, tmp_path)


def test_a_merchant_is_paid_out(operator: Operator) -> None:
    set_terms = (*TERMS, "--cycle", "daily", "--since", "2026-01-01")
    (terms,) = operator.run_json(*set_terms, "--minimum-minor", "10")
    assert (terms["currency"], terms["cycle"], terms["minimum_minor"]) == ("HKD", "daily", 10)
    assert operator.run_json(*TERMS, "--reserve-ppm", "100000") == [terms | {"reserve_ppm": 100_000}]
    assert "0.10 HKD" in operator.run(*TERMS)

    made = operator.run_json("settlement", "run", "--until", "2026-01-04")

    assert [(each["state"], each["amount_minor"], each["carried_minor"]) for each in made["payouts"]] == [
        ("CREATED", 8_940, 0),
        ("CARRIED", 0, -8_990),
        ("CARRIED", 0, -8_990),
    ]
    waiting = {"mchid": "mch1", "currency": "HKD", "first_day": "2026-01-04", "last_day": "2026-01-04"}
    assert made["waiting"] == [waiting]
    again = operator.run("settlement", "run", "--until", "2026-01-04")
    assert "waiting for the daily close" in again
    first = made["payouts"][0]
    assert operator.run_json("settlement", "list", "--state", "CREATED") == [first]
    assert operator.run_json("settlement", "list", "--merchant", "other") == []
    assert "89.40 HKD" in operator.run("settlement", "list")

    paid = ("settlement", "paid", first["payout_id"], "--reference")
    shown = operator.run_json(*paid, "FT 0001")
    assert (shown["state"], shown["bank_reference"]) == ("PAID", "FT 0001")
    assert operator.run_json("settlement", "show", first["payout_id"]) == shown
    assert "100.00 HKD (1)" in operator.run("settlement", "show", first["payout_id"])
    assert "was paid with FT 0001" in operator.is_refused(*paid, "FT 0002", code=1)
    assert "--reference" in operator.is_refused(*paid, "\n", code=2)
    carried = ("settlement", "paid", made["payouts"][1]["payout_id"], "--reference", "FT")
    assert "pays nothing: it is carried over" in operator.is_refused(*carried, code=1)


def test_payouts_are_exported(operator: Operator) -> None:
    operator.run(*TERMS, "--cycle", "daily", "--since", "2026-01-01")
    first, *_ = operator.run_json("settlement", "run", "--until", "2026-01-03")["payouts"]
    operator.run("settlement", "paid", first["payout_id"], "--reference", "=FT")
    export = ("settlement", "export", "--from", "2026-01-01", "--to", "2026-01-02", "--format")

    text = operator.run(*export, "csv").removeprefix("\ufeff")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [(row["name"], row["last_day"], row["amount"], row["bank_reference"]) for row in rows] == [
        ("Shop mch1", "2026-01-01", "99.40", "'=FT"),
        ("Shop mch1", "2026-01-02", "0.00", ""),
    ]
    assert len(json.loads(operator.run(*export, "json", "--merchant", "mch1"))["payouts"]) == 2
    assert "<td>=FT</td>" in operator.run(*export, "html")

    one = json.loads(operator.run("settlement", "export", first["payout_id"], "--format", "json"))
    assert (one["name"], one["payout"]["amount_minor"]) == ("Shop mch1", 9_940)
    # Each entry of these tests has a cause of its own, so the fee is no part of the payment.
    assert [(each["type"], each["amount_minor"]) for each in one["movements"]] == [("payment", 10_000)]
    page = operator.run("settlement", "export", first["payout_id"], "--format", "html")
    assert all(text in page for text in ("<h1>Payout</h1>", "reserve held", "99.40", "=FT"))


def test_commands_that_cannot_be_followed_are_refused_in_one_line(operator: Operator) -> None:
    assert "--cycle: required" in operator.is_refused(*TERMS, "--reserve-ppm", "5", code=2)
    assert "--weekday" in operator.is_refused(*TERMS, "--cycle", "weekly", code=2)
    assert "--currency" in operator.is_refused(*TERMS, "--currency", "hkd", "--cycle", "daily", code=2)
    other = ("settlement", "terms", "other", "--cycle", "daily")
    assert "no merchant other" in operator.is_refused(*other, code=1)
    assert "no terms of payout for mch1" in operator.is_refused(
        *TERMS[:1], "run", "--merchant", "mch1", code=1
    )
    assert "has no terms in HKD" in operator.is_refused(*TERMS, "--remove", code=1)
    operator.run(*TERMS, "--cycle", "daily")
    assert operator.run_json(*TERMS, "--remove") == []
    for command in ("show", "paid", "export"):
        more = {"paid": ("--reference", "x"), "export": ("--format", "csv")}.get(command, ())
        assert "no payout x" in operator.is_refused("settlement", command, "x", *more, code=1)
    export = ("settlement", "export", "--format", "csv")
    assert "give PAYOUT, or" in operator.is_refused(*export, "--from", "2026-01-01", code=2)
    assert "not both" in operator.is_refused(*export, "x", "--from", "2026-01-01", code=2)
