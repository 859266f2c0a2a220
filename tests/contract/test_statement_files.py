"""The wallets' statements over the wire: downloaded from the sandbox, and read line by line."""

from datetime import date, datetime, time, timedelta
from io import BytesIO

import pytest

from tael.base.clock import DemoClock
from tael.base.moments import UTC8
from tael.base.transport import Transport
from tael.channels.alipay_mapi.adapter import AlipayMapi
from tael.channels.alipay_mapi.statements import STATEMENTS as ALIPAY
from tael.channels.base import Channel, StatementSource
from tael.channels.outcomes import Paid, Refunded, RefundPending
from tael.channels.statements import (
    Downloaded,
    EmptyDay,
    LineType,
    NotReady,
    StatementFormat,
    StatementKind,
    StatementLine,
)
from tael.channels.wechat_v2.adapter import WeChatV2
from tael.channels.wechat_v2.statements import STATEMENTS as WECHAT
from tael.merchants.domain.account import Account
from tael.statements.files import read_file
from tests.contract.test_alipay_channel import account_of as alipay_account
from tests.contract.test_alipay_channel import new_number
from tests.contract.test_wechat_channel import account_of as wechat_account
from tests.support import alipay, wechat
from tests.support.alipay import TestClock
from tests.support.sandbox import RunningSandbox

TRANSACTIONS, SETTLEMENT = StatementKind
DAY_S = 86_400


@pytest.fixture
def clock(sandbox: RunningSandbox) -> DemoClock:
    return DemoClock(sandbox.clock_file)


async def lines_of(
    source: StatementSource | None, form: StatementFormat, account: Account, day: date, kind: StatementKind
) -> dict[str, StatementLine]:
    """The lines by our number."""
    assert source is not None
    target = BytesIO()
    outcome = await source.download(account, day, kind, target)
    assert outcome in (Downloaded(), EmptyDay())
    target.seek(0)
    return {line.syssn: line for line in form.read(read_file(target).lines()).lines}


async def new_day(sandbox: RunningSandbox, clock: DemoClock) -> date:
    """A day that is not closed."""
    await sandbox.advance(DAY_S)
    return clock.now().astimezone(UTC8).date()


@pytest.mark.parametrize("shop", ["demo", "wechat_only"])
async def test_wechats_bill_has_what_was_paid_and_refunded(
    sandbox: RunningSandbox, transport: Transport, clock: DemoClock, shop: str
) -> None:
    row = sandbox.account("wechat", shop, "both")
    channel = WeChatV2(transport, clock, base_url=row["base_url"], ca_pem=row["ca_pem"])
    account = wechat_account(row)
    day = await new_day(sandbox, clock)
    code = await sandbox.code("wechat")
    payment = wechat.order(
        "800208", account, syssn=new_number(), at=clock.now(), notice_url="", auth_code=code
    )
    refund = wechat.refund_of(payment, syssn=new_number(), amount_minor=300)
    assert isinstance(await channel.open(payment), Paid)
    assert isinstance(await channel.refund(refund), Refunded | RefundPending)
    assert await channel.statements.download(account, day, TRANSACTIONS, BytesIO()) == NotReady()
    await sandbox.control("statements", {"wallet": "wechat", "day": day.isoformat()})

    lines = await lines_of(channel.statements, WECHAT, account, day, TRANSACTIONS)

    paid, back = lines[payment.syssn], lines[refund.syssn]
    assert (paid.type, paid.amount, paid.identity) == (LineType.PAYMENT, payment.amount, account.identity)
    assert (back.type, back.amount, back.payment_syssn) == (LineType.REFUND, refund.amount, payment.syssn)
    await check_the_settlement(sandbox, channel, account, day)
    empty = day - timedelta(days=60)
    at_22 = datetime.combine(empty + timedelta(days=1), time(22), UTC8)
    for at, outcome in ((at_22 - timedelta(microseconds=1), NotReady()), (at_22, EmptyDay())):
        channel = WeChatV2(transport, TestClock(at), base_url=row["base_url"], ca_pem=row["ca_pem"])
        assert await channel.statements.download(account, empty, TRANSACTIONS, BytesIO()) == outcome


async def check_the_settlement(
    sandbox: RunningSandbox, channel: WeChatV2, account: Account, day: date
) -> None:
    """What was paid on `day` is remitted on the next one: 8.88 less 3.00; of the fee 0.05 less 0.02."""
    settled_on = day + timedelta(days=1)
    assert await channel.statements.download(account, settled_on, SETTLEMENT, BytesIO()) == NotReady()
    await sandbox.advance(2 * DAY_S)
    target = BytesIO()
    assert await channel.statements.download(account, settled_on, SETTLEMENT, target) == Downloaded()
    target.seek(0)
    content = WECHAT.read(read_file(target).lines())
    (batch,) = content.remittances
    assert (content.day, content.identity) == (settled_on, account.identity)
    assert (batch.settled_on, batch.trades_from, batch.trades_to) == (settled_on, day, day)
    assert (batch.currency, batch.paid_minor, batch.refunded_minor, batch.fee_minor) == ("HKD", 888, 300, 3)


@pytest.mark.parametrize("shop", ["demo", "chain_east"])
async def test_alipays_files_have_what_was_paid_refunded_and_settled(
    sandbox: RunningSandbox, transport: Transport, clock: DemoClock, shop: str
) -> None:
    gateway = f"{sandbox.http}/gateway.do"
    channel: Channel = AlipayMapi(transport, clock, gateway_url=gateway, instore_url=gateway)
    account = alipay_account(sandbox.account("alipay", shop, "offline"))
    day = await new_day(sandbox, clock)
    payment = alipay.alipay_order(
        "800108",
        account,
        syssn=new_number(),
        created_at=clock.now(),
        notice_url="",
        auth_code=await sandbox.code("alipay"),
    )
    refund = alipay.alipay_refund(payment, 300, new_number(), clock.now())
    assert isinstance(await channel.open(payment), Paid)
    assert isinstance(await channel.refund(refund), Refunded)
    assert channel.statements is not None
    assert await channel.statements.download(account, day, TRANSACTIONS, BytesIO()) == NotReady()
    await sandbox.control("statements", {"wallet": "alipay", "day": day.isoformat()})

    lines = await lines_of(channel.statements, ALIPAY, account, day, TRANSACTIONS)

    paid, back = lines[payment.syssn], lines[refund.syssn]
    assert (paid.type, paid.amount, paid.settled_at) == (LineType.PAYMENT, payment.amount, None)
    assert (back.type, back.amount) == (LineType.REFUND, refund.amount)
    await sandbox.advance(5 * DAY_S)
    settled_on = []
    for later in range(1, 4):  # on Mondays those of Friday to Sunday
        settled_day = day + timedelta(days=later)
        settled = await lines_of(channel.statements, ALIPAY, account, settled_day, SETTLEMENT)
        if payment.syssn in settled:
            at = settled[payment.syssn].settled_at
            assert at is not None
            settled_on.append((settled_day, at.astimezone(UTC8).date()))
    ((asked, said),) = settled_on
    assert asked == said
