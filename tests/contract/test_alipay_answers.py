"""The Alipay channel against a stub wallet with given responses: above all those that must decide nothing.

For every call, sign type and signed value, one changed byte makes the outcome unknown.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime

import pytest

from tael.base.money import Money
from tael.base.transport import Transport
from tael.channels.alipay_mapi.account import AlipayAccount
from tael.channels.alipay_mapi.adapter import AlipayMapi
from tael.channels.base import BadSignature, ChannelOrder, PaymentNotice
from tael.channels.outcomes import (
    AwaitingPayer,
    Closed,
    NotSent,
    Paid,
    PayLink,
    Refunded,
    RefundPending,
    Refusal,
    Refused,
    ReversalAction,
    Reversed,
    Unknown,
)
from tests.support.alipay import (
    BARE,
    KEY,
    NOW,
    PID,
    REFUND_SYSSN,
    SIGN_TYPES,
    SYSSN,
    TRADE_NO,
    StubWallet,
    TestClock,
    alipay_account,
    alipay_order,
    alipay_refund,
    flipped,
    notice_body,
    wallet_signature,
    xml_answer,
    xml_rejection,
)

PAY, QUERY = "alipay.acquire.overseas.spot.pay", "alipay.acquire.overseas.query"
CANCEL, REFUND = "alipay.acquire.cancel", "alipay.acquire.overseas.spot.refund"
REFUND_QUERY, ONLINE_QUERY = "alipay.acquire.refund.query", "single_trade_query"
CLOSE, FOREX_REFUND, VERIFY = "close_trade", "forex_refund", "notify_verify"

PAID_FIELDS = {
    "result_code": "SUCCESS",
    "partner_trans_id": SYSSN,
    "alipay_trans_id": TRADE_NO,
    "currency": "HKD",
    "trans_amount": "39.25",
    "alipay_buyer_user_id": "2088102",
    "alipay_pay_time": "20260102110430",
}
IN_STORE_FIELDS = PAID_FIELDS | {"alipay_trans_status": "TRADE_SUCCESS", "out_trade_no": SYSSN}
ONLINE_FIELDS = {
    "trade_no": TRADE_NO,
    "out_trade_no": SYSSN,
    "trade_status": "TRADE_FINISHED",
    "total_fee": "35.72",
    "buyer_id": "2088102",
    "gmt_payment": "2026-01-02 11:04:30",
}
CANCEL_FIELDS = {
    "result_code": "SUCCESS",
    "action": "refund",
    "out_trade_no": SYSSN,
    "trade_no": TRADE_NO,
    "retry_flag": "N",
}
REFUND_FIELDS = {
    "result_code": "SUCCESS",
    "partner_trans_id": SYSSN,
    "partner_refund_id": REFUND_SYSSN,
    "refund_amount": "10.00",
    "currency": "HKD",
}
REFUND_STATE = {
    "response_code": "SUCCESS",
    "refund_result_code": "SUCCESS",
    "out_return_no": REFUND_SYSSN,
    "out_trade_no": SYSSN,
    "trade_no": TRADE_NO,
}
PAID_AT = datetime(2026, 1, 2, 3, 4, 30, tzinfo=UTC)
PAID = Paid(Money(3925, "HKD"), TRADE_NO, "2088102", PAID_AT)
PAID_ONLINE = Paid(None, TRADE_NO, "2088102", PAID_AT)


@pytest.fixture
async def wallet() -> AsyncIterator[StubWallet]:
    async with StubWallet() as stub:
        yield stub


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
def channel(wallet: StubWallet, transport: Transport, clock: TestClock) -> AlipayMapi:
    return AlipayMapi(transport, clock, gateway_url=wallet.url, instore_url=wallet.url)


def in_store(account: AlipayAccount | None = None, auth_code: str = "280000000000000001") -> ChannelOrder:
    return alipay_order("800108", account or alipay_account(online=False), auth_code=auth_code)


def online(account: AlipayAccount | None = None) -> ChannelOrder:
    return alipay_order("800151", account or alipay_account())


Call = Callable[[AlipayMapi, AlipayAccount], Awaitable[object]]

#: Per call: the call, the service of the tested response, its node and fields, and the other services' responses.
CALLS: dict[str, tuple[Call, str, str, Mapping[str, str], Mapping[str, bytes]]] = {
    "open": (lambda c, a: c.open(in_store(a)), PAY, "alipay", PAID_FIELDS, {}),
    "query in store": (lambda c, a: c.query(in_store(a)), QUERY, "alipay", IN_STORE_FIELDS, {}),
    "query online": (lambda c, a: c.query(online(a)), ONLINE_QUERY, "trade", ONLINE_FIELDS, {}),
    "close": (lambda c, a: c.close(online(a)), ONLINE_QUERY, "trade", ONLINE_FIELDS, {CLOSE: BARE}),
    "reverse": (lambda c, a: c.reverse(in_store(a)), CANCEL, "alipay", CANCEL_FIELDS, {}),
    "refund in store": (
        lambda c, a: c.refund(alipay_refund(in_store(a))),
        REFUND,
        "alipay",
        REFUND_FIELDS,
        {},
    ),
    "refund online": (
        lambda c, a: c.refund(alipay_refund(online(a))),
        REFUND_QUERY,
        "alipay",
        REFUND_STATE,
        {FOREX_REFUND: BARE},
    ),
    "query refund": (
        lambda c, a: c.query_refund(alipay_refund(in_store(a))),
        REFUND_QUERY,
        "alipay",
        REFUND_STATE,
        {},
    ),
}
DECISIONS = {
    "open": PAID,
    "query in store": PAID,
    "query online": PAID_ONLINE,
    "close": PAID_ONLINE,
    "reverse": Reversed(ReversalAction.REFUNDED, TRADE_NO),
    "refund in store": Refunded(Money(1000, "HKD"), "", None),
    "refund online": Refunded(None, "", None),
    "query refund": Refunded(None, "", None),
}


@pytest.mark.parametrize("sign_type", SIGN_TYPES)
@pytest.mark.parametrize("call", CALLS)
async def test_a_signed_response_decides_and_one_with_a_changed_byte_does_not(
    channel: AlipayMapi, wallet: StubWallet, call: str, sign_type: str
) -> None:
    ask, service, node, fields, before = CALLS[call]
    account = alipay_account(sign_type)  # type: ignore[arg-type]
    wallet.answers = dict(before) | {service: xml_answer(fields, sign_type, node=node)}
    assert await ask(channel, account) == DECISIONS[call]
    sign = wallet_signature(fields, sign_type)
    for name, value in fields.items():
        changed = xml_answer({**fields, name: flipped(value)}, sign_type, node=node, sign=sign)
        wallet.answers[service] = changed
        assert isinstance(await ask(channel, account), Unknown), name


@pytest.mark.parametrize("call", CALLS)
async def test_other_responses_decide_nothing(channel: AlipayMapi, wallet: StubWallet, call: str) -> None:
    ask, service, node, fields, before = CALLS[call]
    right = xml_answer(fields, node=node)
    for answer in (
        xml_answer(fields, node=node, sign=""),
        xml_answer(fields, "RSA", node=node),
        xml_answer({**fields, "extra": "1"}, node=node, sign=wallet_signature(fields, "MD5")),
        BARE,
        b"",
        b"<html>502</html>",
        right[:-20],
        b"<!DOCTYPE alipay>" + right.split(b"?>", 1)[1],
        xml_rejection("SYSTEM_ERROR"),
        xml_rejection(""),
        xml_rejection("UNKNOWN_CODE"),
    ):
        wallet.answers = dict(before) | {service: answer}
        outcome = await ask(channel, alipay_account())
        is_open = call == "reverse" and answer == xml_rejection("SYSTEM_ERROR")
        assert type(outcome).__name__ == ("Again" if is_open else "Unknown"), answer


@pytest.mark.parametrize("call", CALLS)
async def test_an_error_page_decides_nothing(channel: AlipayMapi, wallet: StubWallet, call: str) -> None:
    ask, service, node, fields, before = CALLS[call]
    wallet.answers = dict(before) | {service: xml_answer(fields, node=node)}
    wallet.status = 500
    assert await ask(channel, alipay_account()) == Unknown("HTTP 500")


@pytest.mark.parametrize("call", CALLS)
async def test_a_call_without_a_connection_is_not_sent(
    transport: Transport, clock: TestClock, unused_tcp_port: int, call: str
) -> None:
    nowhere = f"http://127.0.0.1:{unused_tcp_port}/gateway.do"
    channel = AlipayMapi(transport, clock, gateway_url=nowhere, instore_url=nowhere)
    outcome = await CALLS[call][0](channel, alipay_account())
    assert isinstance(outcome, Unknown if call == "query refund" else NotSent)


@pytest.fixture
async def unused_tcp_port() -> int:
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


# ---- the requests ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign_type", SIGN_TYPES)
async def test_requests_name_the_charset_twice_and_are_signed(
    channel: AlipayMapi, wallet: StubWallet, sign_type: str
) -> None:
    wallet.answers = {PAY: xml_answer(PAID_FIELDS, sign_type)}
    account = alipay_account(sign_type, online=False)  # type: ignore[arg-type]
    await channel.open(alipay_order("800108", account, subject="茶 & tea"))
    (asked,) = wallet.asked
    assert asked["_input_charset"] == "UTF-8"
    assert (asked["partner"], asked["sign_type"], asked["trans_name"]) == (PID, sign_type, "茶   tea")
    if sign_type == "MD5":
        assert asked["sign"] == wallet_signature(asked, "MD5", key=KEY)


async def test_a_pay_link_is_built_without_a_call_and_is_the_same_each_time(
    channel: AlipayMapi, wallet: StubWallet, clock: TestClock
) -> None:
    first = await channel.open(online())
    clock.at = clock.at.replace(hour=9)
    assert await channel.open(online()) == first
    assert isinstance(first, AwaitingPayer)
    assert isinstance(first.pay, PayLink)
    assert first.pay.url.startswith(f"{wallet.url}?service=create_forex_trade&")
    assert wallet.asked == []


async def test_another_wallets_code_is_not_even_sent(channel: AlipayMapi, wallet: StubWallet) -> None:
    for start in range(10, 16):
        refused = await channel.open(in_store(auth_code=f"{start}0000000000000001"))
        assert refused == Refused(Refusal.OTHER_WALLETS_CODE, "")
    assert wallet.asked == []


async def test_a_repeat_without_the_code_is_a_query(channel: AlipayMapi, wallet: StubWallet) -> None:
    wallet.answers = {QUERY: xml_answer(IN_STORE_FIELDS)}
    assert await channel.open(in_store(auth_code="")) == PAID
    assert wallet.services == [QUERY]


async def test_deadlines(channel: AlipayMapi) -> None:
    assert (channel.deadline(online()) - NOW).total_seconds() == 1200
    assert (channel.deadline(in_store()) - NOW).total_seconds() == 600


# ---- outcomes that need a second request -------------------------------------------------------------------


@pytest.mark.parametrize("code", ["TRADE_HAS_SUCCESS", "TRADE_HAS_CLOSE", "TRADE_STATUS_ERROR"])
async def test_a_payment_refused_for_its_state_is_decided_by_the_record(
    channel: AlipayMapi, wallet: StubWallet, code: str
) -> None:
    failed = {"result_code": "FAILED", "error": code, "partner_trans_id": SYSSN}
    wallet.answers = {PAY: xml_answer(failed), QUERY: xml_answer(IN_STORE_FIELDS)}
    assert await channel.open(in_store()) == PAID


async def test_a_close_is_accepted_only_if_the_record_confirms_it(
    channel: AlipayMapi, wallet: StubWallet
) -> None:
    closed = {name: value for name, value in ONLINE_FIELDS.items() if name != "gmt_payment"}
    for record, outcome in (
        (xml_answer(closed | {"trade_status": "TRADE_CLOSED"}, node="trade"), Closed(TRADE_NO)),
        (xml_answer(ONLINE_FIELDS | {"trade_status": "TRADE_CLOSED"}, node="trade"), PAID_ONLINE),
        (xml_rejection("TRADE_NOT_EXIST"), Unknown("query: TRADE_NOT_EXIST", no_such_order=True)),
    ):
        wallet.answers = {CLOSE: BARE, ONLINE_QUERY: record}
        assert await channel.close(online()) == outcome
    wallet.answers = {CLOSE: xml_rejection("TRADE_NOT_EXIST")}
    assert await channel.close(online()) == Unknown("close: TRADE_NOT_EXIST", no_such_order=True)
    waiting = xml_answer(closed | {"trade_status": "WAIT_BUYER_PAY"}, node="trade")
    wallet.answers = {CLOSE: xml_rejection("TRADE_STATUS_ERROR"), ONLINE_QUERY: waiting}
    assert await channel.close(online()) == Refused(Refusal.CLOSE_REFUSED, "TRADE_STATUS_ERROR")


async def test_the_first_request_may_have_succeeded_if_the_query_is_not_sent(
    channel: AlipayMapi, wallet: StubWallet
) -> None:
    failed = {"result_code": "FAILED", "error": "TRADE_HAS_SUCCESS", "partner_trans_id": SYSSN}
    wallet.answers = {PAY: xml_answer(failed)}
    wallet.leaves_after = 1
    outcome = await channel.open(in_store())
    assert isinstance(outcome, Unknown)
    assert "not sent" in outcome.reason


@pytest.mark.parametrize("service", [CLOSE, FOREX_REFUND])
async def test_a_bare_t_without_a_query_of_the_record_decides_nothing(
    channel: AlipayMapi, wallet: StubWallet, service: str
) -> None:
    wallet.answers = {service: BARE}
    wallet.leaves_after = 1
    ask = channel.close(online()) if service == CLOSE else channel.refund(alipay_refund(online()))
    outcome = await ask
    assert isinstance(outcome, Unknown)
    assert "not sent" in outcome.reason


async def test_an_account_without_close_trade_closes_nothing(channel: AlipayMapi, wallet: StubWallet) -> None:
    account = alipay_account(supports_close=False)
    assert await channel.close(online(account)) == Refused(Refusal.CLOSE_REFUSED, "no close_trade")
    assert await channel.close(in_store()) == Refused(Refusal.WRONG_STATE, "")
    assert await channel.reverse(online()) == Refused(Refusal.WRONG_STATE, "")
    assert wallet.asked == []


async def test_a_lost_cancel_is_found_in_the_record(channel: AlipayMapi, wallet: StubWallet) -> None:
    refused = {"result_code": "FAIL", "detail_error_code": "TRADE_HAS_CLOSE", "out_trade_no": SYSSN}
    closed = IN_STORE_FIELDS | {"alipay_trans_status": "TRADE_CLOSED"}
    wallet.answers = {CANCEL: xml_answer(refused), QUERY: xml_answer(closed)}
    assert await channel.reverse(in_store()) == Reversed(ReversalAction.REFUNDED, TRADE_NO)
    wallet.answers[QUERY] = b""
    assert isinstance(await channel.reverse(in_store()), Unknown)


async def test_an_online_refund_is_decided_by_its_record(channel: AlipayMapi, wallet: StubWallet) -> None:
    refund = alipay_refund(online())
    for record, outcome in (
        (REFUND_STATE, Refunded(None, "", None)),
        (REFUND_STATE | {"refund_result_code": "PROCESSING"}, RefundPending()),
        ({"response_code": "NOT_FOUND"}, RefundPending()),
    ):
        for first in (BARE, xml_rejection("REPEATED_REFUNDMENT_REQUEST")):
            wallet.answers = {FOREX_REFUND: first, REFUND_QUERY: xml_answer(record)}
            assert await channel.refund(refund) == outcome
    wallet.answers = {FOREX_REFUND: xml_rejection("MERCHANT_BALANCE_NOT_ENOUGH")}
    refused = Refused(Refusal.MERCHANT_BALANCE, "MERCHANT_BALANCE_NOT_ENOUGH")
    assert await channel.refund(refund) == refused


async def test_an_ambiguous_refusal_at_night_is_a_pending_refund(
    channel: AlipayMapi, wallet: StubWallet, clock: TestClock
) -> None:
    failed = {"result_code": "FAILED", "error": "TRADE_STATUS_ERROR", "partner_trans_id": SYSSN}
    wallet.answers = {REFUND: xml_answer(failed)}
    refused = Refused(Refusal.WRONG_STATE, "TRADE_STATUS_ERROR")
    assert await channel.refund(alipay_refund(in_store())) == refused
    clock.at = datetime(2026, 1, 2, 17, 0, tzinfo=UTC)  # one in the morning in Beijing
    assert await channel.refund(alipay_refund(in_store())) == RefundPending()


async def test_a_response_in_gbk_is_read(channel: AlipayMapi, wallet: StubWallet) -> None:
    wallet.answers = {QUERY: xml_answer(IN_STORE_FIELDS | {"memo": "茶"}, encoding="GBK")}
    assert await channel.query(in_store()) == PAID


# ---- notices -----------------------------------------------------------------------------------------------

NOTICE = {
    "notify_id": "n&1",
    "notify_type": "trade_status_sync",
    "out_trade_no": SYSSN,
    "trade_no": TRADE_NO,
    "trade_status": "TRADE_FINISHED",
    "total_fee": "39.25",
    "currency": "HKD",
}


async def test_a_notice_is_checked_with_the_wallet(channel: AlipayMapi, wallet: StubWallet) -> None:
    wallet.answers = {VERIFY: b"true"}
    notice = await channel.read_notice(alipay_account(), {}, notice_body(NOTICE))
    assert notice == PaymentNotice(SYSSN, Paid(Money(3925, "HKD"), TRADE_NO, "", NOW))
    assert wallet.asked == [{"service": VERIFY, "partner": PID, "notify_id": "n&1"}]


@pytest.mark.parametrize("answer", [b"false", b"invalid", b"", b"true\n", b"TRUE"])
@pytest.mark.parametrize("sign_type", ["MD5", "RSA"])
async def test_a_notice_that_the_wallet_does_not_confirm_is_refused(
    channel: AlipayMapi, wallet: StubWallet, answer: bytes, sign_type: str
) -> None:
    wallet.answers = {VERIFY: answer}
    account = alipay_account(sign_type)  # type: ignore[arg-type]
    with pytest.raises(BadSignature):
        await channel.read_notice(account, {}, notice_body(NOTICE, sign_type))


async def test_a_forged_notice_causes_no_request(channel: AlipayMapi, wallet: StubWallet) -> None:
    with pytest.raises(BadSignature):
        await channel.read_notice(alipay_account(), {}, notice_body(NOTICE, sign="0" * 32))
    assert wallet.asked == []


async def test_rsa2_notices_need_no_verification_call_and_others_do(
    transport: Transport, clock: TestClock, unused_tcp_port: int
) -> None:
    nowhere = f"http://127.0.0.1:{unused_tcp_port}/gateway.do"
    channel = AlipayMapi(transport, clock, gateway_url=nowhere, instore_url=nowhere)
    notice = await channel.read_notice(alipay_account("RSA2"), {}, notice_body(NOTICE, "RSA2"))
    assert isinstance(notice, PaymentNotice)
    with pytest.raises(BadSignature):
        await channel.read_notice(alipay_account("RSA"), {}, notice_body(NOTICE, "RSA"))
