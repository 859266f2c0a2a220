"""`tael account check`: the wallets accept the demo's accounts, and refuse a key or a number that is not theirs."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.merchant import Merchant
from tests.end_to_end.rig import Demo, Members
from tests.support.commands import run_tael


def check(demo: Demo, *arguments: str) -> tuple[int, list[Members]]:
    done = run_tael("account", "check", *arguments, "--json", "--data", str(demo.folder))
    rows: list[Members] = json.loads(done.stdout)
    return done.returncode, rows


def test_every_account_of_a_demo_works(demo: Demo) -> None:
    code, rows = check(demo)
    assert [row["detail"] for row in rows if row["result"] != "ok"] == []
    assert code == 0
    assert {row["protocol"] for row in rows} == {"alipay_mapi", "wechat_v2"}
    assert len(rows) == len(demo.ask("account", "list"))


@pytest.mark.parametrize(
    ("protocol", "wallet_says"), [("alipay_mapi", "ILLEGAL_SIGN"), ("wechat_v2", "签名错误")]
)
def test_an_account_with_a_wrong_key_fails_and_moves_no_money(
    demo: Demo, shop: Merchant, tmp_path: Path, protocol: str, wallet_says: str
) -> None:
    account = next(
        row for row in demo.ask("account", "list", "--mchid", shop.mchid) if row["protocol"] == protocol
    )
    (known,) = [
        row
        for row in demo.control("accounts")
        if row["shop"] == "demo"
        and row.get("pid") == account.get("pid")
        and row.get("sub_mch_id") == account.get("sub_mch_id")
    ]
    book: Any = demo.control("book")
    key = tmp_path / "key"
    key.write_text("0" * 32)
    demo.set_account(account["account_id"], "--file", f"key={key}", "--overlap-hours", "0")
    try:
        code, (row,) = check(demo, account["account_id"])
        assert (code, row["result"]) == (1, "failed")
        assert wallet_says in row["detail"]
        assert key.read_text() not in row["detail"]
    finally:
        key.write_text(known["key"])
        demo.set_account(account["account_id"], "--file", f"key={key}", "--overlap-hours", "0")
    assert check(demo, account["account_id"])[0] == 0
    assert demo.control("book") == book


def test_a_response_that_fails_verification_fails_the_check_and_is_no_incident(
    demo: Demo, wechat_only: Merchant
) -> None:
    before = demo.ask("incident", "list")
    with demo.faults(
        {"wallet": "wechat", "kind": "bad_signature", "operation": "/pay/orderquery", "times": 9}
    ):
        for _ in range(3):
            code, (row,) = check(demo, "--mchid", wechat_only.mchid)
            assert (code, row["result"]) == (1, "failed")
            assert "the response is not signed" in row["detail"]
    assert demo.ask("incident", "list") == before


def test_a_wallet_that_does_not_answer_fails_the_check(demo: Demo, shop: Merchant) -> None:
    with demo.faults({"wallet": "wechat", "kind": "http_500", "operation": "/pay/orderquery", "times": 9}):
        code, rows = check(demo, "--mchid", shop.mchid)
    assert code == 1
    assert {row["protocol"]: row["result"] for row in rows} == {"alipay_mapi": "ok", "wechat_v2": "failed"}
    assert any("HTTP 500" in row["detail"] for row in rows)
