"""From nothing to a payout, as in the operator manual: app, sign-up, review, wallet accounts, payments, settlement.

A gateway with a database, a key and a folder of its own, beside a demo whose simulated wallets it uses. Everything is
done with commands and HTTP.
"""

import base64
import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tael.db.roles import ROLES
from tests.end_to_end.applications import (
    application,
    asked,
    post,
    upload,
)
from tests.end_to_end.merchant import ALL_TYPES, Merchant, send
from tests.end_to_end.rig import END_LIMIT_S, ROOT, START_LIMIT_S, Demo, eventually, free_port_block
from tests.end_to_end.settlements import BILL, SETTLEMENTS, bill_rows, signed_get
from tests.end_to_end.test_crowds import settings
from tests.end_to_end.test_pay_types import BARCODES, ONLINE
from tests.support.commands import clean_environment
from tests.support.documents import (
    PDF,
    jpeg,
    png,
)
from tests.support.postgres import (
    create_database,
    create_login,
    drop_database,
    drop_role,
    logged_in,
    with_database,
)
from tests.support.s3 import running_s3

DATABASE = "first_merchant"
#: Runs the gateway and the commands. The database's owner only migrates.
#: What the gateway and the operator log in as: a member of `tael_app`, and of nothing else.
ROLE = "first_merchant_gateway"
#: The settings of a WeChat Pay account, and its files with the members of the sandbox's control API.
WECHAT = ("mch_id", "appid", "sign_type", "sub_mch_id", "sub_appid", "mini_appid", "app_appid")
#: What the contract includes beside the first pay types.
WECHAT_GRANTS = ("supports_h5", "supports_wechat_hk")
#: Of statements.
KINDS = ("transactions", "settlement")
WECHAT_FILES = {"key": "key", "certificate": "cert_pem", "certificate_key": "key_pem"}


class Operator:
    """Runs commands with the settings of one gateway."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.environment = environment
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []

    def tael(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "tael.cli", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    def ask(self, *arguments: str) -> Any:
        return json.loads(self.tael(*arguments, "--json"))

    def start(self, *arguments: str) -> None:
        with (self._folder / f"{arguments[0]}.log").open("wb") as log:
            command = [sys.executable, "-m", "tael.cli", *arguments]
            self._processes.append(
                subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
            )

    def file(self, name: str, text: str) -> str:
        path = self._folder / name
        path.write_text(text)
        return str(path)

    def end(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(END_LIMIT_S)


@pytest.fixture
def place() -> Iterator[dict[str, str]]:
    """The settings of the place of documents: a bucket, since other tests keep them in a folder."""
    with running_s3() as s3:
        yield s3.environment | {"TAEL_DOCUMENTS": f"s3://{s3.bucket}/review"}
        assert len(s3.names()) == 4


@pytest.fixture
def operator(demo: Demo, place: dict[str, str], tmp_path: Path) -> Iterator[Operator]:
    port = free_port_block()
    create_database(demo.database_url, DATABASE)
    owners = with_database(demo.database_url, DATABASE)
    own = {
        "TAEL_DATABASE_URL": logged_in(owners, ROLE),
        "TAEL_ENCRYPTION_KEY": base64.b64encode(os.urandom(32)).decode(),
        "TAEL_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "TAEL_SETTINGS_CACHE_MS": "0",
    }
    environment = clean_environment() | settings(demo, "41") | own | place
    del environment["TAEL_ENCRYPTION_KEY_FILE"]
    operator = Operator(environment, tmp_path)
    try:
        Operator(environment | {"TAEL_DATABASE_URL": owners}, tmp_path).tael("migrate", "--roles")
        create_login(demo.database_url, ROLE, "tael_app")
        operator.start("serve", "--demo", "--port", str(port))
        operator.start("work", "--demo")
        yield operator
    finally:
        operator.end()
        drop_database(demo.database_url, DATABASE)
        for role in (ROLE, *ROLES):
            drop_role(demo.database_url, role)


def add_accounts(operator: Operator, demo: Demo, mchid: str) -> None:
    """The accounts that the sandbox's first shop has at both wallets. The demo's gateway has them as well."""
    for index, row in enumerate(row for row in demo.control("accounts") if row["shop"] == "demo"):
        if row["wallet"] == "wechat":
            values = {name: row[name] for name in WECHAT} | dict.fromkeys(WECHAT_GRANTS, "true")
            files = {name: row[member] for name, member in WECHAT_FILES.items()}
            protocol = "wechat_v2"
        else:
            values = {name: row[name] for name in ("pid", "scene", "sign_type")}
            values |= {"supports_alipay_hk": "true"}
            names = {"key": "key"} if row["sign_type"] == "MD5" else {}
            names |= {"private_key": "private_key_pem", "alipay_public_key": "alipay_public_key_pem"}
            files = {name: row[member] for name, member in names.items()}
            protocol = "alipay_mapi"
        options = [option for name, value in values.items() for option in ("--set", f"{name}={value}")]
        for name, text in files.items():
            options += ["--file", f"{name}={operator.file(f'{name}-{index}', text)}"]
        operator.ask("account", "add", mchid, "--protocol", protocol, *options)


def test_an_operator_takes_a_merchant_from_its_sign_up_to_its_first_payout(
    operator: Operator, demo: Demo, tmp_path: Path
) -> None:
    app = operator.ask("app", "add", "--signup-currency", "HKD")
    url = operator.environment["TAEL_PUBLIC_URL"]
    assert eventually(lambda: is_ready(url), bool, START_LIMIT_S)
    developer = Merchant(replace(demo, gateway=url), app["appcode"], app["key"], "", ())

    categories = send(url, "GET", "/mch/v1/mcc")["data"]["mcc_list"]
    restaurant = next(row["mcc_id"] for row in categories if "restaurants" in row["mcc_name"])
    fields = application(mcc_id=str(restaurant), shopname="Lantern Tea")
    mchid = developer.proven(post(developer, "/mch/v1/signup", fields))["mchid"]
    files = (
        ("idcardfront", "card.jpg", jpeg()),
        ("licensephoto", "license.pdf", PDF),
        ("goodsphoto", "goods.png", png()),
        ("shopphoto", "shop.png", png(salt=b"shop")),
    )
    assert developer.proven(upload(developer, mchid, *files)).respcd == "0000"
    assert asked(developer, mchid=mchid)["data"]["state"] == 4

    merchant = replace(developer, mchid=mchid, mchids=(mchid,))
    assert merchant.open("800201").respcd == "1140"

    (listed,) = operator.ask("merchant", "list", "--appcode", app["appcode"])
    assert (listed["mchid"], listed["state"], listed["name"]) == (mchid, "waiting", "Lantern Tea")
    shown = operator.ask("merchant", "show", mchid)
    assert shown["application"]["category"] == restaurant
    saved = operator.ask("merchant", "documents", mchid, "--save", str(tmp_path / "review"))
    assert [Path(row["file"]).read_bytes() for row in saved] == [content for _, _, content in files]

    operator.ask("merchant", "approve", mchid, "--reason", "papers complete")
    assert asked(developer, mchid=mchid)["data"]["state"] == 1
    assert merchant.open("800201").respcd == "1135"
    add_accounts(operator, demo, mchid)
    demo.advance(
        4 * 86_400
    )  # the demo's gateway has used the same accounts until now; all of that is settled by then
    day = demo.now().date()
    paid = [merchant.paid(pay_type) for pay_type in sorted({*ALL_TYPES, *ONLINE, *BARCODES})]
    rows = [merchant.row(each["syssn"]) for each in paid]
    assert [row["pay_type"] for row in rows] == sorted({*ALL_TYPES, *ONLINE, *BARCODES})
    merchant.refund_and_wait(paid[0], "301")
    operator.ask("ledger", "verify")
    received_minor = sum(int(row["txamt"]) for row in rows)

    reconcile(operator, demo, mchid, day)
    settle(operator, merchant, day, received_minor, 301, len(rows) + 1)
    pay_out(operator, mchid, day, received_minor - 301, tmp_path)
    operator.ask("ledger", "verify")

    signed_up = operator.ask("audit", "list", "--actor", f"app {app['appcode']}", "--kind", "merchant")
    assert [(entry["action"], entry["address"], entry["subject_id"]) for entry in signed_up] == [
        ("POST /mch/v1/signup", "127.0.0.1", mchid)
    ]


def reconcile(operator: Operator, demo: Demo, mchid: str, day: date) -> None:
    """The worker fetches the wallets' statements: they agree with what the gateway has."""
    accounts = [row["account_id"] for row in operator.ask("account", "list", "--mchid", mchid)]
    for account in accounts:
        operator.ask("statement", "schedule", account)
    demo.advance(5 * 86_400)  # over a weekend; until then everything of the day is settled
    days = {f"{day + timedelta(days=later)}" for later in range(4)}
    expected = {(account, kind, each) for account in accounts for kind in KINDS for each in days}
    eventually(lambda: expected - fetched(operator), lambda missing: not missing)
    runs = operator.ask("reconcile", "run", "--from", f"{day}", "--to", f"{day + timedelta(days=3)}")
    assert {(run["account_id"], run["kind"], run["day"]) for run in runs} == expected
    assert all(run["differences"] == {} and run["matched"] == run["lines"] for run in runs)
    with_lines = {run["account_id"] for run in runs if run["lines"] and run["day"] == f"{day}"}
    assert with_lines == set(accounts)
    assert operator.ask("reconcile", "list", "--all") == []


def fetched(operator: Operator) -> set[tuple[str, str, str]]:
    rows = operator.ask("statement", "list")
    return {(row["account_id"], row["kind"], row["day"]) for row in rows}


def settle(
    operator: Operator, merchant: Merchant, day: date, paid_minor: int, refunded_minor: int, movements: int
) -> None:
    """The merchant reads what the wallets have settled, and the bill of the day."""
    period = {"date_start": f"{day:%Y%m%d}", "date_end": f"{day + timedelta(days=3):%Y%m%d}"}
    answer = merchant.proven(signed_get(merchant, SETTLEMENTS, mchid=merchant.mchid, **period))
    assert sum(row["pay_amt"] for row in answer["data"]) == paid_minor
    assert sum(row["refund_amt"] for row in answer["data"]) == refunded_minor
    assert all(row["currency"] == "HKD" for row in answer["data"])
    for row in answer["data"]:
        assert row["pay_net_amt"] == row["pay_amt"] - row["refund_amt"]
        assert row["settlement_amt"] == row["pay_net_amt"] - row["chnl_poundage_amt"]
        assert row["chnl_poundage_amt"] > 0
    bill = signed_get(merchant, BILL, trade_date=f"{day}")
    assert len(bill_rows(bill.body)) == movements


def pay_out(operator: Operator, mchid: str, day: date, payable_minor: int, folder: Path) -> None:
    """The merchant's money of the day, once its ledger is closed; and files for its bookkeeper."""
    operator.ask("settlement", "terms", mchid, "--cycle", "daily", "--since", f"{day}")
    run = ("settlement", "run", "--merchant", mchid, "--until", f"{day}")
    eventually(lambda: [*operator.ask(*run)["payouts"], *operator.ask("settlement", "list")], bool)
    (payout,) = operator.ask("settlement", "list", "--merchant", mchid)
    assert (payout["amount_minor"], payout["currency"], payout["state"]) == (payable_minor, "HKD", "CREATED")
    paid = operator.ask("settlement", "paid", payout["payout_id"], "--reference", "FT-0042")
    assert paid["state"] == "PAID"

    page, sheet = folder / "payout.html", folder / "movements.csv"
    operator.tael("settlement", "export", payout["payout_id"], "--format", "html", "--output", str(page))
    assert f"{Decimal(payable_minor).scaleb(-2):f}" in page.read_text("utf-8")
    days = ("--from", f"{day}", "--to", f"{day}")
    options = ("--merchant", mchid, *days, "--format", "csv", "--output", str(sheet))
    operator.tael("statement", "export", *options)
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        amounts = [Decimal(row["amount"]) for row in csv.DictReader(file)]
    assert sum(amounts) * 100 == payable_minor


def is_ready(url: str) -> bool:
    try:
        return send(url, "GET", "/readyz").status == 200
    except OSError:
        return False
