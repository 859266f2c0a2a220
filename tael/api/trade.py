"""/trade/v1: payment, close, refund, reversal, query. Verified parameters in, members of the answer out.

`api/pipeline.py` has checked size, form, appcode, signature and merchant before any of these is called.
"""

from collections.abc import Sequence
from functools import partial

from tael.api.exchange import Endpoint
from tael.api.pipeline import CALL, QUERY
from tael.payments.closes import close_payment
from tael.payments.context import PaymentContext
from tael.payments.opening import open_payment
from tael.payments.page_links import PageLinks
from tael.payments.queries import list_transactions
from tael.payments.refunds import refund_payment
from tael.payments.reversals import reverse_payment
from tael.payments.store.transactions import Transaction
from tael.qfpay import answers
from tael.qfpay.answers import Members
from tael.qfpay.requests import (
    AuthenticatedRequest,
    read_close,
    read_payment,
    read_query,
    read_refund,
    read_reversal,
)
from tael.qfpay.settlements import executed_trades, settlement_members
from tael.statements.store.settlements import Settlements


async def payment(request: AuthenticatedRequest, context: PaymentContext, links: PageLinks) -> Members:
    asked = read_payment(request)
    pages = await links.pages()  # before the payment: if addresses cannot be made now, nothing has happened
    return answers.payment_answer(await open_payment(asked, context), pages)


async def close(request: AuthenticatedRequest, context: PaymentContext) -> Members:
    return answers.close_answer(await close_payment(read_close(request), context))


async def refund(request: AuthenticatedRequest, context: PaymentContext) -> Members:
    return answers.refund_answer(await refund_payment(read_refund(request), context))


async def reversal(request: AuthenticatedRequest, context: PaymentContext) -> Members:
    return answers.reversal_answer(await reverse_payment(read_reversal(request), context))


async def query(request: AuthenticatedRequest, context: PaymentContext, settlements: Settlements) -> Members:
    filters, app = read_query(request), request.context.app
    transactions = await list_transactions(filters, context)
    more = await _settlement_members(request, transactions, settlements) if app.include_settlement else {}
    return answers.query_answer(transactions, app, filters.page, filters.page_size, more)


async def _settlement_members(
    request: AuthenticatedRequest, transactions: Sequence[Transaction], settlements: Settlements
) -> dict[str, Members]:
    """By syssn, with one statement for the page."""
    days = await settlements.days(request.merchant.mchid, executed_trades(transactions))
    return settlement_members(transactions, days, request.context.accounts)


def calls(
    context: PaymentContext, links: PageLinks, settlements: Settlements
) -> tuple[Endpoint[AuthenticatedRequest], ...]:
    """The calls. Caches repeat GETs, so only a query can be one."""
    pay = partial(payment, context=context, links=links)
    ask = partial(query, context=context, settlements=settlements)
    post, get = ("POST",), ("POST", "GET")
    return (
        Endpoint("/trade/v1/payment", post, "payment", "payment", pay, CALL),
        Endpoint("/trade/v1/close", post, "close", "close", partial(close, context=context), CALL),
        Endpoint("/trade/v1/refund", post, "refund", "refund", partial(refund, context=context), CALL),
        Endpoint(
            "/trade/v1/reversal", post, "reversal", "reversal", partial(reversal, context=context), CALL
        ),
        Endpoint("/trade/v1/query", get, "query", "query", ask, QUERY),
    )
