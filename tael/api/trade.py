"""/trade/v1: payment, close, refund, reversal, query. Verified parameters in, members of the answer out.

`api/pipeline.py` has checked size, form, appcode, signature and merchant before any of these is called.
"""

from collections.abc import Mapping
from typing import Final

from tael.api.authenticate import AuthenticatedRequest
from tael.api.exchange import Endpoint
from tael.api.pipeline import CALL, QUERY
from tael.base.money import Money
from tael.base.pay_types import Presentment
from tael.payments.closes import CloseRequest, close_payment
from tael.payments.gateway import Gateway
from tael.payments.opening import PaymentRequest, open_payment
from tael.payments.queries import TransactionQuery, list_transactions
from tael.payments.refunds import RefundRequest, refund_payment
from tael.payments.reversals import ReversalRequest, reverse_payment
from tael.payments.store.transactions import StateFilter
from tael.qfpay import answers, fields
from tael.qfpay.answers import Members
from tael.qfpay.errors import BadField
from tael.qfpay.shown import states_showing

# ---- parameters to requests: pure; raises BadField and NoChannel -----------------------------------------------


def read_payment(request: AuthenticatedRequest) -> PaymentRequest:
    params = request.params
    code = fields.pay_type(params)
    reference = fields.reference(params)
    client_time = fields.moment_text(params)
    amount_minor = fields.amount_minor(params)
    currency = fields.text(params, "txcurrcd", max_len=3) or request.merchant.currency
    device = fields.device(params)
    subject = fields.product_name(params)
    forbid_credit = fields.forbid_credit(params)
    pay_type = fields.known_pay_type(code)
    is_barcode, is_in_app = (
        pay_type.presentment is Presentment.BARCODE,
        pay_type.presentment is Presentment.IN_APP,
    )
    return PaymentRequest(
        context=request.context,
        merchant=request.merchant,
        pay_type=pay_type,
        reference=reference,
        amount=Money(amount_minor, currency),
        auth_code=fields.auth_code(params) if is_barcode else "",
        openid=fields.openid(params, required=True) if is_in_app else "",
        subject=subject,
        client_time=client_time,
        device=device,
        expires_after_s=fields.expires_after_s(params) if pay_type.is_online else None,
        forbid_credit=forbid_credit,
    )


def read_close(request: AuthenticatedRequest) -> CloseRequest:
    """`txdtm` and `txamt` are not compared with the order. An app may require the amount."""
    syssn, reference = _syssn_or_reference(request.params)
    if request.context.app.close_requires_amount:
        fields.amount_minor(request.params)
    return CloseRequest(request.merchant, syssn, reference)


def read_refund(request: AuthenticatedRequest) -> RefundRequest:
    """`syssn` is the payment's, `out_trade_no` the refund's own number."""
    params = request.params
    return RefundRequest(
        merchant=request.merchant,
        payment_syssn=fields.syssn(params),
        reference=fields.reference(params),
        amount_minor=fields.amount_minor(params),
        client_time=fields.moment_text(params, required=False),
        device=fields.device(params),
    )


def read_reversal(request: AuthenticatedRequest) -> ReversalRequest:
    """Amount and time are required: a reversal moves money, and a captured query has an order's number too."""
    params = request.params
    syssn, reference = _syssn_or_reference(params)
    return ReversalRequest(
        merchant=request.merchant,
        syssn=syssn,
        reference=reference,
        amount_minor=fields.amount_minor(params),
        client_time=fields.moment_text(params),
    )


def read_query(request: AuthenticatedRequest) -> TransactionQuery:
    """Every filter is optional. With a syssn, times are validated and then ignored."""
    params = request.params
    syssns = fields.syssn_list(params)
    start, end = fields.moment(params, "start_time"), fields.moment(params, "end_time")
    return TransactionQuery(
        mchid=request.merchant.mchid,
        syssns=syssns,
        references=fields.reference_list(params),
        pay_types=fields.pay_type_list(params),
        states=_states_shown(params),
        start=None if syssns else start,
        end=None if syssns else end,
        page=fields.page(params),
        page_size=fields.page_size(params),
    )


def _states_shown(params: Mapping[str, str]) -> StateFilter | None:
    code = fields.respcd_filter(params)
    return states_showing(code) if code else None


def _syssn_or_reference(params: Mapping[str, str]) -> tuple[str, str]:
    """(syssn, reference). One of them may be empty."""
    syssn = fields.syssn(params, required=False)
    reference = fields.reference(params, required=False)
    if not (syssn or reference):
        raise BadField.missing("syssn")
    return syssn, reference


# ---- the calls ---------------------------------------------------------------------------------------------


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
