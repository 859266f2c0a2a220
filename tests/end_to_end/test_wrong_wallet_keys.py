"""A wrong wallet key raises an incident, decides no payment, and is corrected with a command."""

from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.end_to_end.merchant import Merchant, send
from tests.end_to_end.rig import Demo, Members, eventually

#: Past the expiry of an online order, and past that of a barcode payment.
LONG_S: Final = 2_500


def account_of(shop: Merchant, scene: str) -> Members:
    rows: list[Members] = shop.demo.ask("account", "list", "--mchid", shop.mchid)
    return next(row for row in rows if (row["wallet"], row["scene"]) == ("alipay", scene))


def other_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def open_incidents(demo: Demo, account_id: str) -> list[Members]:
    rows: list[Members] = demo.ask("incident", "list")
    return [row for row in rows if (row["kind"], row["subject_id"]) == ("answers_unverified", account_id)]


def figure(demo: Demo, name: str) -> float:
    lines = send(demo.gateway, "GET", "/metrics").body.decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


@pytest.mark.parametrize(("pay_type", "scene"), [("800151", "online"), ("800108", "offline")])
def test_payments_under_a_wrong_key_wait_and_are_decided_after_the_correction(
    demo: Demo, chain: Merchant, tmp_path: Path, pay_type: str, scene: str
) -> None:
    account_id = account_of(chain, scene)["account_id"]
    right = next(
        row["alipay_public_key_pem"] for row in demo.control("accounts") if row["wallet"] == "alipay"
    )
    file = tmp_path / "alipay.pem"
    file.write_text(other_key())
    demo.set_account(account_id, "--file", f"alipay_public_key={file}", "--overlap-hours", "0")
    try:
        opened = chain.open(pay_type)
        if pay_type == "800151":
            chain.pay_by_phone(opened)
        assert chain.row(opened["syssn"])["respcd"] == "1145"
        for _ in range(6):
            demo.advance(20)
            if eventually(lambda: open_incidents(demo, account_id), bool, 3.0):
                break
        (found,) = open_incidents(demo, account_id)
        assert "fail verification" in found["detail"]
        assert figure(demo, "tael_accounts_unverified") >= 1
        assert chain.row(opened["syssn"])["respcd"] == "1145"
        if pay_type == "800151":
            demo.advance(LONG_S)
            demo.advance(LONG_S)
            assert chain.row(opened["syssn"])["respcd"] == "1145"
    finally:
        file.write_text(right)
        demo.set_account(account_id, "--file", f"alipay_public_key={file}", "--overlap-hours", "0")
    demo.advance(LONG_S if pay_type == "800151" else 1)
    chain.until(opened["syssn"], "0000")
    assert demo.held(opened["syssn"]) == 1000
    demo.ask("incident", "resolve", found["incident_id"], "--note", "corrected the key")
    assert open_incidents(demo, account_id) == []


@pytest.mark.parametrize("pay_type", ["800201", "800208"])
def test_unverified_responses_of_wechat_decide_nothing(
    demo: Demo, wechat_only: Merchant, pay_type: str
) -> None:
    rows = demo.ask("account", "list", "--mchid", wechat_only.mchid)
    account_id = next(row["account_id"] for row in rows if row["wallet"] == "wechat")
    opened = wechat_only.open("800201") if pay_type == "800201" else wechat_only.open(pay_type, "password")
    bad_signatures = [{"wallet": "wechat", "kind": "bad_signature", "operation": "/pay/orderquery"}]
    with demo.faults(*bad_signatures, {"wallet": "wechat", "kind": "drop_notice"}):
        if pay_type == "800201":
            wechat_only.pay_by_phone(opened)
        else:
            demo.confirm(trade=opened["syssn"])
        for _ in range(6):
            demo.advance(20)
            if eventually(lambda: open_incidents(demo, account_id), bool, 3.0):
                break
        (found,) = open_incidents(demo, account_id)
        row = wechat_only.row(opened["syssn"])
        assert row["respcd"] == "1145"
    demo.advance(60)
    wechat_only.until(opened["syssn"], "0000")
    demo.ask("incident", "resolve", found["incident_id"], "--note", "WeChat Pay answers well again")
