"""Events that `tael trigger` makes happen for real: by a merchant's calls, a payer's hand and, where need be, time.

Each gives the answer that the merchant got to its last call; the numbers in it are what a developer looks for.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from tael.cli.payer import Members, Payer
from tael.cli.walkthrough import open_and_pay

AMOUNT: Final = "1000"
PART: Final = "300"
MIN_VALID_S: Final = 300
#: Past the expiry, and past the wallet's last word on it.
UNTIL_EXPIRED_S: Final = 360
PAID, PENDING, FAILED, CLOSED, EXPIRED, ACCEPTED = "0000", "1145", "1147", "1142", "1181", "2999"


class NotHappened(Exception):
    """The gateway or a wallet answered otherwise; the message says what."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that can be made to happen; `say` is for the list."""

    say: str
    make: Callable[[Payer], Awaitable[Members]]
    moves_clock: bool = False


async def paid(payer: Payer) -> Members:
    answer = _as(PAID, await open_and_pay(payer, "800201", AMOUNT))
    return await _ends(payer, answer, PAID)


async def barcode_paid(payer: Payer) -> Members:
    return _as(PAID, await open_and_pay(payer, "800208", AMOUNT))


async def created(payer: Payer) -> Members:
    return _as(PAID, await _open(payer, "800201"))


async def pending(payer: Payer) -> Members:
    return _as(PENDING, await _barcode(payer, "password"))


async def failed(payer: Payer) -> Members:
    return _as(FAILED, await _barcode(payer, "refuses"))


async def closed(payer: Payer) -> Members:
    answer = await created(payer)
    _as(PAID, await payer.trade("close", syssn=answer["syssn"]))
    return await _ends(payer, answer, CLOSED)


async def expired(payer: Payer) -> Members:
    answer = _as(PAID, await _open(payer, "800201", valid_time=str(MIN_VALID_S)))
    await payer.control("clock", advance_s=UNTIL_EXPIRED_S)
    return await _ends(payer, answer, EXPIRED)


async def late_money(payer: Payer) -> Members:
    """By the wallet's own link, which no payer is given: the gateway's page leads nowhere once a close is asked."""
    assert payer.wallet_link is not None
    answer = _as(PAID, await _open(payer, "800152"))
    _as(PAID, await payer.trade("close", syssn=answer["syssn"]))
    await payer.control("confirm", url=await payer.wallet_link(answer["syssn"]), action="pay")
    return await _ends(payer, answer, PAID)


async def refund_done(payer: Payer) -> Members:
    refund = await _refund(payer, "800151")
    return await _ends(payer, refund, PAID)


async def refund_pending(payer: Payer) -> Members:
    """WeChat Pay takes a refund and pays it back a little later."""
    return _as(ACCEPTED, await _refund(payer, "800208"))


async def reversal_done(payer: Payer) -> Members:
    answer = await barcode_paid(payer)
    reversal = await payer.trade("reversal", syssn=answer["syssn"], txamt=AMOUNT)
    return _as(PAID, reversal)


async def reversal_pending(payer: Payer) -> Members:
    """WeChat Pay takes no reversal of an undecided payment in its first 15 s."""
    answer = await pending(payer)
    return _as(PENDING, await payer.trade("reversal", syssn=answer["syssn"], txamt=AMOUNT))


EVENTS: Final = {
    "payment.created": Event("an order with a QR code that nobody has paid yet", created),
    "payment.paid": Event("an order with a QR code, paid", paid),
    "payment.barcode_paid": Event("a barcode payment, paid at once", barcode_paid),
    "payment.pending": Event("a barcode payment whose payer is asked for a password", pending),
    "payment.failed": Event("a barcode payment that the wallet refuses", failed),
    "payment.closed": Event("an unpaid order, closed", closed),
    "payment.expired": Event("an unpaid order past its time", expired, moves_clock=True),
    "refund.done": Event("a part of a payment, given back", refund_done),
    "refund.pending": Event("a refund that the wallet has taken and not done", refund_pending),
    "reversal.done": Event("a paid barcode payment, undone", reversal_done),
    "reversal.pending": Event("the reversal of an undecided payment, which has to wait", reversal_pending),
    "late_money": Event("money for an order that was closed here", late_money),
}


async def _open(payer: Payer, pay_type: str, **more: str) -> Members:
    return await payer.trade(
        "payment",
        pay_type=pay_type,
        out_trade_no=payer.reference(),
        txamt=AMOUNT,
        product_name="Tea",
        **more,
    )


async def _barcode(payer: Payer, behaviour: str) -> Members:
    return await _open(payer, "800208", auth_code=await payer.code("wechat", behaviour))


async def _refund(payer: Payer, pay_type: str) -> Members:
    answer = _as(PAID, await open_and_pay(payer, pay_type, AMOUNT))
    await _ends(payer, answer, PAID)
    return await payer.trade("refund", syssn=answer["syssn"], out_trade_no=payer.reference(), txamt=PART)


async def _ends(payer: Payer, answer: Members, respcd: str) -> Members:
    """`answer`, once the query shows the row as it shall be."""
    _as(respcd, await payer.decided(answer["syssn"], respcd))
    return answer


def _as(respcd: str, answer: Members) -> Members:
    """`answer`, if it says this. Raises NotHappened."""
    if answer.get("respcd") != respcd:
        raise NotHappened(
            f"the gateway said {answer.get('respcd', 'nothing')} "
            f"{answer.get('respmsg') or answer.get('errmsg') or ''}".strip()
        )
    return answer
