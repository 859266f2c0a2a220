"""`python -m tael_demo.reconcile.comparison FOLDER BOOKS`: compares planted errors with the differences found.

The folder has `manifest.json` (what was planted), `accounts.json` (the accounts at the wallets), and what the gateway
reported: `differences.json`, `remittances.json` and `banks.json`. BOOKS is the wallets' SQLite file. Imports neither
gateway nor sandbox: fees, exchange rates and days of settlement are computed here from the wallets' documents.
"""

import json
import sqlite3
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

BEIJING: Final = timezone(timedelta(hours=8))
ONE_DAY: Final = timedelta(days=1)
FRIDAY: Final = 5
DECIMALS: Final = {"HKD": 2, "USD": 2, "JPY": 0}
#: The sandbox's exchange rates, as its page of rates shows them.
CNY_PER_UNIT: Final = {"HKD": Decimal("0.9123"), "USD": Decimal("7.1034"), "JPY": Decimal("0.0482")}
MAX_SHOWN: Final = 20

Row = Mapping[str, Any]


class ErrorKey(NamedTuple):
    """What a planted error and a difference that reports it have in common."""

    kind: str
    wallet: str
    account: str
    number: str


class BatchKey(NamedTuple):
    """One settlement; all of an account together if `settled_on` is empty."""

    wallet: str
    account: str
    settled_on: str
    currency: str


@dataclass(slots=True)
class Sums:
    """In minor units. `fee_minor` is what was charged less what was returned."""

    paid_minor: int = 0
    refunded_minor: int = 0
    fee_minor: int = 0

    @property
    def net_minor(self) -> int:
        return self.paid_minor - self.refunded_minor - self.fee_minor


@dataclass(frozen=True, slots=True)
class Comparison:
    planted: Mapping[str, int]  #: by kind
    found: Mapping[str, int]
    missed: Sequence[ErrorKey]
    invented: Sequence[ErrorKey]
    batches: int
    wrong_batches: Sequence[BatchKey]  #: also of what the banks received in all


def main() -> None:
    result = compare(Path(sys.argv[1]), Path(sys.argv[2]))
    shown = {
        "planted": result.planted,
        "found": result.found,
        "missed": result.missed[:MAX_SHOWN],
        "invented": result.invented[:MAX_SHOWN],
        "invented_count": len(result.invented),
        "batches": result.batches,
        "wrong_batches": result.wrong_batches[:MAX_SHOWN],
        "wrong_batch_count": len(result.wrong_batches),
    }
    print(json.dumps(shown))


def compare(folder: Path, books_file: Path) -> Comparison:
    manifest, accounts, differences, remittances, banks = (
        json.loads((folder / f"{name}.json").read_text("utf-8"))
        for name in ("manifest", "accounts", "differences", "remittances", "banks")
    )
    with closing(sqlite3.connect(f"file:{books_file}?mode=ro", uri=True)) as books:
        books.row_factory = sqlite3.Row
        expected = expected_batches(books, {row["account"]: row for row in accounts}, manifest)
    reported = {_batch_key(row): _sums(row) for row in remittances}
    assert len(reported) == len(remittances), "two remittances of one batch"
    planted, found = Counter(map(_error_key, manifest)), Counter(map(_error_key, differences))
    return Comparison(
        Counter(key.kind for key in planted.elements()),
        Counter(key.kind for key in (planted & found).elements()),
        sorted((planted - found).elements()),
        sorted((found - planted).elements()),
        len(expected),
        [*_unequal(expected, reported), *_unequal(received(expected), _received_by(banks))],
    )


def _unequal(expected: Mapping[BatchKey, object], reported: Mapping[BatchKey, object]) -> list[BatchKey]:
    keys = expected.keys() | reported.keys()
    return sorted(key for key in keys if expected.get(key) != reported.get(key))


def received(batches: Mapping[BatchKey, Sums]) -> dict[BatchKey, int]:
    """What each account's bank received from all batches."""
    totals: Counter[BatchKey] = Counter()
    for key, sums in batches.items():
        totals[key._replace(settled_on="")] += sums.net_minor
    return dict(totals)


def _received_by(banks: Sequence[Row]) -> dict[BatchKey, int]:
    return {
        BatchKey(row["wallet"], row["account"], "", row["currency"]): row["amount_minor"] for row in banks
    }


# ---- what the wallets have to pay out --------------------------------------------------------------------------------


def expected_batches(
    books: sqlite3.Connection, accounts: Mapping[str, Row], manifest: Sequence[Row]
) -> dict[BatchKey, Sums]:
    """What each batch adds up to: by the books, and at Alipay also by the planted lines of its settlement files."""
    batches: defaultdict[BatchKey, Sums] = defaultdict(Sums)
    for movement in (*_alipay_movements(books), *_wechat_movements(books, accounts)):
        account = accounts.get(movement.account)
        if account is not None:
            _add(batches, account, movement)
    for movement in _planted_movements(manifest):
        _add(batches, accounts[movement.account], movement)
    return dict(batches)


@dataclass(frozen=True, slots=True)
class Movement:
    """In the currency of settlement. `sign` is -1 for what is taken out of a batch."""

    account: str
    day: date
    is_payment: bool
    amount_minor: int
    fee_minor: int  #: charged with a payment, else returned
    sign: int = 1


def _add(batches: defaultdict[BatchKey, Sums], account: Row, movement: Movement) -> None:
    settled_on = settlement_day(account["wallet"], movement.day)
    key = BatchKey(account["wallet"], account["account"], settled_on.isoformat(), account["currency"])
    sums = batches[key]
    if movement.is_payment:
        sums.paid_minor += movement.sign * movement.amount_minor
        sums.fee_minor += movement.sign * movement.fee_minor
    else:
        sums.refunded_minor += movement.sign * movement.amount_minor
        sums.fee_minor -= movement.sign * movement.fee_minor


def settlement_day(wallet: str, day: date) -> date:
    """WeChat Pay settles on the next day; Alipay on the next working day, Friday to Sunday on Monday."""
    if wallet == "alipay" and day.isoweekday() >= FRIDAY:
        return day + (8 - day.isoweekday()) * ONE_DAY
    return day + ONE_DAY


def _alipay_movements(books: sqlite3.Connection) -> Iterator[Movement]:
    """A charge of 0.80 %, returned by a cancel and not by a refund."""
    for row in books.execute("SELECT * FROM alipay_trade WHERE paid_at IS NOT NULL"):
        assert row["currency"] == row["price_currency"]
        amount = row["amount_minor"]
        charge = fee_of(amount, 8_000)
        yield Movement(row["pid"], _day(row["paid_at"]), True, amount, charge)
        if row["cancel_action"] == "refund":
            yield Movement(row["pid"], _day(row["closed_at"]), False, amount, charge)
    for row in books.execute("SELECT * FROM alipay_refund"):
        yield Movement(row["pid"], _day(row["made_at"]), False, row["amount_minor"], 0)


def _wechat_movements(books: sqlite3.Connection, accounts: Mapping[str, Row]) -> Iterator[Movement]:
    """A fee of 0.60 % of the settled amount, returned in proportion, by differences of running totals."""
    refunds: defaultdict[int, list[sqlite3.Row]] = defaultdict(list)
    for row in books.execute("SELECT * FROM wechat_refund ORDER BY id"):
        refunds[row["trade_id"]].append(row)
    reversed_at = {
        row["trade_id"]: row["reversed_at"] for row in books.execute("SELECT * FROM wechat_reversal")
    }
    for row in books.execute("SELECT * FROM wechat_trade WHERE paid_at IS NOT NULL"):
        account, price = row["sub_mch_id"], row["fee_type"]
        if account not in accounts:
            continue
        settled_in = accounts[account]["currency"]
        total = converted(row["total_fee"], price, settled_in)
        yield Movement(account, _day(row["paid_at"]), True, total, fee_of(total, 6_000))
        if row["id"] in reversed_at:
            yield Movement(account, _day(reversed_at[row["id"]]), False, total, fee_of(total, 6_000))
        before = 0
        for refund in refunds[row["id"]]:
            first = converted(before, price, settled_in)
            before += refund["refund_fee"]
            last = converted(before, price, settled_in)
            fee = fee_of(last, 6_000) - fee_of(first, 6_000)
            yield Movement(account, _day(refund["created_at"]), False, last - first, fee)


def _planted_movements(manifest: Sequence[Row]) -> Iterator[Movement]:
    """The effect on the settlement files, which only Alipay has. A repeated line is added, not replaced."""
    for error in manifest:
        if error["wallet"] != "alipay":
            continue
        if error["before"] is not None and error["kind"] != "duplicate":
            yield _planted(error, error["before"], -1)
        if error["after"] is not None:
            yield _planted(error, error["after"], 1)


def _planted(error: Row, line: Row, sign: int) -> Movement:
    currency = line["currency"]
    return Movement(
        error["account"],
        date.fromisoformat(line["day"]),
        error["type"] == "payment",
        _minor(line["amount"], currency),
        _minor(line["fee"], currency),
        sign,
    )


def converted(amount_minor: int, price: str, settled_in: str) -> int:
    units = Decimal(amount_minor).scaleb(-DECIMALS[price]) * CNY_PER_UNIT[price] / CNY_PER_UNIT[settled_in]
    return _rounded(units.scaleb(DECIMALS[settled_in]))


def fee_of(amount_minor: int, rate_ppm: int) -> int:
    return _rounded(Decimal(amount_minor) * rate_ppm / 1_000_000)


def _minor(text: str, currency: str) -> int:
    return int(Decimal(text).scaleb(DECIMALS[currency]))


def _rounded(amount: Decimal) -> int:
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP))


def _day(at: float) -> date:
    return datetime.fromtimestamp(at, BEIJING).date()


# ---- keys of rows ----------------------------------------------------------------------------------------------------


def _error_key(row: Row) -> ErrorKey:
    return ErrorKey(row["kind"], row["wallet"], row["account"], row["number"])


def _batch_key(row: Row) -> BatchKey:
    return BatchKey(row["wallet"], row["account"], row["settled_on"], row["currency"])


def _sums(row: Row) -> Sums:
    return Sums(row["paid_minor"], row["refunded_minor"], row["fee_minor"])


if __name__ == "__main__":
    main()
