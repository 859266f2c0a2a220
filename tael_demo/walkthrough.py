"""The demo's walkthrough: payments of every type, paid, refunded, reversed, closed and queried.

Each line of the table comes from the merchant's query and the wallet's own book, not from the request.
"""

import asyncio
import json
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import Final

import aiohttp
from rich.console import Console
from rich.table import Table

from tael.base.pay_types import PAY_TYPES
from tael.merchants.domain.merchant import Style
from tael_demo.addresses import Addresses
from tael_demo.payer import Members, Payer
from tael_demo.receiver import Receiver
from tael_demo.seed import IN_EACH_CURRENCY, DemoApp

#: Of barcode payments: the wallet whose payer shows the code.
WALLET_OF: Final = {
    "800108": "alipay",
    "800208": "wechat",
    "800228": "wechat_hk",
    "801008": "wechat_hk",
    "800008": "alipay",
}
#: The setting with the appid to which the openid of the payment belongs.
APPID_OF: Final = {"800207": "sub_appid", "800213": "mini_appid"}
#: The site and the payer of a payment in a phone's browser.
EXTEND_INFO: Final = json.dumps(
    {
        "scene_info": {"h5_info": {"type": "Wap", "wap_url": "http://127.0.0.1", "wap_name": "Demo"}},
        "spbill_create_ip": "127.0.0.1",
    }
)
WEBHOOK_LIMIT_S: Final = 15.0
#: WeChat refuses to reverse a pending order younger than 15 s.
REVERSAL_WAIT_S: Final = 16


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table: the step, its state in query and book, and whether that is correct."""

    step: str
    pay_type: str
    query: str
    book: str
    is_correct: bool


Lines = list[Line]


async def first_payments(at: Addresses, apps: list[DemoApp], console: Console) -> None:
    """Make one payment of each type with the published app, and print the table."""
    async with Payer(at, apps[0]) as payer:
        console.print(table_of(await lines_of("every_type", every_type(payer))))


async def full_walkthrough(at: Addresses, apps: list[DemoApp], receiver: Receiver, console: Console) -> int:
    """Run every section and print the table. Returns 0 if all lines are correct, else 1."""
    lines: Lines = []
    async with Payer(at, apps[0]) as payer, Payer(at, apps[2]) as modern:
        for section in (every_type, openid_by_oauth, password_payment, refunds, reversals, closes, queries):
            lines += await lines_of(section.__name__, section(payer))
        lines += await in_each_currency(at, apps[IN_EACH_CURRENCY])
        lines += await lines_of("webhooks", webhooks(payer, modern, receiver))
    console.print(table_of(lines))
    wrong = [line.step for line in lines if not line.is_correct]
    console.print(f"{len(lines) - len(wrong)} of {len(lines)} correct")
    for step in wrong:
        console.print(f"[red]wrong: {step}[/red]")
    return 1 if wrong else 0


async def lines_of(name: str, section: Awaitable[Lines]) -> Lines:
    """The lines of a section. A section that fails is one line that is not correct."""
    try:
        return await section
    except (KeyError, aiohttp.ClientError) as error:
        return [Line(name, "", f"failed: {error!r}", "", is_correct=False)]


async def every_type(payer: Payer) -> Lines:
    """A payment of each pay type, paid. One that fails hides none of the others."""
    lines: Lines = []
    for pay_type in PAY_TYPES:
        lines += await lines_of(f"{pay_type} paid", _as_lines(paid(payer, pay_type)))
    return lines


async def _as_lines(line: Awaitable[Line]) -> Lines:
    return [await line]


async def open_and_pay(
    payer: Payer, pay_type: str, txamt: str = "1000", mchid: str | None = None, openid: str = ""
) -> Members:
    """Open a payment and pay it at once. Returns the response to the merchant's call."""
    reference = payer.reference()
    if pay_type in WALLET_OF:
        code = await payer.code(WALLET_OF[pay_type])
        return await payer.trade(
            "payment", mchid, pay_type=pay_type, out_trade_no=reference, txamt=txamt, auth_code=code
        )
    more = {"extend_info": EXTEND_INFO} if pay_type == "800212" else {}
    if pay_type in APPID_OF:
        more = {"sub_openid": openid or await payer.openid(APPID_OF[pay_type])}
    answer = await payer.trade(
        "payment", mchid, pay_type=pay_type, out_trade_no=reference, txamt=txamt, product_name="Tea", **more
    )
    url = json.dumps(answer["pay_params"]) if "pay_params" in answer else answer["pay_url"]
    await payer.control("scan", url=url)
    await payer.control("confirm", url=url, action="pay")
    return answer


async def paid(payer: Payer, pay_type: str) -> Line:
    answer = await open_and_pay(payer, pay_type)
    await payer.decided(answer.get("syssn", ""))
    return await line(payer, "paid", answer, respcd="0000", cancel="0", refunded=0)


async def line(
    payer: Payer, step: str, answer: Members, *, respcd: str, cancel: str, refunded: int | None
) -> Line:
    """A line about the payment of `answer`. `refunded` None: the wallet must hold no money for it."""
    syssn = answer.get("orig_syssn") or answer.get("syssn", "")
    row, trade = await payer.row(syssn), await payer.book(syssn)
    held = trade.get("amount", 0) - trade.get("refunded", 0) if _is_paid(trade) else 0
    should_hold = 0 if refunded is None else int(row.get("txamt", 0)) - refunded
    is_correct = row.get("respcd") == respcd and row.get("cancel") == cancel and held == should_hold
    return Line(
        step,
        row.get("pay_type", ""),
        f"{row.get('respcd')} cancel {row.get('cancel')} {row.get('txamt')} {row.get('txcurrcd')}",
        f"{trade.get('state', 'no trade')} holds {held}",
        is_correct,
    )


def _is_paid(trade: Members) -> bool:
    """Whether the wallet ever took money: an order closed unpaid has had nothing refunded."""
    state = trade.get("state", "")
    return state in ("TRADE_SUCCESS", "TRADE_FINISHED", "SUCCESS", "REFUND") or trade.get("refunded", 0) > 0


async def openid_by_oauth(payer: Payer) -> Lines:
    """A payment inside WeChat with the openid that the merchant got from WeChat's OAuth through the gateway."""
    openid = await payer.openid_by_oauth()
    answer = await open_and_pay(payer, "800207", openid=openid)
    await payer.decided(answer.get("syssn", ""))
    return [await line(payer, "paid, openid by OAuth", answer, respcd="0000", cancel="0", refunded=0)]


async def password_payment(payer: Payer) -> Lines:
    """The payer has to enter a password: pending, then paid."""
    code = await payer.code("wechat", "password")
    answer = await payer.trade(
        "payment", pay_type="800208", out_trade_no=payer.reference(), txamt="500", auth_code=code
    )
    pending = await line(
        payer, "password requested: pending", answer, respcd="1145", cancel="0", refunded=None
    )
    await payer.control("confirm", trade=answer["syssn"], action="pay")
    await payer.decided(answer["syssn"])
    return [
        pending,
        await line(payer, "password entered: paid", answer, respcd="0000", cancel="0", refunded=0),
    ]


async def refunds(payer: Payer) -> Lines:
    """A partial refund, one that exceeds the rest, and the rest; at both wallets."""
    lines: Lines = []
    for pay_type in ("800151", "800208"):
        answer = await open_and_pay(payer, pay_type)
        await payer.decided(answer["syssn"])
        await _refund(payer, answer, "300")
        lines.append(await line(payer, "partial refund", answer, respcd="0000", cancel="2", refunded=300))
        over = await payer.trade("refund", syssn=answer["syssn"], out_trade_no=payer.reference(), txamt="701")
        after = await line(payer, "over-refund refused", answer, respcd="0000", cancel="2", refunded=300)
        lines.append(_also(after, over["respcd"] == "1272", f"answer {over['respcd']}"))
        await payer.control("clock", advance_s=4)  # Alipay requires 3 s between refunds of one PID
        await _refund(payer, answer, "700")
        lines.append(await line(payer, "full refund", answer, respcd="0000", cancel="2", refunded=1000))
    return lines


async def _refund(payer: Payer, answer: Members, txamt: str) -> None:
    refund = await payer.trade("refund", syssn=answer["syssn"], out_trade_no=payer.reference(), txamt=txamt)
    await payer.decided(refund.get("syssn", ""))


async def in_each_currency(at: Addresses, demo_app: DemoApp) -> Lines:
    """The merchants are independent, so their payments are made at the same time."""

    async def lines_in(mchid: str) -> Lines:
        async with Payer(at, replace(demo_app, mchids=(mchid,))) as payer:
            return await lines_of("in_a_currency", in_a_currency(payer))

    found = await asyncio.gather(*(lines_in(mchid) for mchid in demo_app.mchids))
    return [each for lines in found for each in lines]


async def in_a_currency(payer: Payer) -> Lines:
    """A payment at each wallet in the currency of the payer's merchant, and a partial refund."""
    lines: Lines = []
    for pay_type in ("800151", "800201"):
        answer = await open_and_pay(payer, pay_type, "1200")
        await payer.decided(answer["syssn"])
        await _refund(payer, answer, "499")
        lines.append(await line(payer, "paid, 499 refunded", answer, respcd="0000", cancel="2", refunded=499))
    return lines


async def reversals(payer: Payer) -> Lines:
    """A paid payment is refunded, an unpaid one closed."""
    lines: Lines = []
    for pay_type in ("800108", "800208"):
        answer = await open_and_pay(payer, pay_type)
        await payer.trade("reversal", syssn=answer["syssn"], txamt="1000")
        await payer.decided(answer["syssn"], cancel="1")
        lines.append(await line(payer, "reversal of paid", answer, respcd="0000", cancel="1", refunded=1000))
    for pay_type in ("800108", "800208"):
        code = await payer.code(WALLET_OF[pay_type], "password")
        answer = await payer.trade(
            "payment", pay_type=pay_type, out_trade_no=payer.reference(), txamt="1000", auth_code=code
        )
        await payer.trade("reversal", syssn=answer["syssn"], txamt="1000")
        await payer.control("clock", advance_s=REVERSAL_WAIT_S)
        await payer.decided(answer["syssn"], "1142")
        lines.append(
            await line(payer, "reversal of unpaid", answer, respcd="1142", cancel="1", refunded=None)
        )
    return lines


async def closes(payer: Payer) -> Lines:
    """An unpaid order is closed, a paid one is not."""
    lines: Lines = []
    for pay_type in ("800151", "800201"):
        answer = await payer.trade("payment", pay_type=pay_type, out_trade_no=payer.reference(), txamt="1000")
        await payer.trade("close", syssn=answer["syssn"])
        await payer.decided(answer["syssn"], "1142")
        lines.append(await line(payer, "close of unpaid", answer, respcd="1142", cancel="2", refunded=None))
        answer = await open_and_pay(payer, pay_type)
        await payer.decided(answer["syssn"])
        refused = await payer.trade("close", syssn=answer["syssn"])
        after = await line(payer, "close of paid refused", answer, respcd="0000", cancel="0", refunded=0)
        lines.append(_also(after, refused["respcd"] == "1124", f"answer {refused['respcd']}"))
    return lines


async def queries(payer: Payer) -> Lines:
    """Five forms of query for the same two payments."""
    first, second = [await open_and_pay(payer, "800208") for _ in range(2)]
    both = {first["syssn"], second["syssn"]}
    forms: tuple[tuple[str, str, dict[str, str], set[str]], ...] = (
        ("query by syssn", "POST", {"syssn": first["syssn"]}, {first["syssn"]}),
        ("query by out_trade_no", "POST", {"out_trade_no": first["out_trade_no"]}, {first["syssn"]}),
        ("query of a batch", "POST", {"syssn": ",".join(sorted(both))}, both),
        ("query of the month", "POST", {"pay_type": "800208", "respcd": "0000", "page_size": "2"}, both),
        ("query by GET", "GET", {"syssn": second["syssn"], "page": "1"}, {second["syssn"]}),
    )
    lines: Lines = []
    for step, method, params, expected in forms:
        answer = await payer.trade("query", method=method, **params)
        found = {row["syssn"] for row in answer["data"]}
        trades = [await payer.book(syssn) for syssn in sorted(found)]
        lines.append(
            Line(
                step,
                "800208",
                f"{answer['respcd']}, {len(found)} rows",
                ", ".join(trade.get("state", "no trade") for trade in trades),
                found == expected,
            )
        )
    return lines


async def webhooks(payer: Payer, modern: Payer, receiver: Receiver) -> Lines:
    """One webhook in each style, to the app that has it."""
    lines: Lines = []
    for merchant, style in ((payer, Style.OLD), (modern, Style.NEW)):
        answer = await open_and_pay(merchant, "800201")
        has_arrived = await receiver.has_received(answer["syssn"], style, WEBHOOK_LIMIT_S)
        paid_line = await line(
            merchant, f"webhook, {style} style", answer, respcd="0000", cancel="0", refunded=0
        )
        lines.append(_also(paid_line, has_arrived, "signature verified" if has_arrived else "no webhook"))
    return lines


def _also(line: Line, is_correct: bool, note: str) -> Line:
    return Line(line.step, line.pay_type, f"{line.query}; {note}", line.book, line.is_correct and is_correct)


def table_of(lines: Lines) -> Table:
    table = Table(title="Payments in the merchant's query and in the wallet's own book")
    for column in ("step", "pay_type", "query", "wallet's book", ""):
        table.add_column(column)
    for each in lines:
        table.add_row(
            each.step,
            each.pay_type,
            each.query,
            each.book,
            "[green]✓[/green]" if each.is_correct else "[red]✗[/red]",
        )
    return table
