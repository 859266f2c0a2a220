"""`tael statement`: an operator imports a wallet's file, and looks at its lines."""

import gzip
import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Final
from zipfile import ZipFile, ZipInfo

import pytest

from tests.support.operator import Operator, fill, operator_of
from tests.support.store import with_a_merchant
from tests.unit.channels.test_alipay_portal_files import FILES, LIST, PID
from tests.unit.channels.test_wechat_settlements import FIRST, SECOND, page
from tests.unit.channels.test_wechat_statements import GOOD

BILL: Final = gzip.compress("".join(GOOD).encode(), mtime=0)


@pytest.fixture
def operator(database_url: str, tmp_path: Path) -> Operator:
    fill(database_url, with_a_merchant)
    return operator_of(database_url, tmp_path)


def test_a_bill_is_imported_and_shown(operator: Operator) -> None:
    path = operator.folder / "bill.gz"
    path.write_bytes(BILL)

    stored = operator.run_json("statement", "import", str(path))

    members = {
        "account_id": "wechat1",
        "kind": "transactions",
        "day": "2026-01-02",
        "lines": 2,
        "is_new": True,
    }
    assert {name: stored[name] for name in members} == members
    assert stored["totals"] == [
        {
            "currency": "HKD",
            "payments": 1,
            "paid_minor": 1000,
            "refunds": 1,
            "refunded_minor": 400,
            "fee_micros": 36_120,
        }
    ]
    again = operator.run_json("statement", "import", str(path), "--account", "wechat1", "--day", "2026-01-02")
    assert again == stored | {"is_new": False}
    assert operator.run_json("statement", "list", "--account", "wechat1") == [
        {name: value for name, value in stored.items() if name != "is_new"}
    ]
    assert operator.run_json("statement", "list", "--account", "alipay-online") == []
    assert "1 paid 10.00 HKD, 1 returned 4.00 HKD" in operator.run("statement", "list")

    copy = operator.folder / "copy.gz"
    show = ("statement", "show", stored["statement_id"])
    shown = operator.run_json(*show, "--after", "2", "--original", str(copy))
    assert copy.read_bytes() == BILL
    (line,) = shown["content"]
    assert (line["number"], line["type"], line["amount_minor"], line["fee_micros"]) == (
        3,
        "refund",
        400,
        24_000,
    )
    assert "0.060120" in operator.run(*show)
    assert "cannot be written" in operator.is_refused(*show, "--original", str(copy), code=2)
    assert "no statement other" in operator.is_refused("statement", "show", "other", code=1)


def test_a_file_that_cannot_be_imported_is_refused_in_one_line(operator: Operator) -> None:
    good = operator.file("bill.csv", "".join(GOOD))
    command = ("statement", "import")
    cut = operator.file("cut.csv", "".join(GOOD[:-1]))
    assert f"{cut}: line 4: the totals are missing" in operator.is_refused(*command, cut, code=1)
    wrong = operator.file("wrong.csv", "".join(GOOD).replace("`HKD,`10.00", "`HKD,`ten"))
    assert "line 2, column Total amount: not a number" in operator.is_refused(*command, wrong, code=1)
    assert "no account other" in operator.is_refused(*command, good, "--account", "other", code=1)
    assert "cannot be read" in operator.is_refused(*command, str(operator.folder / "none"), code=2)
    assert "another day than" in operator.is_refused(*command, good, "--day", "2026-01-03", code=1)

    operator.run(*command, good)
    other = operator.file("other.csv", "".join(GOOD).replace("PROCESSING", "SUCCESS"))
    assert "--replace" in operator.is_refused(*command, other, code=1)
    assert operator.run_json(*command, other, "--replace")["is_new"]
    assert len(operator.run_json("statement", "list", "--all")) == 2


def test_a_settlement_is_imported_and_its_remittances_are_shown(operator: Operator) -> None:
    path = operator.file("settlement.xml", page([FIRST, SECOND]).decode())
    stored = operator.run_json("statement", "import", path)
    members = {"account_id": "wechat1", "kind": "settlement", "day": "2026-01-05", "lines": 0}
    assert {name: stored[name] for name in members} == members
    assert operator.run_json("statement", "import", path) == stored | {"is_new": False}

    # Another response with the same remittances has another nonce, and another signature.
    response = page([FIRST, SECOND]).decode()
    again = operator.file("again.xml", response.replace("<return_code>", "\n<return_code>", 1))
    assert Path(again).read_text() != Path(path).read_text()
    assert operator.run_json("statement", "import", again) == stored | {"is_new": False}

    show = ("statement", "show", stored["statement_id"])
    remittances = operator.run_json(*show)["remittances"]
    assert [(each["batch_no"], each["currency"], each["net_minor"]) for each in remittances] == [
        ("20260105A", "HKD", 5434),
        ("20260105B", "JPY", -89),
    ]
    assert "-89 JPY" in operator.run(*show)
    for kind, count in (("settlement", 1), ("transactions", 0)):
        assert len(operator.run_json("statement", "list", "--kind", kind)) == count


def test_a_settlement_of_another_account_day_or_kind_is_refused(operator: Operator) -> None:
    command = ("statement", "import")
    path = operator.file("settlement.xml", page([FIRST]).decode())
    for options, message in (
        (("--day", "2026-01-06"), "of 2026-01-05, not of 2026-01-06"),
        (("--kind", "transactions"), "of settlement, not of transactions"),
    ):
        assert message in operator.is_refused(*command, path, *options, code=1)
    foreign = operator.file("foreign.xml", page([FIRST]).decode().replace("1900000110", "1900000111"))
    assert "there is no account" in operator.is_refused(*command, foreign, code=1)
    assert "of another account" in operator.is_refused(*command, foreign, "--account", "wechat1", code=1)
    empty = operator.file("empty.xml", page([]).decode())
    assert "the day must be given" in operator.is_refused(*command, empty, code=1)

    operator.run(*command, path)
    other_day = operator.file("other.xml", page([FIRST | {"date_settlement": "20260106"}]).decode())
    assert "another day has the same batch" in operator.is_refused(*command, other_day, code=1)
    assert [row["day"] for row in operator.run_json("statement", "list", "--all")] == ["2026-01-05"]
    assert operator.run_json(*command, empty, "--day", "2026-01-07")["lines"] == 0


def zipped(files: Mapping[str, str], charset: str = "utf-8") -> bytes:
    target = BytesIO()
    with ZipFile(target, "w") as archive:
        for name, text in files.items():
            archive.writestr(ZipInfo(name), text.encode(charset))
    return target.getvalue()


def test_a_zip_of_a_settlement_is_imported_with_its_batches(operator: Operator) -> None:
    path = operator.folder / f"{PID}_20260105.zip"
    path.write_bytes(zipped(FILES))
    stored = operator.run_json("statement", "import", str(path))
    members = {"account_id": "alipay-online", "kind": "settlement", "day": "2026-01-05", "lines": 5}
    assert {name: stored[name] for name in members} == members

    copy = operator.folder / "copy.zip"
    shown = operator.run_json("statement", "show", stored["statement_id"], "--original", str(copy))
    assert copy.read_bytes() == path.read_bytes()
    assert [(each["batch_no"], each["net_minor"]) for each in shown["remittances"]] == [
        ("B1", 6975),
        ("B2", 889),
        ("B3", -2964),
    ]
    renamed = operator.folder / "settlement.zip"
    renamed.write_bytes(path.read_bytes())
    assert operator.run_json("statement", "import", str(renamed)) == stored | {"is_new": False}
    renamed.write_bytes(zipped(FILES, "gbk"))
    assert operator.run_json("statement", "import", str(renamed))["is_new"] is False
    renamed.write_bytes(zipped(FILES, "utf-8-sig"))
    assert "--replace" in operator.is_refused("statement", "import", str(renamed), code=1)
    assert operator.run_json("statement", "import", str(renamed), "--replace")["is_new"]
    assert operator.run_json("ledger", "verify")["first"] is None


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        ({**FILES, "../x.csv": ""}, (), "unexpected name"),
        ({**FILES, "x.csv": ""}, (), "unexpected file: 'x.csv'"),
        ({name: text for name, text in FILES.items() if name != LIST}, (), "no list of batches"),
        (FILES, ("--day", "2026-01-06"), "of 2026-01-05, not of 2026-01-06"),
        (FILES, ("--kind", "transactions"), "of settlement, not of transactions"),
        (FILES, ("--account", "wechat1"), "a zip file, which this wallet has none of"),
        ({name.replace("0001_", "0009_"): text for name, text in FILES.items()}, (), "there is no account"),
        (
            {name.replace("0001_", "0009_"): text for name, text in FILES.items()},
            ("--account", "alipay-online"),
            "of another account: 2088000000000009",
        ),
    ],
)
def test_a_zip_that_does_not_fit_is_refused_and_leaves_nothing(
    operator: Operator, files: dict[str, str], options: tuple[str, ...], message: str
) -> None:
    path = operator.folder / "settlement.zip"
    path.write_bytes(zipped(files))
    assert message in operator.is_refused("statement", "import", str(path), *options, code=1)
    path.write_bytes(zipped(files)[:-30])
    assert "incomplete" in operator.is_refused("statement", "import", str(path), *options, code=1)
    assert operator.run_json("statement", "list", "--all") == []


def test_an_account_statement_is_written_to_a_new_file_or_to_standard_output(operator: Operator) -> None:
    period = ("--merchant", "mch1", "--from", "2026-01-01", "--to", "2026-01-31")
    export = ("statement", "export", *period, "--format")
    path = operator.folder / "january.csv"

    assert operator.run(*export, "csv", "--output", str(path)) == ""
    assert path.read_bytes().startswith(b"\xef\xbb\xbftime,type,syssn,out_trade_no,")
    assert json.loads(operator.run(*export, "json"))["movements"] == []
    assert "<h1>Account statement</h1>" in operator.run(*export, "html")
    refused = operator.is_refused(*export, "csv", "--output", str(path), code=2)
    assert "january.csv cannot be written: File exists" in refused
    unknown = operator.folder / "unknown.csv"
    other = ("statement", "export", "--merchant", "other", *period[2:], "--format", "csv")
    assert "no merchant other" in operator.is_refused(*other, "--output", str(unknown), code=1)
    assert not unknown.exists()
    backwards = (*export[: 3 + 1], "--from", "2026-02-01", "--to", "2026-01-31", "--format", "csv")
    assert "--to: must not be before the first day" in operator.is_refused(*backwards, code=2)
