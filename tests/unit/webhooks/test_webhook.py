"""Webhooks: members and signatures of both styles, and the retry schedule."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tael.base.moments import moment_text
from tael.base.money import Money
from tael.base.secret import Secret
from tael.merchants.domain.merchant import Style
from tael.payments.domain.refund import RefundState
from tael.qfpay.webhook_bodies import body_of, payment_members, refund_members, sign
from tael.webhooks.domain.webhook import RETRY_GAPS, is_acknowledged
from tests.support.values import AMOUNT, a_paid_payment, a_refund

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "qfpay.json").read_text("utf-8")
)
SAMPLE = next(vector for vector in VECTORS["new_webhooks"] if vector["name"] == "N4")
OLD_MEMBERS = {
    "mchid",
    "syssn",
    "pay_type",
    "out_trade_no",
    "txdtm",
    "txamt",
    "respcd",
    "respmsg",
    "respmesg",
}


def named(vector: Any) -> str:
    return str(vector["name"])


@pytest.mark.parametrize("vector", VECTORS["old_webhooks"], ids=named)
def test_an_old_body_is_signed_over_its_sorted_members(vector: dict[str, Any]) -> None:
    assert sign(body_of(vector["members"]), Style.OLD, Secret(vector["key"])) == vector["sign"]


@pytest.mark.parametrize("vector", VECTORS["new_webhooks"], ids=named)
def test_a_new_body_is_signed_over_its_bytes(vector: dict[str, Any]) -> None:
    assert sign(vector["body"].encode(), Style.NEW, Secret(vector["key"])) == vector["sign"]


def test_an_old_webhook_has_exactly_the_members_of_2017() -> None:
    payment = a_paid_payment(reference="A1")
    members = payment_members(payment, Style.OLD)
    assert set(members) == OLD_MEMBERS
    assert members["respcd"] == "0000"
    assert members["txamt"] == str(AMOUNT.amount_minor)
    assert members["out_trade_no"] == "A1"
    assert members["txdtm"] == payment.client_time


def test_an_old_webhook_names_the_device_if_the_payment_had_one() -> None:
    assert set(payment_members(a_paid_payment(device="terminal-7"), Style.OLD)) == OLD_MEMBERS | {"udid"}


def test_a_new_webhook_has_the_members_of_the_documents_sample() -> None:
    at = datetime(2026, 1, 2, 16, 0, 1, tzinfo=UTC)
    payment = a_paid_payment(paid_at=at, wallet_ref="w1", payer_ref="2088", device="terminal-7")
    members = payment_members(payment, Style.NEW)
    assert set(members) == set(json.loads(SAMPLE["body"]))
    assert members["status"] == "1"
    assert members["notify_type"] == "payment"
    assert members["paydtm"] == "2026-01-03 00:00:01"
    assert members["sysdtm"] == "2026-01-02 11:04:05"
    assert (members["chnlsn"], members["cardcd"], members["cancel"]) == ("w1", "2088", "0")
    assert (members["txcurrcd"], members["goods_name"]) == ("HKD", payment.subject)


def test_a_webhook_has_no_generated_goods_name() -> None:
    payment = a_paid_payment(subject="Harbour Tea A1", is_subject_ours=True)
    assert payment_members(payment, Style.NEW)["goods_name"] == ""
    assert refund_members(payment, a_refund(payment, state=RefundState.DONE))["goods_name"] == ""


def test_the_webhook_of_a_refund_names_its_payment() -> None:
    payment = a_paid_payment(reference="A1")
    refund = a_refund(payment, reference="R1", state=RefundState.DONE, wallet_ref="wr")
    members = refund_members(payment, refund)
    extra = {"orig_syssn", "orig_out_trade_no", "cash_refund_fee", "cash_refund_fee_type"}
    assert set(members) == set(json.loads(SAMPLE["body"])) | extra
    assert (members["notify_type"], members["txamt"]) == ("refund", "40")
    assert (members["syssn"], members["out_trade_no"]) == (refund.syssn, "R1")
    assert (members["orig_syssn"], members["orig_out_trade_no"]) == (payment.syssn, "A1")


@pytest.mark.parametrize("style", Style)
def test_every_value_is_a_string_and_the_body_is_pure_ascii(style: Style) -> None:
    payment = a_paid_payment(subject="香港測試", amount=Money(10**10, "HKD"))
    body = body_of(payment_members(payment, style))
    assert body.isascii()
    assert all(isinstance(value, str) for value in json.loads(body).values())
    assert body == json.dumps(json.loads(body)).encode()


def test_a_webhook_is_retried_four_times_quickly_and_then_less_and_less_often() -> None:
    quick = [timedelta(seconds=30)] * 4
    later = [timedelta(minutes=m) for m in (2, 10, 10, 60)] + [timedelta(hours=h) for h in (2, 6, 15)]
    assert list(RETRY_GAPS) == quick + later


@pytest.mark.parametrize("body", [b"success", b"SUCCESS", b"Success", b" success\r\n", b"\tsUcCeSs "])
def test_success_in_any_case_is_an_acknowledgement(body: bytes) -> None:
    assert is_acknowledged(200, body)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"ok"),
        (200, b'"success"'),
        (200, b"successful"),
        (201, b"success"),
        (500, b"success"),
    ],
)
def test_no_other_response_is_an_acknowledgement(status: int, body: bytes) -> None:
    assert not is_acknowledged(status, body)


def test_moments_are_written_in_beijing_time() -> None:
    assert moment_text(datetime(2025, 12, 31, 16, 0, 0, tzinfo=UTC)) == "2026-01-01 00:00:00"
