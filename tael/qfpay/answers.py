"""The members of every response of /trade/v1, rendered from our rows, never from a wallet's response.

Every value is a string except `page`, `page_size` and the lists, as in QFPay's own examples.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tael.base.errors import TaelError
from tael.base.moments import moment_text
from tael.base.pay_types import Presentment
from tael.base.reasons import Reason
from tael.channels.outcomes import PayCode, PayLink, PayParams
from tael.merchants.domain.merchant import App
from tael.payments.domain.page_urls import Pages
from tael.payments.domain.payment import Payment, State
from tael.payments.domain.refund import Refund, RefundState
from tael.payments.reversals import ReversalResult
from tael.payments.store.transactions import RefundTransaction, Transaction
from tael.qfpay import codes
from tael.qfpay.codes import Call
from tael.qfpay.pay_types import FIELDS, PayData
from tael.qfpay.reasons import code_of, resperr, respmsg
from tael.qfpay.shown import shown_cancel, shown_refund_respcd, shown_respcd, shown_reversal_respcd

Members = dict[str, Any]


def payment_answer(payment: Payment, pages: Pages) -> Members:
    """0000 for an online order means that it was created, not that it is paid."""
    code = shown_respcd(payment)
    if payment.state is State.PENDING and payment.pay is not None:
        code = codes.OK
    return {
        "pay_type": payment.pay_type.code,
        "out_trade_no": payment.reference,
        "cardcd": payment.payer_ref if payment.pay_type.presentment is Presentment.BARCODE else "",
        "txdtm": payment.client_time,
        "txamt": str(payment.amount.amount_minor),
        "sysdtm": moment_text(payment.created_at),
        "syssn": payment.syssn,
        "txcurrcd": payment.amount.currency,
        **_pay_members(payment, pages),
        **_result(code, "payment", "ok"),
        **_openid_text(payment),
    }


def _openid_text(payment: Payment) -> Members:
    """QFPay's own text for an openid that belongs to another official account."""
    is_mismatch = payment.pay_type.needs_openid and payment.reason is Reason.MISMATCH
    return {"respmsg": "sub_mch_id与sub_appid不匹配"} if is_mismatch else {}


def _pay_members(payment: Payment, pages: Pages) -> Members:
    """What the payer opens, scans, or passes to the wallet."""
    match payment.pay:
        case PayLink(url, creates_order):
            # A link that works for a payer's own browser only must be opened by the merchant's page.
            url = pages.opening_of(payment) if creates_order else url
            return {"pay_url": url, "qrcode": url}
        case PayCode(text):
            return {"qrcode": text, "code_url": text, "pay_url": text}
        case PayParams(params) if FIELDS[payment.pay_type.code].pay_data is PayData.PAGE_PARAMS:
            return {"pay_params": dict(params), "pay_url": pages.of_payment(payment)}
        case PayParams(params):
            return {"pay_params": _with_number(params)}
        case None:
            return {"code_url": ""}


def _with_number(params: Mapping[str, str]) -> Members:
    """As in QFPay's example, the time of WeChat's parameters for apps is a number. It is signed as text."""
    return {name: int(value) if name == "timestamp" else value for name, value in params.items()}


def close_answer(payment: Payment) -> Members:
    code = codes.OK if payment.state is State.CLOSED else codes.PENDING
    return {
        "sysdtm": moment_text(payment.changed_at),
        "txdtm": payment.client_time,
        "txamt": str(payment.amount.amount_minor),
        "txcurrcd": payment.amount.currency,
        "out_trade_no": payment.reference,
        "syssn": payment.close_syssn,
        "orig_syssn": payment.syssn,
        **_result(code, "close", "ok"),
    }


def refund_answer(refund: Refund) -> Members:
    return {
        "txdtm": refund.client_time,
        "txamt": str(refund.amount.amount_minor),
        "txcurrcd": refund.amount.currency,
        "out_trade_no": refund.reference,
        "syssn": refund.syssn,
        "orig_syssn": refund.payment_syssn,
        "origssn": refund.payment_syssn,
        "sysdtm": moment_text(refund.created_at),
        **_result(shown_refund_respcd(refund), "refund", "ok"),
    }


def reversal_answer(result: ReversalResult) -> Members:
    reversal, payment = result.reversal, result.payment
    return {
        "sysdtm": moment_text(reversal.created_at),
        "txdtm": reversal.client_time,
        "txamt": str(payment.amount.amount_minor),
        "txcurrcd": payment.amount.currency,
        "out_trade_no": payment.reference,
        "syssn": reversal.syssn,
        "orig_syssn": payment.syssn,
        **_result(shown_reversal_respcd(reversal), "reversal", "ok"),
    }


def openid_answer(openid: str) -> Members:
    return {**_result(codes.OK, "openid", "ok"), "openid": openid}


def query_answer(
    transactions: Sequence[Transaction],
    app: App,
    page: int,
    page_size: int,
    more: Mapping[str, Members] | None = None,
) -> Members:
    """The outer respcd is that of the query itself; each row has its own. `more` are further members by syssn."""
    return {
        "respmsg": "",
        "resperr": "",
        "respcd": codes.OK,
        "data": [row(transaction, app, more or {}) for transaction in transactions],
        "page": page,
        "page_size": page_size,
    }


def error_answer(error: TaelError, call: Call, reference: str | None) -> Members:
    """An error in the form of every response. The only text of the request it repeats is a well-formed reference."""
    members: Members = {
        "resperr": resperr(error, call),
        "respcd": code_of(error.reason),
        "respmsg": respmsg(error),
    }
    if reference:
        members["out_trade_no"] = reference
    if error.payment_syssn:
        members["orig_syssn"] = error.payment_syssn
        if call == "refund":
            members["origssn"] = error.payment_syssn
    return members


def bare_answer(code: str, english: str) -> Members:
    """The response to a request that reached no call."""
    return {"respcd": code, "respmsg": english, "resperr": ""}


def _result(code: str, call: Call, on_success: str) -> Members:
    english = on_success if code == codes.OK else codes.TABLE[code].english
    return {"respcd": code, "respmsg": english, "resperr": codes.resperr(code, call)}


def row(transaction: Transaction, app: App, more: Mapping[str, Members]) -> Members:
    """One payment or refund in a query; `more` as for `query_answer`."""
    payment = transaction.payment if isinstance(transaction, RefundTransaction) else transaction
    subject = transaction.refund if isinstance(transaction, RefundTransaction) else transaction
    return {
        "pay_type": payment.pay_type.code,
        "sysdtm": moment_text(subject.created_at),
        "txcurrcd": payment.amount.currency if app.include_currency else "",
        "txdtm": subject.client_time,
        "txamt": str(subject.amount.amount_minor),
        "out_trade_no": subject.reference,
        "syssn": subject.syssn,
        "chnlsn": subject.wallet_ref,
        "cardcd": payment.payer_ref,
        **(_refund_state(subject) if isinstance(subject, Refund) else _payment_state(subject, app)),
        **({"goods_name": payment.goods_name} if app.include_goods_name else {}),
        **more.get(subject.syssn, {}),
    }


def _payment_state(payment: Payment, app: App) -> Members:
    code = shown_respcd(payment)
    return {
        "order_type": "payment",
        "cancel": _cancel(payment, app),
        "respcd": code,
        "errmsg": codes.row_text(code),
        "paydtm": moment_text(payment.paid_at or payment.changed_at) if payment.state is State.PAID else "",
    }


def _refund_state(refund: Refund) -> Members:
    code, is_done = shown_refund_respcd(refund), refund.state is RefundState.DONE
    return {
        "order_type": "refund",
        "cancel": "0",
        "respcd": code,
        "errmsg": codes.row_text(code),
        "paydtm": moment_text(refund.done_at or refund.changed_at) if is_done else "",
        "origssn": refund.payment_syssn,
    }


def _cancel(payment: Payment, app: App) -> str:
    """With `cancel_codes_v2`, the values of QFPay's later documents: 3 refunded in full, 5 in part."""
    if app.cancel_codes_v2 and payment.refunded_minor and not payment.is_reversed:
        return "3" if payment.refunded_minor == payment.amount.amount_minor else "5"
    return shown_cancel(payment)
