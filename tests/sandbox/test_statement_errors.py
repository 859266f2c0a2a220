"""Errors planted in statements: each changes exactly its line, and is in the response; everything else stays true."""

import gzip
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tael_sandbox import statement_errors, statements
from tael_sandbox.alipay.statement_lines import AlipayLines
from tael_sandbox.alipay.trades import TABLES
from tael_sandbox.books import Books
from tael_sandbox.wallet import ControlError, Planting
from tests.sandbox import alipay_shop, wechat_shop
from tests.sandbox.alipay_shop import new_number
from tests.sandbox.conftest import ControlRefused, Sandbox
from tests.sandbox.days import compact, move_to

PAYMENTS: Final = 12
#: The cells of a line that the response names: number, amount, fee, state.
CELLS: Final = {"alipay": (0, 1, 6, 5), "wechat": (6, 12, 22, 9)}
#: Where a bill's line has the number and amount of a refund.
REFUND_NUMBER, REFUND_AMOUNT = 15, 16

Files = dict[str, Counter[tuple[str, ...]]]


class Days(NamedTuple):
    """Two closed days of one wallet, with payments, a refund and a reversal on the first."""

    sandbox: Sandbox
    wallet: str
    first: str
    second: str
    paid_only: frozenset[str]  #: orders of which nothing was returned

    def plant(self, kind: str, count: int = 1, **members: Any) -> list[dict[str, Any]]:
        day = members.pop("day", self.first)
        request = {"wallet": self.wallet, "day": day, "kind": kind, "count": count, **members}
        planted: list[dict[str, Any]] = self.sandbox.control("POST", "statement-errors", request)
        return planted

    def files(self) -> Files:
        return {day: Counter(self.lines(day)) for day in (self.first, self.second)}

    def lines(self, day: str) -> list[tuple[str, ...]]:
        """The lines of a day; a bill's totals are checked."""
        written = day.replace("-", "")
        if self.wallet == "alipay":
            return alipay_lines(self.sandbox, "forex_compare_file", written)
        caller = wechat_shop.shop(self.sandbox)
        members = caller.signed(bill_date=written, bill_type="ALL", tar_type="GZIP")
        packed = caller.send("/pay/downloadbill", wechat_shop.as_xml(members)).body
        _, *rows, _, totals = gzip.decompress(packed).decode("utf-8-sig").split("\r\n")[:-1]
        cells = [tuple(row[1:].split(",`")) for row in rows]
        sums = (sum((Decimal(row[place]) for row in cells), Decimal(0)) for place in (12, 16, 17, 22))
        assert totals[1:].split(",`") == [str(len(cells)), *(f"{total:f}" for total in sums)]
        return cells


def alipay_lines(sandbox: Sandbox, service: str, first: str, last: str = "") -> list[tuple[str, ...]]:
    offline = alipay_shop.shop(sandbox, "offline")
    dates = {"start_date": first, "end_date": last or first}
    body = offline.post(offline.signed(service, dates)).body.decode()
    return [tuple(line.split("|")) for line in body.splitlines()]


def pay(sandbox: Sandbox, wallet: str) -> str:
    order = new_number() + "0" * 8
    if wallet == "alipay":
        alipay_shop.shop(sandbox, "offline").pay_spot(sandbox.code(), order)
    else:
        wechat_shop.shop(sandbox).scan_code(sandbox.code(wallet=wallet), out_trade_no=order)
    return order


def give_back(sandbox: Sandbox, wallet: str, refunded: str, reversed_: str) -> None:
    if wallet == "alipay":
        offline = alipay_shop.shop(sandbox, "offline")
        offline.refund_spot(refunded, new_number("R"), "10.01")
        offline.cancel(reversed_)
    else:
        caller = wechat_shop.shop(sandbox)
        caller.refund(refunded, 1001)
        caller.reverse(reversed_)


@pytest.fixture(scope="module")
def both_days(new_sandbox: Callable[[], Sandbox]) -> Iterator[dict[str, Days]]:
    sandbox = new_sandbox()
    noon = move_to(sandbox, 12, weekday=2)
    orders = {wallet: [pay(sandbox, wallet) for _ in range(PAYMENTS)] for wallet in CELLS}
    for wallet in CELLS:
        give_back(sandbox, wallet, *orders[wallet][:2])
    second = move_to(sandbox, 12)
    for wallet in CELLS:
        pay(sandbox, wallet)
    move_to(sandbox, 11)
    days = (f"{noon:%Y-%m-%d}", f"{second:%Y-%m-%d}")
    for wallet in CELLS:
        for day in days:
            sandbox.control("POST", "statements", {"wallet": wallet, "day": day})
    yield {wallet: Days(sandbox, wallet, *days, frozenset(orders[wallet][2:])) for wallet in CELLS}
    sandbox.end()


@pytest.fixture(params=CELLS)
def days(request: pytest.FixtureRequest, both_days: dict[str, Days]) -> Days:
    return both_days[request.param]


def difference(before: Files, after: Files, day: str) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """The lines of the day that are gone, and those that are new."""
    return list((before[day] - after[day]).elements()), list((after[day] - before[day]).elements())


def cells_of(wallet: str, line: tuple[str, ...]) -> dict[str, str]:
    """What the response says about this line."""
    number, amount, fee, state = (line[place] for place in CELLS[wallet])
    if wallet == "wechat" and state != "SUCCESS":
        number = line[REFUND_NUMBER] if state == "REFUND" else number
        amount = line[REFUND_AMOUNT]
    return {"number": number, "amount": amount, "fee": fee, "state": state}


def shown(error: dict[str, Any], side: str) -> dict[str, str]:
    return {"number": error["number"], **{name: error[side][name] for name in ("amount", "fee", "state")}}


@pytest.mark.parametrize("kind", statement_errors.KINDS)
def test_an_error_changes_its_line_and_no_other(days: Days, kind: str) -> None:
    before, book = days.files(), days.sandbox.control("GET", "book")
    (error,) = days.plant(kind)
    after = days.files()
    removed, added = difference(before, after, days.first)
    removed_next, added_next = difference(before, after, days.second)
    assert days.sandbox.control("GET", "book") == book
    assert (error["kind"], error["wallet"], error["day"]) == (kind, days.wallet, days.first)
    assert error in days.sandbox.control("GET", "statement-errors")
    account = days.sandbox.account(days.wallet, "demo", "offline" if days.wallet == "alipay" else None)
    assert error["account"] == account["pid" if days.wallet == "alipay" else "sub_mch_id"]
    for lines, side in ((removed, "before"), (added or added_next, "after")):
        for line in lines:
            assert cells_of(days.wallet, line) == shown(error, side)
    assert not removed_next
    assert (len(removed), len(added), len(added_next)) == {
        "missing_here": (0, 1, 0),
        "missing_there": (1, 0, 0),
        "amount": (1, 1, 0),
        "fee": (1, 1, 0),
        "state": (0, 1, 0),
        "duplicate": (0, 1, 0),
        "wrong_day": (1, 0, 1),
    }[kind]
    match kind:
        case "missing_here":
            assert error["before"] is None
            assert not [row for row in book["trades"] if row["order"] == error["number"]]
        case "missing_there":
            assert error["after"] is None
        case "amount" | "fee":
            assert sum(old != new for old, new in zip(removed[0], added[0], strict=True)) == 1
            assert error["before"][kind] != error["after"][kind]
        case "state":
            assert error["number"] in days.paid_only
            assert added[0][CELLS[days.wallet][3]] in ("R", "REVOKED")
            assert error["type"] == "reversal"
        case "duplicate":
            assert before[days.first][added[0]] == 1
        case "wrong_day":
            moved = [old for old, new in zip(removed[0], added_next[0], strict=True) if old != new]
            assert moved  # times and nothing else
            assert all(days.first.replace("-", "") == cell.replace("-", "")[:8] for cell in moved)
            assert error["after"]["day"] == days.second


def test_a_line_said_to_be_reversed_has_the_form_of_a_reversal(both_days: dict[str, Days]) -> None:
    days = both_days["wechat"]
    days.plant("state")
    lines = [line for line in days.lines(days.first) if line[9] == "REVOKED"]
    true, *planted = lines
    assert planted
    own = (0, 5, 6, 10)  # time, numbers and the payer's bank
    for line in planted:
        assert [cell for place, cell in enumerate(line) if place not in own] == [
            cell for place, cell in enumerate(true) if place not in own
        ]


def test_alipays_settlement_file_has_the_same_lines(both_days: dict[str, Days]) -> None:
    days = both_days["alipay"]
    days.plant("duplicate")
    settled = alipay_lines(days.sandbox, "forex_liquidation_file", days.second.replace("-", ""))
    assert [(*line[:4], *line[5:7]) for line in settled] == [
        (*line[:4], *line[5:7]) for line in days.lines(days.first)
    ]


def test_settlements_of_wechat_pay_stay_true(both_days: dict[str, Days]) -> None:
    days = both_days["wechat"]
    caller = wechat_shop.shop(days.sandbox)
    until = compact(datetime.fromisoformat(days.second), 1)
    dates: dict[str, Any] = {"date_start": days.first.replace("-", ""), "date_end": until}
    before = caller.call("/pay/settlementquery", usetag=1, offset=0, limit=10, **dates).fields
    days.plant("missing_there")
    after = caller.call("/pay/settlementquery", usetag=1, offset=0, limit=10, **dates).fields
    assert before["pay_fee_0"] == str(8800 * PAYMENTS)
    random = ("nonce_str", "sign")
    assert [item for item in after.items() if item[0] not in random] == [
        item for item in before.items() if item[0] not in random
    ]


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"wallet": "paypal"}, "wallet"),
        ({"day": "2026-02-30"}, "day"),
        ({"day": "2026-11-01"}, "day"),  # not closed
        ({"kind": "rounding"}, "kind"),
        ({"count": 0}, "count"),
        ({"count": 1001}, "count"),
        ({"count": True}, "count"),
        ({"count": 1000}, "count"),  # not so many lines
        ({"seed": 2**63}, "seed"),
        ({"seed": 0.5}, "seed"),
        ({"account": "2088"}, "account"),
    ],
)
def test_an_invalid_call_names_the_field_and_plants_nothing(
    both_days: dict[str, Days], members: dict[str, Any], field: str
) -> None:
    days = both_days["alipay"]
    good = {"wallet": "alipay", "day": days.first, "kind": "amount", "count": 1}
    before, planted = days.files(), days.sandbox.control("GET", "statement-errors")
    with pytest.raises(ControlRefused) as refused:
        days.sandbox.control("POST", "statement-errors", {**good, **members})
    assert (refused.value.status, refused.value.field) == (400, field)
    assert (days.files(), days.sandbox.control("GET", "statement-errors")) == (before, planted)


# ---- without a server ------------------------------------------------------------------------------------------------

DAY: Final = date(2026, 1, 2)
PID: Final = "2088000000000001"


def planted_in(
    folder: Path, seed: int, times: tuple[str, ...] = ("120000",) * 20, kind: str = "amount"
) -> Any:
    """Plants 5 errors in a file of 20 lines, each with its time of day, and in the 15 that are left as many as fit."""
    books = Books(folder / f"{seed}.sqlite")
    books.script(statements.TABLES + statement_errors.TABLES + TABLES)
    now = datetime(2026, 1, 5, tzinfo=UTC)
    with books.transaction() as connection:
        for day in (DAY, DAY + statements.ONE_DAY):
            lines = [
                statements.Line(
                    PID,
                    {
                        "number": f"20260102{number:016d}",
                        "amount": "10.00",
                        "currency": "HKD",
                        "at": f"{day:%Y%m%d}{at}",
                        "kind": "P",
                        "charge": "0.08",
                    },
                )
                for number, at in enumerate(times)
                if day == DAY
            ]
            period = statements.span_of(connection, "alipay", day, now)
            statements.store_statement(connection, "alipay", period, lines, now)
    try:
        with books.transaction() as connection:
            planting = Planting(DAY, kind, 5, seed, None)
            first = statement_errors.plant(connection, AlipayLines(connection), [PID], planting, now)
            rest = Planting(DAY, kind, len(times) - 5, seed, PID)
            return first, statement_errors.plant(connection, AlipayLines(connection), [PID], rest, now)
    finally:
        books.close()


def test_the_same_seed_plants_the_same_errors(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    assert planted_in(folders[0], 1) == planted_in(folders[1], 1)
    assert planted_in(folders[0], 2) != planted_in(folders[1], 3)


def test_a_number_gets_at_most_one_error(tmp_path: Path) -> None:
    first, rest = planted_in(tmp_path, 1)
    assert len({error["number"] for error in [*first, *rest]}) == 20


def test_a_line_near_midnight_is_not_moved_to_another_day(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="the statement has 4 lines for this error"):
        planted_in(tmp_path, 1, ("003000", "233000", "000000", "235959", *("120000",) * 4), "wrong_day")
