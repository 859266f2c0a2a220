"""/trade/v1: payment, close, refund, reversal, query. Verified parameters in, members of the answer out.

`api/pipeline.py` has checked size, form, appcode, signature and merchant before any of these is called.
"""

from typing import Final

from tael.api.exchange import Endpoint
from tael.api.pipeline import CALL, QUERY
from tael.payments.closes import close_payment
from tael.payments.gateway import Gateway
from tael.payments.opening import open_payment
from tael.payments.queries import list_transactions
from tael.payments.refunds import refund_payment
from tael.payments.reversals import reverse_payment
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


async def payment(request: AuthenticatedRequest, gateway: Gateway) -> Members:
    return answers.payment_answer(await open_payment(read_payment(request), gateway), gateway.pages)


async def close(request: AuthenticatedRequest, gateway: Gateway) -> Members:
    return answers.close_answer(await close_payment(read_close(request), gateway))


async def refund(request: AuthenticatedRequest, gateway: Gateway) -> Members:
    return answers.refund_answer(await refund_payment(read_refund(request), gateway))


async def reversal(request: AuthenticatedRequest, gateway: Gateway) -> Members:
    return answers.reversal_answer(await reverse_payment(read_reversal(request), gateway))


async def query(request: AuthenticatedRequest, gateway: Gateway) -> Members:
    filters = read_query(request)
    transactions = await list_transactions(filters, gateway)
    return answers.query_answer(transactions, request.context.app, filters.page, filters.page_size)


#: Caches repeat GETs, so only a query can be one.
CALLS: Final = (
    Endpoint("/trade/v1/payment", ("POST",), "payment", "payment", payment, CALL),
    Endpoint("/trade/v1/close", ("POST",), "close", "close", close, CALL),
    Endpoint("/trade/v1/refund", ("POST",), "refund", "refund", refund, CALL),
    Endpoint("/trade/v1/reversal", ("POST",), "reversal", "reversal", reversal, CALL),
    Endpoint("/trade/v1/query", ("POST", "GET"), "query", "query", query, QUERY),
)
