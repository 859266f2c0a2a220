"""`tael trigger`: query, wallets' book and incidents confirm each event that it reports."""

import json
from pathlib import Path
from typing import Any

import pytest
from tael_client import Client, Credentials, Filters, SignType

from tael_demo.testing.views import TaelApp, TaelGateway, TaelWallets
from tests.end_to_end.rig import Demo
from tests.support.commands import run_tael

#: The event, the code of its response, the code and `cancel` of its row in the query, the money that the wallet holds.
EVENTS = [
    ("payment.created", "0000", "1145", "0", 0),
    ("payment.paid", "0000", "0000", "0", 1000),
    ("payment.barcode_paid", "0000", "0000", "0", 1000),
    ("payment.pending", "1145", "1145", "0", 0),
    ("payment.failed", "1147", "1147", "0", 0),
    ("payment.closed", "0000", "1142", "2", 0),
    ("payment.expired", "0000", "1181", "0", 0),
    ("late_money", "0000", "0000", "0", 1000),
]
REFUNDS = [("refund.done", "0000"), ("refund.pending", "2999")]
#: The code of the response, and `cancel` of the payment's row: 1 once it is undone.
REVERSALS = [("reversal.done", "0000", "1"), ("reversal.pending", "1145", "0")]


def triggered(gateway: TaelGateway, event: str, *options: str) -> Any:
    done = run_tael("trigger", event, "--json", "--data", str(gateway.folder), *options)
    assert (done.returncode, done.stderr) == (0, "")
    row = json.loads(done.stdout)
    assert row["event"] == event
    return row


def row_of(gateway: TaelGateway, syssn: str, app: TaelApp | None = None) -> Any:
    app = app or gateway.apps[0]
    sign_type = SignType.SHA256 if app.sha256_only else SignType.MD5
    credentials = Credentials(app.appcode, app.key, mchid=app.mchid, sign_type=sign_type)
    with Client(gateway.url, credentials) as client:
        (row,) = client.query_all(Filters(syssns=[syssn]))
    return row.members


def held(wallets: TaelWallets, syssn: str) -> int:
    paid = ("TRADE_SUCCESS", "TRADE_FINISHED", "SUCCESS", "REFUND")
    trades = wallets.book(syssn)["trades"]
    return sum(trade["amount"] - trade["refunded"] for trade in trades if trade["state"] in paid)


@pytest.mark.parametrize(("event", "respcd", "row_respcd", "cancel", "holds"), EVENTS, ids=lambda x: str(x))
def test_a_payments_event_is_confirmed(
    tael_gateway: TaelGateway,
    tael_wallets: TaelWallets,
    event: str,
    respcd: str,
    row_respcd: str,
    cancel: str,
    holds: int,
) -> None:
    result = triggered(tael_gateway, event)
    assert result["respcd"] == respcd
    row = row_of(tael_gateway, result["syssn"])
    assert (row["respcd"], row["cancel"]) == (row_respcd, cancel)
    assert row["out_trade_no"] == result["out_trade_no"]
    assert held(tael_wallets, result["syssn"]) == holds


@pytest.mark.parametrize(("event", "respcd"), REFUNDS)
def test_a_refunds_event_is_confirmed(
    tael_gateway: TaelGateway, tael_wallets: TaelWallets, event: str, respcd: str
) -> None:
    result = triggered(tael_gateway, event)
    assert result["respcd"] == respcd
    (refund,) = tael_wallets.book(result["orig_syssn"])["refunds"]
    assert (refund["amount"], refund["refund_order"]) == (300, result["syssn"])


@pytest.mark.parametrize(("event", "respcd", "cancel"), REVERSALS)
def test_a_reversals_event_is_confirmed(
    tael_gateway: TaelGateway, event: str, respcd: str, cancel: str
) -> None:
    result = triggered(tael_gateway, event)
    assert result["respcd"] == respcd
    assert row_of(tael_gateway, result["orig_syssn"])["cancel"] == cancel


def test_late_money_is_an_incident(tael_gateway: TaelGateway) -> None:
    result = triggered(tael_gateway, "late_money")
    done = run_tael("incident", "list", "--json", "--data", str(tael_gateway.folder))
    assert [row["kind"] for row in json.loads(done.stdout) if row["subject_id"] == result["syssn"]] == [
        "late_money"
    ]


def test_another_app_can_be_named(tael_gateway: TaelGateway) -> None:
    chain = tael_gateway.apps[2]
    result = triggered(tael_gateway, "payment.paid", "--appcode", chain.appcode)
    assert row_of(tael_gateway, result["syssn"], chain)["respcd"] == "0000"


def test_a_demo_is_found_by_its_folder_and_the_default_output_is_one_line(demo: Demo) -> None:
    done = run_tael("trigger", "payment.paid", "--data", str(demo.folder))
    assert (done.returncode, done.stderr) == (0, "")
    event, _, syssn, _, _, _, respcd = done.stdout.split()
    assert (event, respcd) == ("payment.paid", "0000")
    assert demo.held(syssn) == 1000


def test_the_list_has_every_event_that_is_tested_here() -> None:
    done = run_tael("trigger", "--list", "--json")
    tested = {row[0] for row in (*EVENTS, *REFUNDS, *REVERSALS)}
    assert {row["event"] for row in json.loads(done.stdout)} == tested
    assert "payment.paid" in run_tael("trigger", "--list").stdout


def test_an_impossible_event_is_one_sentence(tael_gateway: TaelGateway, tmp_path: Path) -> None:
    data = ("--data", str(tael_gateway.folder))
    refusals = {
        ("payment.stolen", *data): (
            2,
            "tael: there is no event payment.stolen; `tael trigger --list` lists the events\n",
        ),
        data: (2, "tael: name an event; `tael trigger --list` lists the events\n"),
        ("payment.paid", "--appcode", "unknown", *data): (1, "tael: no app unknown\n"),
        # The second app has no account at Alipay.
        ("late_money", "--appcode", tael_gateway.apps[1].appcode, *data): (
            1,
            "tael: late_money failed: the gateway returned 1104 filter_error\n",
        ),
        ("payment.paid", "--data", str(tmp_path)): (
            2,
            f"tael: --data: no demo is running in {tmp_path}; `tael demo --data {tmp_path}` starts one\n",
        ),
    }
    for arguments, (code, sentence) in refusals.items():
        done = run_tael("trigger", *arguments)
        assert (done.returncode, done.stdout, done.stderr) == (code, "", sentence)
