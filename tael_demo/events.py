"""The events of `tael trigger`, made with the merchant's API calls, the payer's control calls and the clock.

Each function returns the response to the merchant's last call, with the numbers by which the event can be found.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from tael_demo.payer import Members, Payer
from tael_demo.walkthrough import open_and_pay

AMOUNT: Final = "1000"
PART: Final = "300"
MIN_VALID_S: Final = 300
#: Past the expiry, and past the wallet's deadline.
UNTIL_EXPIRED_S: Final = 360
PAID, PENDING, FAILED, CLOSED, EXPIRED, ACCEPTED = "0000", "1145", "1147", "1142", "1181", "2999"


class EventFailed(Exception):
    """The gateway or a wallet gave another response than expected. The message contains it."""


@dataclass(frozen=True, slots=True)
class Event:
    """`trigger` makes the event happen; `description` is for `--list`."""

    description: str
    trigger: Callable[[Payer], Awaitable[Members]]
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
    """Uses the wallet's own link, which payers never get: the gateway's page does not open it after a close."""
    assert payer.wallet_link is not None
    answer = _as(PAID, await _open(payer, "800152"))
    _as(PAID, await payer.trade("close", syssn=answer["syssn"]))
    await payer.control("confirm", url=await payer.wallet_link(answer["syssn"]), action="pay")
    return await _ends(payer, answer, PAID)


async def refund_done(payer: Payer) -> Members:
    refund = await _refund(payer, "800151")
    return await _ends(payer, refund, PAID)


async def refund_pending(payer: Payer) -> Members:
    """WeChat Pay accepts a refund and completes it later."""
    return _as(ACCEPTED, await _refund(payer, "800208"))


async def reversal_done(payer: Payer) -> Members:
    answer = await barcode_paid(payer)
    reversal = await payer.trade("reversal", syssn=answer["syssn"], txamt=AMOUNT)
    return _as(PAID, reversal)


async def reversal_pending(payer: Payer) -> Members:
    """WeChat Pay refuses to reverse a pending payment in its first 15 s."""
    answer = await pending(payer)
    return _as(PENDING, await payer.trade("reversal", syssn=answer["syssn"], txamt=AMOUNT))


EVENTS: Final = {
    "payment.created": Event("QR code order created, not paid yet", created),
    "payment.paid": Event("QR code order paid", paid),
    "payment.barcode_paid": Event("barcode payment paid at once", barcode_paid),
    "payment.pending": Event("barcode payment waiting for the payer's password", pending),
    "payment.failed": Event("barcode payment refused by the wallet", failed),
    "payment.closed": Event("unpaid order closed", closed),
    "payment.expired": Event("unpaid order expired", expired, moves_clock=True),
    "refund.done": Event("partial refund completed", refund_done),
    "refund.pending": Event("refund accepted by the wallet, not completed yet", refund_pending),
    "reversal.done": Event("paid barcode payment reversed", reversal_done),
    "reversal.pending": Event("reversal of a pending payment, waiting for the wallet", reversal_pending),
    "late_money": Event("payment received for a closed order", late_money),
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
    """`answer`, once the query shows the row with `respcd`."""
    _as(respcd, await payer.decided(answer["syssn"], respcd))
    return answer


def _as(respcd: str, answer: Members) -> Members:
    """`answer`, if it has this `respcd`. Raises EventFailed."""
    if answer.get("respcd") != respcd:
        raise EventFailed(
            f"the gateway returned {answer.get('respcd', 'no respcd')} "
            f"{answer.get('respmsg') or answer.get('errmsg') or ''}".strip()
        )
    return answer
