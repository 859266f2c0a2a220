"""Notices to a real receiver: what they say, how they are proven, how often they come."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.sandbox.conftest import Receiver, Sandbox
from tests.sandbox.wechat_shop import Shop, code, confirm, fresh, from_xml, openid, shop, signature

GAPS_S = (15, 15, 30, 180, 1800, 1800, 1800, 1800, 3600)
THANKS = b"<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>"
SORRY = b"<xml><return_code><![CDATA[FAIL]]></return_code></xml>"


@pytest.fixture
def demo(sandbox: Sandbox) -> Shop:
    return shop(sandbox)


@pytest.fixture
def thankful(receiver: Receiver) -> Receiver:
    receiver.answer = (200, THANKS)
    return receiver


def url_of(receiver: Receiver) -> str:
    return receiver.url.split("?")[0]


@pytest.mark.parametrize("sign_type", ["MD5", "HMAC-SHA256"])
def test_a_payment_is_told_and_signed_with_the_orders_algorithm(
    sandbox: Sandbox, demo: Shop, thankful: Receiver, sign_type: str
) -> None:
    number = fresh()
    made = demo.order(out_trade_no=number, notify_url=url_of(thankful), attach="table 4", sign_type=sign_type)
    confirm(sandbox, "pay", url=made["code_url"], payer="dora")
    (body,) = thankful.wait_for(1)
    said = from_xml(body)
    assert said["sign"] == signature(said, demo.key, sign_type)
    assert said.get("sign_type", "MD5") == sign_type
    assert {name: said[name] for name in demo.identity()} == demo.identity()
    assert (said["return_code"], said["result_code"]) == ("SUCCESS", "SUCCESS")
    assert (said["out_trade_no"], said["attach"], said["trade_type"]) == (number, "table 4", "NATIVE")
    assert (said["total_fee"], said["fee_type"]) == ("8800", "HKD")
    assert (said["cash_fee"], said["cash_fee_type"], said["rate_value"]) == ("8028", "CNY", "91230000")
    assert said["openid"] == openid(sandbox, "dora", demo.account["appid"])
    asked = demo.query(number).fields
    assert (said["transaction_id"], said["time_end"]) == (asked["transaction_id"], asked["time_end"])


#: CNY for one unit, times 10^8.
RATES = {"HKD": "91230000", "JPY": "4820000", "KRW": "520000", "USD": "710340000"}


@pytest.mark.parametrize("currency", RATES)
def test_a_notice_has_the_rate_as_rate_value_and_answers_have_it_as_rate(
    sandbox: Sandbox, demo: Shop, thankful: Receiver, currency: str
) -> None:
    number = fresh()
    made = demo.order(out_trade_no=number, notify_url=url_of(thankful), fee_type=currency)
    confirm(sandbox, "pay", url=made["code_url"], payer="chen")
    said = from_xml(thankful.wait_for(1)[0])
    assert (said["rate_value"], "rate" in said) == (RATES[currency], False)
    refund = demo.refund(number, 300, refund_fee_type=currency)
    answers = [
        demo.query(number),
        demo.scan_code(code(sandbox), fee_type=currency),
        refund,
        demo.call("/pay/refundquery", out_refund_no=refund["out_refund_no"]),
    ]
    for answer in answers:
        assert (answer["rate"], "rate_value" in answer.fields) == (RATES[currency], False)


@pytest.mark.parametrize(("currency", "payer"), [("HKD", "emil"), ("CNY", "chen")])
def test_a_notice_without_a_conversion_has_no_rate(
    sandbox: Sandbox, demo: Shop, thankful: Receiver, currency: str, payer: str
) -> None:
    made = demo.order(notify_url=url_of(thankful), fee_type=currency)
    confirm(sandbox, "pay", url=made["code_url"], payer=payer)
    said = from_xml(thankful.wait_for(1)[0])
    assert not {"rate", "rate_value"} & set(said)


def test_a_notice_is_repeated_until_it_is_acknowledged(
    sandbox: Sandbox, demo: Shop, receiver: Receiver
) -> None:
    receiver.answers = [(500, THANKS), (200, b"success"), (200, SORRY), (302, THANKS)]
    receiver.answer = (200, THANKS)
    made = demo.order(notify_url=url_of(receiver))
    confirm(sandbox, "pay", url=made["code_url"])
    for times, gap in enumerate(GAPS_S[:4], start=1):
        assert len(receiver.wait_for(times)) == times
        sandbox.advance(gap)
    assert len(set(receiver.wait_for(5))) == 1
    sandbox.wait_for_quiet(url_of(receiver))
    sandbox.advance(86_400)
    other = demo.order(notify_url=url_of(receiver))
    confirm(sandbox, "pay", url=other["code_url"])
    assert len(receiver.wait_for(6)) == 6  # the next is the other order's
    assert receiver.bodies[5] != receiver.bodies[4]


def test_a_notice_is_given_up_after_the_last_gap(sandbox: Sandbox, demo: Shop, receiver: Receiver) -> None:
    receiver.answer = (200, SORRY)
    confirm(sandbox, "pay", url=demo.order(notify_url=url_of(receiver))["code_url"])
    for times, gap in enumerate(GAPS_S, start=1):
        receiver.wait_for(times)
        sandbox.advance(gap)
    receiver.wait_for(len(GAPS_S) + 1)
    sandbox.wait_for_quiet(url_of(receiver))


def test_a_receiver_that_is_not_there_is_asked_again(
    sandbox: Sandbox, demo: Shop, thankful: Receiver
) -> None:
    dead = demo.order(notify_url="http://127.0.0.1:9/nobody")
    live = demo.order(notify_url=url_of(thankful))
    confirm(sandbox, "pay", url=dead["code_url"])
    confirm(sandbox, "pay", url=live["code_url"])
    thankful.wait_for(1)


def test_micropay_tells_nobody(sandbox: Sandbox, demo: Shop, thankful: Receiver) -> None:
    demo.scan_code(code(sandbox), notify_url=url_of(thankful))
    confirm(sandbox, "pay", url=demo.order(notify_url=url_of(thankful))["code_url"])
    (body,) = thankful.wait_for(1)
    assert from_xml(body)["trade_type"] == "NATIVE"


def test_a_refund_is_told_sealed(sandbox: Sandbox, demo: Shop, thankful: Receiver) -> None:
    number, refund = fresh(), fresh("R")
    demo.scan_code(code(sandbox), out_trade_no=number)
    accepted = demo.refund(number, 300, out_refund_no=refund, notify_url=url_of(thankful))
    demo.refund(number, 400)  # without a notify_url, so nobody is told
    sandbox.advance(2)
    (body,) = thankful.wait_for(1)
    said = from_xml(body)
    assert "sign" not in said
    assert {name: said[name] for name in demo.identity()} == demo.identity()
    news = from_xml(decrypted(said["req_info"], demo.key))
    assert (news["out_trade_no"], news["out_refund_no"]) == (number, refund)
    assert news["refund_id"] == accepted["refund_id"]
    assert (news["total_fee"], news["refund_fee"], news["refund_status"]) == ("8800", "300", "SUCCESS")
    assert len(news["success_time"]) == 19
    assert news["refund_request_source"] == "API"


def decrypted(req_info: str, key: str) -> bytes:
    aes_key = hashlib.md5(key.encode()).hexdigest().encode()
    decryptor = Cipher(algorithms.AES(aes_key), modes.ECB()).decryptor()  # noqa: S305
    padded = decryptor.update(base64.b64decode(req_info)) + decryptor.finalize()
    plain = padded[: -padded[-1]]
    assert plain.startswith(b"<root>")
    return plain
