"""A merchant's account statement has each movement once, with fees, and agrees with the ledger's balance."""

import csv
import io
import json
from contextlib import aclosing
from datetime import date, timedelta
from io import BytesIO
from typing import Any, Final

import pytest

from tael.channels.alipay_mapi.statements import STATEMENTS
from tael.ledger.domain.digest import beginning_of
from tael.merchants.domain.forms import InvalidValue
from tael.operations.store import Store
from tael.settlement.exports import Format
from tael.settlement.movement_export import Period, export_movements
from tael.settlement.store import movements
from tael.statements.files import read_file
from tael.statements.imports import ImportOptions, import_statement
from tests.support.alipay import TestClock
from tests.support.crashing import Process
from tests.support.fake_wallet import FakeWallet
from tests.support.values import BARCODE, MCHID, NOW, ORIGIN, a_merchant, an_alipay_account
from tests.support.world import World, pay, refund, reverse

DAY: Final = date(2026, 1, 2)


async def exported(store: Store, first: date, last: date, form: Format = Format.JSON) -> str:
    merchant = a_merchant()
    pieces = export_movements(store.database, merchant, Period(first, last), form, NOW)
    async with aclosing(pieces):
        return b"".join([piece async for piece in pieces]).decode("utf-8-sig")


async def read(store: Store, first: date, last: date) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await exported(store, first, last))
    return found


@pytest.fixture
async def world(store: Store) -> World:
    """On January 2 two payments of 100 with a fee of 5 %, one of them reversed; a refund of 30 on the next day."""
    await store.directory.execute("UPDATE wallet_account SET fee_rate_ppm = 50000")
    clock = TestClock(NOW)
    world = World(store, clock, FakeWallet(clock))
    gateway = world.gateway(Process())
    first = await pay(gateway, BARCODE, "A")
    second = await pay(gateway, BARCODE, "=B")
    clock.at = NOW + timedelta(minutes=1)
    await reverse(gateway, second)
    clock.at = NOW + timedelta(days=1)
    await refund(gateway, first, "R1", 30)
    return world


async def test_each_movement_is_there_once_with_its_fee_and_its_statement_line(
    store: Store, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(movements, "PAGE", 2)
    account = an_alipay_account("alipay-online", scene="online", pid="2088000000000001")
    both = await read(store, DAY, DAY + timedelta(days=1))
    (syssn, reversed_syssn, _, _) = (each["syssn"] for each in both["movements"])
    file = (
        f"{syssn}|1.00|HKD|20260102110405|20260105003000|P|0.012|L|\n"
        f"{reversed_syssn}|1.00|HKD|20260102110405|20260105003000|R|0.01|L|\n"
    )
    await import_statement(
        store.statements,
        account,
        STATEMENTS,
        read_file(BytesIO(file.encode())),
        "",
        ImportOptions(),
        ORIGIN,
        lambda _: None,
    )

    both = await read(store, DAY, DAY + timedelta(days=1))

    columns = (
        "type",
        "out_trade_no",
        "amount_minor",
        "fee_minor",
        "net_minor",
        "wallet_fee_micros",
        "settled_on",
    )
    assert [tuple(each[name] for name in columns) for each in both["movements"]] == [
        ("payment", "A", 100, -5, 95, 12_000, "2026-01-05"),
        ("payment", "=B", 100, -5, 95, None, None),
        ("reversal", "=B", -100, 5, -95, 10_000, "2026-01-05"),
        ("refund", "R1", -30, 1, -29, None, None),
    ]
    refunded = both["movements"][-1]
    assert (refunded["orig_syssn"], refunded["time"]) == (syssn, "2026-01-03T11:04:05+08:00")
    assert (refunded["wallet"], refunded["pay_type"], refunded["goods_name"]) == (
        "wechat",
        "800208",
        "a thing",
    )
    (total,) = both["totals"]
    assert (total["opening_minor"], total["closing_minor"]) == (0, 95 + 95 - 95 - 29)
    (method,) = both["methods"]
    assert (method["payments"], method["paid_minor"], method["refunded_minor"], method["fee_minor"]) == (
        2,
        200,
        -130,
        -4,
    )


async def test_a_period_begins_and_ends_with_its_days_in_utc8(store: Store, world: World) -> None:
    next_day = DAY + timedelta(days=1)
    await store.database.execute(
        "UPDATE ledger_entry SET at = $1 WHERE cause = (SELECT syssn FROM refund)", beginning_of(next_day)
    )

    first, second = await read(store, DAY, DAY), await read(store, next_day, next_day)
    empty = await read(store, DAY + timedelta(days=9), DAY + timedelta(days=9))

    assert [each["type"] for each in first["movements"]] == ["payment", "payment", "reversal"]
    assert [each["type"] for each in second["movements"]] == ["refund"]
    assert first["totals"][0]["closing_minor"] == second["totals"][0]["opening_minor"] == 95
    assert second["totals"][0]["closing_minor"] == empty["totals"][0]["opening_minor"] == 66
    assert empty["movements"] == []


#: As if another merchant had taken the same payments.
ANOTHER_MERCHANT: Final = """
INSERT INTO ledger_entry
SELECT 'other', cause, kind, debit, replace(credit, 'mch1', 'other'), 7, currency, at FROM ledger_entry
WHERE kind = 'payment'
"""


async def test_every_format_has_the_movements_of_one_merchant(store: Store, world: World) -> None:
    await store.database.execute(ANOTHER_MERCHANT)
    text = await exported(store, DAY, DAY + timedelta(days=1), Format.CSV)
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [(row["out_trade_no"], row["net"]) for row in rows] == [
        ("A", "0.95"),
        ("'=B", "0.95"),
        ("'=B", "-0.95"),
        ("R1", "-0.29"),
    ]
    page = await exported(store, DAY, DAY + timedelta(days=1), Format.HTML)
    assert all(text in page for text in (MCHID, "Shop mch1", "closing balance", "0.66", "=B"))
    assert page.count("<td>payment</td>") == 2
    found = await read(store, DAY, DAY + timedelta(days=1))
    assert (found["mchid"], found["totals"][0]["closing_minor"]) == (MCHID, 66)


def test_a_period_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(InvalidValue, match="to: must not be before"):
        Period(DAY, DAY - timedelta(days=1))
    with pytest.raises(InvalidValue, match="from: must be from 2000-01-01"):
        Period(DAY.replace(year=1), DAY)
