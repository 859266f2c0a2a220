"""WeChat's notices: a signed one decides a payment, one of a refund only triggers a query."""

import base64
import hashlib
from collections.abc import Mapping

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from tael.base.money import Money
from tael.channels.base import BadSignature, PaymentNotice, RefundNotice
from tael.channels.outcomes import Paid, Unknown
from tael.channels.wechat_v2.account import WeChatSignType
from tael.channels.wechat_v2.messages import from_xml
from tael.channels.wechat_v2.notices import ACKNOWLEDGEMENT, read_notice
from tests.support.wechat import (
    IDENTITY,
    KEY,
    PAID,
    PAID_AT,
    REFUND_SYSSN,
    SYSSN,
    account,
    signed,
    written,
)


def flipped(fields: Mapping[str, str], name: str, place: int) -> dict[str, str]:
    value = fields[name]
    return {**fields, name: value[:place] + chr(ord(value[place]) ^ 1) + value[place + 1 :]}


@pytest.mark.parametrize("sign_type", ["MD5", "HMAC-SHA256"])
def test_a_signed_payment_notice_is_a_payment(sign_type: WeChatSignType) -> None:
    notice = read_notice([account(sign_type)], written(signed({**PAID, "attach": ""}, sign_type=sign_type)))

    paid = Paid(Money(888, "HKD"), "4200000000202601010000000001", "o-of-the-merchant", PAID_AT)
    assert notice == PaymentNotice(SYSSN, paid)
    assert notice.confirmed


@pytest.mark.parametrize("name", ["rate", "rate_value"])
def test_the_rate_is_read_under_either_name_and_is_signed(name: str) -> None:
    fields = signed({**PAID, name: "91230000"})
    notice = read_notice([account()], written(fields))
    assert isinstance(notice, PaymentNotice)
    assert isinstance(notice.outcome, Paid)
    with pytest.raises(BadSignature):
        read_notice([account()], written({**fields, name: "91230001"}))


@pytest.mark.parametrize("sign_type", ["MD5", "HMAC-SHA256"])
def test_no_byte_of_a_payment_notice_can_change(sign_type: WeChatSignType) -> None:
    fields = signed(PAID, sign_type=sign_type)

    for name, value in fields.items():
        for place in range(len(value)):
            with pytest.raises(BadSignature):
                read_notice([account(sign_type)], written(flipped(fields, name, place)))


@pytest.mark.parametrize("name", [*PAID, "sign"])
def test_no_field_of_a_payment_notice_can_be_taken_away_or_added(name: str) -> None:
    fields = signed(PAID)

    with pytest.raises(BadSignature):
        read_notice([account()], written({n: value for n, value in fields.items() if n != name}))
    with pytest.raises(BadSignature):
        read_notice([account()], written({**fields, f"{name}_more": "1"}))


def test_a_notice_in_md5_is_refused_for_an_hmac_account() -> None:
    for fields in (signed(PAID), signed({**PAID, "sign_type": "MD5"})):
        with pytest.raises(BadSignature):
            read_notice([account("HMAC-SHA256")], written(fields))


@pytest.mark.parametrize("name", ["appid", "mch_id", "sub_mch_id"])
@pytest.mark.parametrize("value", ["", "another"])
def test_a_signed_notice_for_another_account_is_none(name: str, value: str) -> None:
    with pytest.raises(BadSignature):
        read_notice([account()], written(signed({**PAID, name: value})))


def test_a_signed_notice_of_a_failure_triggers_a_query() -> None:
    notice = read_notice([account()], written(signed({**PAID, "result_code": "FAIL"})))

    assert isinstance(notice, PaymentNotice)
    assert isinstance(notice.outcome, Unknown)


def test_a_signed_notice_without_an_amount_triggers_a_query() -> None:
    notice = read_notice([account()], written(signed({**PAID, "total_fee": ""})))

    assert isinstance(notice, PaymentNotice)
    assert isinstance(notice.outcome, Unknown)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"<xml></xml>",
        written({"return_code": "FAIL", "return_msg": "x"}),
        written(signed({**PAID, "return_code": "FAIL"})),
        written(signed({**PAID, "out_trade_no": ""})),
        b"<!DOCTYPE xml>" + written(signed(PAID)),
        b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><xml><v>&f;</v></xml>',
        written(signed(PAID)).replace(b"</xml>", b"<total_fee>1</total_fee></xml>"),
    ],
    ids=range(9),
)
def test_anything_else_is_no_notice(body: bytes) -> None:
    with pytest.raises(BadSignature):
        read_notice([account()], body)


# ---- refunds -----------------------------------------------------------------------------------------------

NOTICE = {
    "out_trade_no": SYSSN,
    "out_refund_no": REFUND_SYSSN,
    "refund_status": "SUCCESS",
    "refund_fee": "88",
}


def encrypted(text: bytes, key: str = KEY) -> str:
    padder = PKCS7(128).padder()
    aes_key = hashlib.md5(key.encode()).hexdigest().encode()
    encryptor = Cipher(algorithms.AES256(aes_key), modes.ECB()).encryptor()  # noqa: S305 - WeChat's choice
    padded = padder.update(text) + padder.finalize()
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode()


def refund_notice(text: bytes = written(NOTICE, root="root"), key: str = KEY) -> dict[str, str]:
    return {**IDENTITY, "req_info": encrypted(text, key)}


def test_a_refund_notice_names_the_refund_and_its_payment() -> None:
    assert read_notice([account()], written(refund_notice())) == RefundNotice(REFUND_SYSSN, SYSSN)


@pytest.mark.parametrize("name", ["appid", "mch_id", "sub_mch_id"])
def test_a_refund_notice_for_another_account_is_none(name: str) -> None:
    with pytest.raises(BadSignature):
        read_notice([account()], written({**refund_notice(), name: "another"}))


@pytest.mark.parametrize(
    "fields",
    [
        refund_notice(key=KEY[::-1]),
        refund_notice(b"not XML"),
        refund_notice(written(NOTICE)),
        refund_notice(written({**NOTICE, "out_trade_no": ""}, root="root")),
        refund_notice(written({**NOTICE, "out_refund_no": "<>"}, root="root")),
        {**IDENTITY, "req_info": ""},
        {**IDENTITY, "req_info": "AAAA"},
        {**IDENTITY, "req_info": "not base64"},
        {**IDENTITY, "req_info": "名"},
    ],
    ids=range(9),
)
def test_a_text_that_our_key_does_not_decrypt_is_no_refund_notice(fields: dict[str, str]) -> None:
    with pytest.raises(BadSignature):
        read_notice([account()], written(fields))


def test_the_acknowledgement_is_the_documented_one() -> None:
    assert from_xml(ACKNOWLEDGEMENT.received) == {"return_code": "SUCCESS", "return_msg": "OK"}
    assert from_xml(ACKNOWLEDGEMENT.refused)["return_code"] == "FAIL"
