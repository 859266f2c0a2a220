"""Notices to a real receiver: their fields, signatures and repeats."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.sandbox.conftest import Receiver, Sandbox
from tests.sandbox.wechat_shop import (
    Shop,
    both_kinds,
    code,
    confirm,
    from_xml,
    new_number,
    openid,
    shop,
    signature,
)

GAPS_S = (15, 15, 30, 180, 1800, 1800, 1800, 1800, 3600)
SUCCESS_REPLY = (
    b"<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>"
)
FAIL_REPLY = b"<xml><return_code><![CDATA[FAIL]]></return_code></xml>"


@pytest.fixture
def demo(request: pytest.FixtureRequest, sandbox: Sandbox) -> Shop:
    return shop(sandbox, getattr(request, "param", "demo"))


@pytest.fixture
def acknowledging(receiver: Receiver) -> Receiver:
    receiver.answer = (200, SUCCESS_REPLY)
    return receiver


def identity_in(notice: dict[str, str]) -> dict[str, str]:
    """The numbers of the merchant, and an openid of a sub-merchant."""
    numbers = ("appid", "mch_id")
    return {name: value for name, value in notice.items() if name in numbers or name.startswith("sub_")}


def url_of(receiver: Receiver) -> str:
    return receiver.url.split("?")[0]


@both_kinds
@pytest.mark.parametrize("sign_type", ["MD5", "HMAC-SHA256"])
def test_a_payment_notice_is_signed_with_the_orders_algorithm(
    sandbox: Sandbox, demo: Shop, acknowledging: Receiver, sign_type: str
) -> None:
    number = new_number()
    made = demo.order(
        out_trade_no=number, notify_url=url_of(acknowledging), attach="table 4", sign_type=sign_type
    )
    confirm(sandbox, "pay", url=made["code_url"], payer="dora")
    (body,) = acknowledging.wait_for(1)
    reply = from_xml(body)
    assert reply["sign"] == signature(reply, demo.key, sign_type)
    assert reply.get("sign_type", "MD5") == sign_type
    assert identity_in(reply) == demo.identity()
    assert (reply["return_code"], reply["result_code"]) == ("SUCCESS", "SUCCESS")
    assert (reply["out_trade_no"], reply["attach"], reply["trade_type"]) == (number, "table 4", "NATIVE")
    assert (reply["total_fee"], reply["fee_type"]) == ("8800", "HKD")
    assert (reply["cash_fee"], reply["cash_fee_type"], reply["rate_value"]) == ("8028", "CNY", "91230000")
    assert reply["openid"] == openid(sandbox, "dora", demo.account["appid"])
    request = demo.query(number).fields
    assert (reply["transaction_id"], reply["time_end"]) == (request["transaction_id"], request["time_end"])


#: CNY for one unit, times 10^8.
RATES = {"HKD": "91230000", "JPY": "4820000", "KRW": "520000", "USD": "710340000"}


@pytest.mark.parametrize("currency", RATES)
def test_a_notice_has_rate_value_and_responses_have_rate(
    sandbox: Sandbox, demo: Shop, acknowledging: Receiver, currency: str
) -> None:
    number = new_number()
    made = demo.order(out_trade_no=number, notify_url=url_of(acknowledging), fee_type=currency)
    confirm(sandbox, "pay", url=made["code_url"], payer="chen")
    reply = from_xml(acknowledging.wait_for(1)[0])
    assert (reply["rate_value"], "rate" in reply) == (RATES[currency], False)
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
    sandbox: Sandbox, demo: Shop, acknowledging: Receiver, currency: str, payer: str
) -> None:
    made = demo.order(notify_url=url_of(acknowledging), fee_type=currency)
    confirm(sandbox, "pay", url=made["code_url"], payer=payer)
    reply = from_xml(acknowledging.wait_for(1)[0])
    assert not {"rate", "rate_value"} & set(reply)


def test_a_notice_is_repeated_until_it_is_acknowledged(
    sandbox: Sandbox, demo: Shop, receiver: Receiver
) -> None:
    receiver.answers = [(500, SUCCESS_REPLY), (200, b"success"), (200, FAIL_REPLY), (302, SUCCESS_REPLY)]
    receiver.answer = (200, SUCCESS_REPLY)
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


def test_a_notice_is_not_repeated_after_the_last_gap(
    sandbox: Sandbox, demo: Shop, receiver: Receiver
) -> None:
    receiver.answer = (200, FAIL_REPLY)
    confirm(sandbox, "pay", url=demo.order(notify_url=url_of(receiver))["code_url"])
    for times, gap in enumerate(GAPS_S, start=1):
        receiver.wait_for(times)
        sandbox.advance(gap)
    receiver.wait_for(len(GAPS_S) + 1)
    sandbox.wait_for_quiet(url_of(receiver))


def test_an_unreachable_receiver_does_not_stop_other_notices(
    sandbox: Sandbox, demo: Shop, acknowledging: Receiver
) -> None:
    unreachable = demo.order(notify_url="http://127.0.0.1:9/nobody")
    reachable = demo.order(notify_url=url_of(acknowledging))
    confirm(sandbox, "pay", url=unreachable["code_url"])
    confirm(sandbox, "pay", url=reachable["code_url"])
    acknowledging.wait_for(1)


def test_micropay_sends_no_notice(sandbox: Sandbox, demo: Shop, acknowledging: Receiver) -> None:
    demo.scan_code(code(sandbox), notify_url=url_of(acknowledging))
    confirm(sandbox, "pay", url=demo.order(notify_url=url_of(acknowledging))["code_url"])
    (body,) = acknowledging.wait_for(1)
    assert from_xml(body)["trade_type"] == "NATIVE"


@both_kinds
def test_a_refund_notice_is_encrypted(sandbox: Sandbox, demo: Shop, acknowledging: Receiver) -> None:
    number, refund = new_number(), new_number("R")
    demo.scan_code(code(sandbox), out_trade_no=number)
    accepted = demo.refund(number, 300, out_refund_no=refund, notify_url=url_of(acknowledging))
    demo.refund(number, 400)  # without a notify_url, so without a notice
    sandbox.advance(2)
    (body,) = acknowledging.wait_for(1)
    reply = from_xml(body)
    assert "sign" not in reply
    assert identity_in(reply) == demo.identity()
    event = from_xml(decrypted(reply["req_info"], demo.key))
    assert (event["out_trade_no"], event["out_refund_no"]) == (number, refund)
    assert event["refund_id"] == accepted["refund_id"]
    assert (event["total_fee"], event["refund_fee"], event["refund_status"]) == ("8800", "300", "SUCCESS")
    assert len(event["success_time"]) == 19
    assert event["refund_request_source"] == "API"


def decrypted(req_info: str, key: str) -> bytes:
    aes_key = hashlib.md5(key.encode()).hexdigest().encode()
    decryptor = Cipher(algorithms.AES(aes_key), modes.ECB()).decryptor()  # noqa: S305
    padded = decryptor.update(base64.b64decode(req_info)) + decryptor.finalize()
    plain = padded[: -padded[-1]]
    assert plain.startswith(b"<root>")
    return plain
