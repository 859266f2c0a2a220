"""WeChat's channel against the simulated wallet: every request over TLS, and every kind of response.

The sandbox is written from WeChat's documents alone, so channel and documents agree if these tests pass.
"""

import re
import secrets
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from tael.base.clock import DemoClock
from tael.base.money import Money
from tael.base.secret import Secret
from tael.base.transport import Transport
from tael.channels.base import BadSignature, Channel, ChannelOrder, ChannelRefund, PaymentNotice, RefundNotice
from tael.channels.outcomes import (
    AwaitingPayer,
    Closed,
    NotSent,
    Paid,
    PayCode,
    PayParams,
    Refunded,
    RefundPending,
    Refusal,
    Refused,
    ReversalAction,
    Reversed,
    Unknown,
)
from tael.channels.wechat_v2.account import WeChatAccount
from tael.channels.wechat_v2.adapter import WeChatV2
from tael.channels.wechat_v2.messages import from_xml
from tests.support import wechat
from tests.support.sandbox import Listener, RunningSandbox, listening

Shop = dict[str, Any]


@pytest.fixture(params=["demo", "wechat_only"], ids=["MD5", "HMAC-SHA256"])
def shop(request: pytest.FixtureRequest, sandbox: RunningSandbox) -> Shop:
    return sandbox.account("wechat", request.param, "both")


@pytest.fixture
def account(shop: Shop) -> WeChatAccount:
    return account_of(shop)


def account_of(shop: Shop) -> WeChatAccount:
    return WeChatAccount(
        account_id="account",
        mchid="merchant",
        currency=shop["currency"],
        mch_id=shop["mch_id"],
        appid=shop["appid"],
        key=Secret(shop["key"]),
        certificate=shop["cert_pem"],
        certificate_key=Secret(shop["key_pem"]),
        sign_type=shop["sign_type"],
        sub_mch_id=shop["sub_mch_id"],
        sub_appid=shop["sub_appid"],
    )


@pytest.fixture
def clock(sandbox: RunningSandbox) -> DemoClock:
    return DemoClock(sandbox.clock_file)


@pytest.fixture
def channel(transport: Transport, clock: DemoClock, shop: Shop) -> Channel:
    return WeChatV2(transport, clock, base_url=shop["base_url"], ca_pem=shop["ca_pem"])


@pytest.fixture
def order(account: WeChatAccount, clock: DemoClock, listener: Listener) -> Callable[..., ChannelOrder]:
    def make(code: str, **known: Any) -> ChannelOrder:
        syssn = secrets.token_hex(10)
        return wechat.order(code, account, syssn=syssn, at=clock.now(), notice_url=listener.url, **known)

    return make


def refund_of(payment: ChannelOrder, amount_minor: int | None = None) -> ChannelRefund:
    return wechat.refund_of(payment, syssn=secrets.token_hex(10), amount_minor=amount_minor)


async def openid_of(sandbox: RunningSandbox, payer_wallet: str, appid: str) -> str:
    payers = await sandbox.control("payers")
    return str(next(payer["openids"][appid] for payer in payers if payer["wallet"] == payer_wallet))


async def pay(sandbox: RunningSandbox, trade: ChannelOrder) -> None:
    await sandbox.control("confirm", {"trade": trade.syssn, "action": "pay"})


async def paid_code(
    channel: Channel, sandbox: RunningSandbox, order: Callable[..., ChannelOrder]
) -> ChannelOrder:
    """A payment by scanned code that the payer has paid."""
    trade = order("800201")
    assert isinstance(await channel.open(trade), AwaitingPayer)
    await pay(sandbox, trade)
    return trade


async def swiped(
    channel: Channel, sandbox: RunningSandbox, order: Callable[..., ChannelOrder], behaviour: str
) -> tuple[ChannelOrder, object]:
    trade = order("800208", auth_code=await sandbox.code("wechat", behaviour))
    return trade, await channel.open(trade)


# ---- online ------------------------------------------------------------------------------------------------


async def test_a_scanned_code_is_paid_and_query_and_notice_report_it(
    channel: Channel,
    sandbox: RunningSandbox,
    account: WeChatAccount,
    order: Callable[..., ChannelOrder],
    listener: Listener,
) -> None:
    listener.body = channel.acknowledgement.received
    trade = order("800201", subject="茶 & <biscuits>")

    opened = await channel.open(trade)

    assert isinstance(opened, AwaitingPayer)
    assert isinstance(opened.pay, PayCode)
    assert opened.pay.text.startswith("weixin://")
    assert await channel.open(trade) == opened
    assert await channel.query(trade) == AwaitingPayer()

    await pay(sandbox, trade)
    paid = await channel.query(trade)

    assert isinstance(paid, Paid)
    assert paid.amount == trade.amount
    assert paid.payer_ref == await openid_of(sandbox, "wechat", account.sub_appid)
    assert abs((paid.paid_at - trade.created_at).total_seconds()) < 60
    assert await channel.read_notice(account, {}, await listener.next()) == PaymentNotice(trade.syssn, paid)
    assert await channel.close(trade) == paid
    assert await channel.open(trade) == paid


async def test_a_payment_inside_wechat_has_signed_parameters(
    channel: Channel,
    sandbox: RunningSandbox,
    shop: Shop,
    order: Callable[..., ChannelOrder],
    clock: DemoClock,
) -> None:
    trade = order("800207", openid=await openid_of(sandbox, "wechat", shop["sub_appid"]))

    opened = await channel.open(trade)

    assert isinstance(opened, AwaitingPayer)
    assert isinstance(opened.pay, PayParams)
    params = dict(opened.pay.params)
    assert set(params) == {"appId", "timeStamp", "nonceStr", "package", "signType", "paySign"}
    assert (params["appId"], params["signType"]) == (shop["sub_appid"], shop["sign_type"])
    assert abs(int(params["timeStamp"]) - clock.now().timestamp()) < 60
    pay_sign = params.pop("paySign")
    assert wechat.signed(params, shop["key"], shop["sign_type"])["sign"] == pay_sign

    again = await channel.open(trade)
    assert isinstance(again, AwaitingPayer)
    assert isinstance(again.pay, PayParams)
    assert again.pay.params["package"] == params["package"]
    await pay(sandbox, trade)
    assert isinstance(await channel.query(trade), Paid)


async def test_an_openid_of_another_account_is_refused(
    channel: Channel, sandbox: RunningSandbox, shop: Shop, order: Callable[..., ChannelOrder]
) -> None:
    trade = order("800207", openid=await openid_of(sandbox, "wechat", shop["appid"]))

    assert await channel.open(trade) == Refused(Refusal.MISMATCH, "invalid openid")


async def test_a_closed_order_stays_closed(channel: Channel, order: Callable[..., ChannelOrder]) -> None:
    trade = order("800201")
    await channel.open(trade)

    assert await channel.close(trade) == Closed()
    assert await channel.close(trade) == Closed()
    assert await channel.query(trade) == Closed()
    assert await channel.open(trade) == Refused(Refusal.ORDER_CLOSED, "ORDERCLOSED")


async def test_wechat_takes_no_money_after_the_deadline(
    channel: Channel, sandbox: RunningSandbox, order: Callable[..., ChannelOrder], clock: DemoClock
) -> None:
    trade = order("800201")
    await channel.open(trade)

    await sandbox.advance((channel.deadline(trade) - clock.now()).total_seconds() + 1)

    assert await channel.query(trade) == Closed()


async def test_an_order_that_was_never_opened_is_unknown(
    channel: Channel, order: Callable[..., ChannelOrder]
) -> None:
    trade = order("800201")
    missing = Unknown("ORDERNOTEXIST", no_such_order=True)

    assert await channel.query(trade) == missing
    assert await channel.close(trade) == missing
    assert await channel.reverse(trade) == missing
    assert await channel.refund(refund_of(trade)) == Refused(Refusal.NO_SUCH_TRADE, "ORDERNOTEXIST")
    assert await channel.query_refund(refund_of(trade)) == Unknown("REFUNDNOTEXIST", no_such_order=True)


async def test_a_number_with_another_price_is_refused(
    channel: Channel, order: Callable[..., ChannelOrder]
) -> None:
    trade = order("800201")
    await channel.open(trade)

    dearer = trade.replace(amount=Money(999, "HKD"))

    assert await channel.open(dearer) == Refused(Refusal.NUMBER_REUSED, "INVALID_REQUEST")


# ---- offline -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pay_type", "wallet"), [("800208", "wechat"), ("800228", "wechat_hk")])
async def test_a_barcode_pays_at_once(
    channel: Channel, sandbox: RunningSandbox, order: Callable[..., ChannelOrder], pay_type: str, wallet: str
) -> None:
    trade = order(pay_type, auth_code=await sandbox.code(wallet))

    paid = await channel.open(trade)

    assert isinstance(paid, Paid)
    assert paid.amount == trade.amount
    assert await channel.query(trade) == paid
    assert await channel.open(trade) == paid
    assert await channel.open(trade.replace(auth_code="")) == paid


@pytest.mark.parametrize(
    ("behaviour", "refused"),
    [
        ("insufficient", Refused(Refusal.PAYER_BALANCE, "NOTENOUGH")),
        ("expired", Refused(Refusal.PAYER_CODE_EXPIRED, "AUTHCODEEXPIRE")),
        ("used", Refused(Refusal.PAYER_CODE, "AUTH_CODE_ERROR")),
        ("refuses", Refused(Refusal.SWIPE_FAILED, "TRADE_ERROR")),
    ],
)
async def test_a_refused_barcode_has_our_refusal(
    channel: Channel,
    sandbox: RunningSandbox,
    order: Callable[..., ChannelOrder],
    behaviour: str,
    refused: Refused,
) -> None:
    _, outcome = await swiped(channel, sandbox, order, behaviour)

    assert outcome == refused


async def test_another_wallets_barcode_causes_no_request(
    channel: Channel, sandbox: RunningSandbox, order: Callable[..., ChannelOrder]
) -> None:
    trade = order("800208", auth_code=await sandbox.code("alipay"))

    assert await channel.open(trade) == Refused(Refusal.OTHER_WALLETS_CODE, "")
    assert await channel.query(trade) == Unknown("ORDERNOTEXIST", no_such_order=True)


async def test_an_invented_barcode_is_refused(channel: Channel, order: Callable[..., ChannelOrder]) -> None:
    trade = order("800208", auth_code="130000000000000000")

    assert await channel.open(trade) == Refused(Refusal.OTHER_WALLETS_CODE, "AUTH_CODE_INVALID")


async def test_a_payer_types_a_password_and_pays(
    channel: Channel, sandbox: RunningSandbox, order: Callable[..., ChannelOrder]
) -> None:
    trade, outcome = await swiped(channel, sandbox, order, "password_then_pays")

    assert outcome == AwaitingPayer()
    assert await channel.query(trade) == AwaitingPayer()
    await sandbox.advance(5)
    assert isinstance(await channel.query(trade), Paid)


async def test_a_payer_who_never_types_leaves_an_order_to_be_reversed(
    channel: Channel, sandbox: RunningSandbox, order: Callable[..., ChannelOrder]
) -> None:
    trade, _ = await swiped(channel, sandbox, order, "password")
    await sandbox.advance(40)

    assert await channel.query(trade) == Unknown("PAYERROR", needs_reversal=True)
    assert await channel.reverse(trade) == Reversed(ReversalAction.DONE)
    assert await channel.query(trade) == Closed()
    assert await channel.reverse(trade) == Reversed(ReversalAction.DONE)
    assert await channel.open(trade) == Refused(Refusal.ORDER_CLOSED, "ORDERREVERSED")


async def test_an_undecided_response_is_followed_by_a_query(
    channel: Channel, sandbox: RunningSandbox, order: Callable[..., ChannelOrder]
) -> None:
    paid, outcome = await swiped(channel, sandbox, order, "unknown_then_paid")
    assert outcome == Unknown("SYSTEMERROR")
    assert isinstance(await channel.query(paid), Paid)

    unpaid, outcome = await swiped(channel, sandbox, order, "unknown_then_nothing")
    assert outcome == Unknown("SYSTEMERROR")
    assert await channel.query(unpaid) == Unknown("ORDERNOTEXIST", no_such_order=True)


async def test_a_paid_barcode_is_reversed_with_its_money(
    channel: Channel, sandbox: RunningSandbox, order: Callable[..., ChannelOrder]
) -> None:
    trade, paid = await swiped(channel, sandbox, order, "pays")
    assert isinstance(paid, Paid)
    known = trade.replace(wallet_ref=paid.wallet_ref)

    undone = Reversed(ReversalAction.REFUNDED, paid.wallet_ref)
    assert await channel.reverse(known) == undone
    assert await channel.reverse(known) == undone

    assert isinstance(await channel.query(known), Closed)
    book = await sandbox.control("book?wallet=wechat")
    row = next(row for row in book["trades"] if row["order"] == trade.syssn)
    assert (row["state"], row["refunded"]) == ("REVOKED", trade.amount.amount_minor)


async def test_close_is_not_for_barcodes_nor_reverse_for_codes_to_scan(
    channel: Channel, sandbox: RunningSandbox, order: Callable[..., ChannelOrder]
) -> None:
    trade, _ = await swiped(channel, sandbox, order, "password")
    assert await channel.close(trade) == Refused(Refusal.CLOSE_REFUSED, "TRADE_STATE_ERROR")

    online = order("800201")
    await channel.open(online)
    assert await channel.reverse(online) == Refused(Refusal.REVERSAL_REFUSED, "TRADE_ERROR")


async def test_a_reversal_is_refused_after_a_week(
    channel: Channel, sandbox: RunningSandbox, order: Callable[..., ChannelOrder]
) -> None:
    trade, _ = await swiped(channel, sandbox, order, "pays")
    await sandbox.advance(8 * 24 * 3600)

    assert await channel.reverse(trade) == Refused(Refusal.WINDOW_OVER, "REVERSE_EXPIRE")


# ---- refunds -----------------------------------------------------------------------------------------------


async def test_parts_are_refunded_once_each_until_nothing_is_left(
    channel: Channel,
    sandbox: RunningSandbox,
    account: WeChatAccount,
    order: Callable[..., ChannelOrder],
    listener: Listener,
) -> None:
    listener.body = channel.acknowledgement.received
    trade = await paid_code(channel, sandbox, order)
    await listener.next()
    part, rest = refund_of(trade, 88), refund_of(trade, 800)

    accepted = await channel.refund(part)
    assert isinstance(accepted, RefundPending)
    assert await channel.refund(part) == accepted
    assert await channel.query_refund(part) == accepted

    await sandbox.advance(3)
    done = await channel.query_refund(part)
    assert isinstance(done, Refunded)
    assert (done.amount, done.wallet_ref) == (Money(88, "HKD"), accepted.wallet_ref)
    assert done.refunded_at is not None
    notice = await channel.read_notice(account, {}, await listener.next())
    assert notice == RefundNotice(part.syssn, trade.syssn)

    assert await channel.refund(refund_of(trade, 801)) == Refused(Refusal.BAD_REQUEST, "PARAM_ERROR")
    assert isinstance(await channel.refund(rest), RefundPending)
    assert await channel.refund(refund_of(trade, 1)) == Refused(Refusal.ALREADY_REFUNDED, "ERROR")
    assert isinstance(await channel.refund(rest), RefundPending | Refunded)
    paid = await channel.query(trade)
    assert isinstance(paid, Paid)
    assert paid.amount == trade.amount


async def test_the_same_refund_with_another_amount_is_refused(
    channel: Channel, sandbox: RunningSandbox, order: Callable[..., ChannelOrder]
) -> None:
    trade = await paid_code(channel, sandbox, order)
    ask = refund_of(trade, 88)
    await channel.refund(ask)

    changed = replace(ask, amount=Money(89, "HKD"))

    assert await channel.refund(changed) == Refused(Refusal.BAD_REQUEST, "PARAM_ERROR")


async def test_a_repeat_that_finds_nothing_left_is_decided_by_the_query(
    transport: Transport,
    clock: DemoClock,
    account: WeChatAccount,
    order: Callable[..., ChannelOrder],
    listener: Listener,
) -> None:
    channel = WeChatV2(transport, clock, base_url=listener.url)
    ask = refund_of(order("800201"))
    key, sign_type = account.key.reveal(), account.sign_type
    granted = {
        "return_code": "SUCCESS",
        "appid": account.appid,
        "mch_id": account.mch_id,
        "sub_mch_id": account.sub_mch_id,
    }
    nothing_left = {**granted, "result_code": "FAIL", "err_code": "ERROR", "err_code_des": "订单已全额退款"}
    done = {
        **granted,
        "result_code": "SUCCESS",
        "out_trade_no": ask.order.syssn,
        "total_fee": "888",
        "out_refund_no_0": ask.syssn,
        "refund_id_0": "50",
        "refund_fee_0": "888",
        "refund_status_0": "SUCCESS",
    }
    listener.body_of["/secapi/pay/refund"] = wechat.written(wechat.signed(nothing_left, key, sign_type))
    listener.body_of["/pay/refundquery"] = wechat.written(wechat.signed(done, key, sign_type))

    assert await channel.refund(ask) == Refunded(ask.amount, "50", None)

    del listener.body_of["/pay/refundquery"]  # now the query has no answer, so nothing is known

    assert isinstance(await channel.refund(ask), Unknown)


async def test_an_unpaid_order_is_not_refunded(channel: Channel, order: Callable[..., ChannelOrder]) -> None:
    trade = order("800201")
    await channel.open(trade)

    assert await channel.refund(refund_of(trade)) == Unknown("ERROR")  # the text decides nothing


# ---- authentication ----------------------------------------------------------------------------------------


async def call_everything(channel: Channel, trade: ChannelOrder) -> list[object]:
    """Each request once: open, query, close, reverse, refund, query_refund."""
    ask = refund_of(trade)
    return [
        await channel.open(trade),
        await channel.query(trade),
        await channel.close(trade),
        await channel.reverse(trade),
        await channel.refund(ask),
        await channel.query_refund(ask),
    ]


async def test_another_key_is_refused_by_what_moves_money_and_decides_nothing_else(
    channel: Channel, account: WeChatAccount, order: Callable[..., ChannelOrder]
) -> None:
    wrong_key = replace(account, key=Secret("0" * 32))

    opened, queried, closed, reversed_, refunded, refund_queried = await call_everything(
        channel, order("800201").replace(account=wrong_key)
    )

    for outcome in (opened, closed, reversed_, refunded):
        assert isinstance(outcome, Refused)
        assert outcome.reason is Refusal.OUR_IDENTITY
    assert isinstance(queried, Unknown)
    assert isinstance(refund_queried, Unknown)


async def test_the_certificate_of_another_provider_is_refused(
    channel: Channel, sandbox: RunningSandbox, account: WeChatAccount, order: Callable[..., ChannelOrder]
) -> None:
    other = sandbox.account("wechat", "chain_east", "both")
    assert other["mch_id"] != account.mch_id
    other_provider = replace(
        account,
        certificate=other["cert_pem"],
        certificate_key=Secret(other["key_pem"]),
    )
    trade = order("800208").replace(account=other_provider)

    refused = Refused(Refusal.OUR_CERTIFICATE, "certificate not match")
    assert await channel.reverse(trade) == refused
    assert await channel.refund(refund_of(trade)) == refused


async def test_a_certificate_that_wechat_never_issued_moves_nothing(
    channel: Channel, account: WeChatAccount, order: Callable[..., ChannelOrder]
) -> None:
    key, certificate = wechat.key_and_certificate(account.mch_id)
    unknown = replace(account, certificate=certificate, certificate_key=Secret(key))
    trade = order("800208").replace(account=unknown)

    assert isinstance(await channel.refund(refund_of(trade)), NotSent | Unknown)
    assert isinstance(await channel.query(trade), Unknown)


async def test_a_certificate_that_cannot_be_read_sends_nothing(
    channel: Channel, account: WeChatAccount, order: Callable[..., ChannelOrder]
) -> None:
    unreadable = replace(account, certificate="nonsense")
    trade = order("800208").replace(account=unreadable)

    assert isinstance(await channel.reverse(trade), NotSent)
    assert isinstance(await channel.refund(refund_of(trade)), NotSent)


async def test_a_wallet_that_we_do_not_trust_is_sent_nothing(
    transport: Transport, clock: DemoClock, shop: Shop, order: Callable[..., ChannelOrder]
) -> None:
    channel = WeChatV2(transport, clock, base_url=shop["base_url"])

    for outcome in await call_everything(channel, order("800201")):
        assert isinstance(outcome, NotSent)


async def test_to_a_closed_port_nothing_is_sent(
    transport: Transport, clock: DemoClock, order: Callable[..., ChannelOrder]
) -> None:
    channel = WeChatV2(transport, clock, base_url="http://127.0.0.1:1")

    for outcome in await call_everything(channel, order("800201")):
        assert isinstance(outcome, NotSent)


async def test_every_request_is_signed_with_an_algorithm_that_its_call_accepts(
    transport: Transport, clock: DemoClock, shop: Shop, order: Callable[..., ChannelOrder], listener: Listener
) -> None:
    channel = WeChatV2(transport, clock, base_url=listener.url)
    swipe = order("800208", auth_code="130000000000000000")
    await call_everything(channel, order("800201"))
    await channel.open(swipe)

    everywhere, sometimes = "MD5", shop["sign_type"]
    asked = [from_xml(await listener.next()) for _ in range(7)]
    expected = [sometimes, sometimes, everywhere, everywhere, sometimes, sometimes, sometimes]
    assert [fields.get("sign_type", "MD5") for fields in asked] == expected
    for fields, sign_type in zip(asked, expected, strict=True):
        assert wechat.signed(fields, shop["key"], sign_type) == fields


# ---- forged responses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b""),
        (502, b"<html>bad gateway</html>"),
        (200, b""),
        (200, b"<html>hello</html>"),
        (200, b'{"return_code": "SUCCESS"}'),
        (200, b"<xml><return_code>SUCCESS</return_code><result_code>SUCCESS</result_code></xml>"),
        (200, b"<xml><return_code>FAIL</return_code><return_msg>system error</return_msg></xml>"),
        (302, b""),
    ],
)
async def test_an_unproven_response_decides_nothing(
    transport: Transport,
    clock: DemoClock,
    order: Callable[..., ChannelOrder],
    listener: Listener,
    status: int,
    body: bytes,
) -> None:
    channel = WeChatV2(transport, clock, base_url=listener.url)
    listener.status, listener.body = status, body

    for outcome in await call_everything(channel, order("800201")):
        assert isinstance(outcome, Unknown)
        assert not outcome.no_such_order


ELEMENT = re.compile(rb"<(\w+)>(?:<!\[CDATA\[)?([^<\]]+)")


def with_one_byte_flipped(answer: bytes) -> Iterator[tuple[str, bytes]]:
    """The response once for each of its fields, with the lowest bit of a byte in the field's middle changed."""
    for element in ELEMENT.finditer(answer):
        if element.start(2) < element.end(2) and element[1] != b"xml":
            place = (element.start(2) + element.end(2)) // 2
            while answer[place] & 0x80:  # stay within ASCII, so that the text stays text
                place = place + 1 if answer[place] & 0x80 else place
            yield element[1].decode(), answer[:place] + bytes([answer[place] ^ 1]) + answer[place + 1 :]


Call = Callable[[Channel], Awaitable[object]]


@pytest.fixture
async def calls(
    channel: Channel, sandbox: RunningSandbox, order: Callable[..., ChannelOrder], shop: Shop
) -> dict[str, tuple[str, Call]]:
    """Each call of the interface with its path, on orders for which the wallet succeeds."""
    openid = await openid_of(sandbox, "wechat", shop["sub_appid"])
    paid = await paid_code(channel, sandbox, order)
    ask = refund_of(paid, 88)
    swiped_order, _ = await swiped(channel, sandbox, order, "password")
    scanned, in_app = order("800201"), order("800207", openid=openid)
    swipe = order("800208", auth_code=await sandbox.code("wechat"))
    to_close = order("800201")
    await channel.open(to_close)
    await channel.refund(ask)
    return {
        "micropay": ("/pay/micropay", lambda asked: asked.open(swipe)),
        "unifiedorder": ("/pay/unifiedorder", lambda asked: asked.open(scanned)),
        "unifiedorder in app": ("/pay/unifiedorder", lambda asked: asked.open(in_app)),
        "orderquery": ("/pay/orderquery", lambda asked: asked.query(paid)),
        "closeorder": ("/pay/closeorder", lambda asked: asked.close(to_close)),
        "reverse": ("/secapi/pay/reverse", lambda asked: asked.reverse(swiped_order)),
        "refund": ("/secapi/pay/refund", lambda asked: asked.refund(ask)),
        "refundquery": ("/pay/refundquery", lambda asked: asked.query_refund(ask)),
    }


CALLS = [
    "micropay",
    "unifiedorder",
    "unifiedorder in app",
    "orderquery",
    "closeorder",
    "reverse",
    "refund",
    "refundquery",
]


@pytest.mark.parametrize("call", CALLS)
async def test_no_byte_of_a_response_can_change(
    transport: Transport,
    clock: DemoClock,
    sandbox: RunningSandbox,
    calls: dict[str, tuple[str, Call]],
    call: str,
) -> None:
    path, request = calls[call]
    # Not the orders' listener: the refund's notice arrives some seconds later, and would be taken for the request.
    async with listening() as between:
        through = WeChatV2(transport, clock, base_url=between.url)
        await request(through)
        asked = await between.next()
        async with aiohttp.ClientSession() as session, session.post(sandbox.http + path, data=asked) as reply:
            between.body = await reply.read()
        assert not isinstance(await request(through), Unknown | Refused)  # unchanged, it decides
        flipped = list(with_one_byte_flipped(between.body))
        assert {"sign", "result_code", "nonce_str"} <= {name for name, _ in flipped}
        for name, between.body in flipped:
            outcome = await request(through)
            assert isinstance(outcome, Unknown), (name, outcome)
            assert not outcome.no_such_order


async def test_no_byte_of_a_notice_can_change(
    channel: Channel,
    sandbox: RunningSandbox,
    account: WeChatAccount,
    order: Callable[..., ChannelOrder],
    listener: Listener,
) -> None:
    listener.body = channel.acknowledgement.received
    await paid_code(channel, sandbox, order)
    notice = await listener.next()

    for _, body in with_one_byte_flipped(notice):
        with pytest.raises(BadSignature):
            await channel.read_notice(account, {}, body)
