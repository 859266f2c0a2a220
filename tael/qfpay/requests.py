"""The requests of /trade/v1: verified parameters in, the core's requests out. Pure; raises BadField and NoChannel.

For each call: the parameters that it reads or refuses, which its signed text is checked for, and the reader.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from tael.audit_log.domain.entry import Origin
from tael.base.money import Money
from tael.merchants.credential_cache import AppContext
from tael.merchants.domain.merchant import Merchant
from tael.payments.closes import CloseRequest
from tael.payments.opening import PaymentRequest
from tael.payments.queries import TransactionQuery
from tael.payments.refunds import RefundRequest
from tael.payments.reversals import ReversalRequest
from tael.payments.store.transactions import StateFilter
from tael.qfpay import fields
from tael.qfpay.codes import Call
from tael.qfpay.errors import BadField
from tael.qfpay.pay_types import FIELDS, Fields
from tael.qfpay.shown import states_showing
from tael.qfpay.signature import SIGN_TYPE
from tael.qfpay.signed_names import APP_CODE, PAYSOURCE, REDIRECT_URI, WEBHOOK, Names


@dataclass(frozen=True, slots=True)
class AppRequest:
    """A verified request that is not a merchant's: the app that signed it, the signed parameters, unsigned files."""

    context: AppContext
    params: Mapping[str, str]
    origin: Origin  #: of what it changes
    files: Sequence[tuple[str, bytes | None]] = field(
        default=(), repr=False
    )  #: by name; None for one too large


class AuthenticatedRequest(Struct, frozen=True):
    """A verified request: the app that signed it, the merchant, and the signed parameters."""

    context: AppContext
    merchant: Merchant
    params: Mapping[str, str]

    @property
    def cell(self) -> int:
        return self.merchant.cell


# ---- names -------------------------------------------------------------------------------------------------

MERCHANT: Final = frozenset({"mchid", "Mchid", "mchntid"})
#: Parameters of payments only.
OPENING: Final = frozenset(
    {"auth_code", "sub_openid", "product_name", "goods_name", "valid_time", "expired_time"}
)
#: Parameters of queries only.
FILTERS: Final = frozenset({"start_time", "end_time", "page", "page_size", "respcd"})
#: Every call reads `txdtm`: an app may limit the age of its requests.
ORDER: Final = MERCHANT | {"out_trade_no", "txdtm"}
NO_REQUEST: Final = WEBHOOK | {PAYSOURCE, APP_CODE}
#: A payer's code from WeChat. Calls that need little else refuse it.
PAYERS_CODE: Final = frozenset({"code"})
UNDO: Final = ORDER | {"syssn", "txamt"}
#: Parameters of queries of settlements and of bills only. Calls that need little else refuse them.
RANGE: Final = frozenset({*fields.DATE_START, *fields.DATE_END})
PERIOD: Final = RANGE | {"trade_date"}
#: Parameters of calls about transactions. Their signed texts are refused by the calls about merchants.
TRANSACTION: Final = OPENING | FILTERS | {"out_trade_no", "syssn", "pay_type", "txamt"}
#: Fields of an application.
SIGN_UP_FIELDS: Final = frozenset(
    (
        *(
            "username",
            "idnumber",
            "name",
            "country",
            "province",
            "city",
            "address",
            "businessaddr",
            "shopname",
        ),
        *("bankaccount", "bankuser", "banktype", "bankcountry", "bankprovince", "bankcity", "bankaddr"),
        *("bankname", "headbankname", "bankcode", "bankswiftcode", "mcc_id", "legalperson", "channel_type"),
        *("email", "mobile", "licensenumber", "licenseactive_date"),
    )
)

CALL_NAMES: Final[Mapping[Call, Names]] = {
    "payment": Names(
        read=ORDER
        | OPENING
        | {"pay_type", "txamt", "txcurrcd", "udid", "limit_pay", "goods_info"}
        | {"return_url", "pay_tag", "extend_info"},
        refused=frozenset({"syssn"}),
        foreign=NO_REQUEST,
    ),
    "close": Names(read=UNDO, refused=OPENING | FILTERS | {"pay_type"}, foreign=NO_REQUEST),
    # Real clients send `pay_type` with refunds.
    "refund": Names(read=UNDO | {"udid"}, refused=OPENING | FILTERS, foreign=NO_REQUEST),
    "reversal": Names(read=UNDO, refused=OPENING | FILTERS | {"pay_type"}, foreign=NO_REQUEST),
    "query": Names(
        read=ORDER | FILTERS | {"syssn", "pay_type"},
        refused=PAYERS_CODE | PERIOD | {"licensenumber"},  # of every sign-up
        foreign=NO_REQUEST,
    ),
    "signup": Names(
        read=SIGN_UP_FIELDS | {"txdtm"},
        refused=TRANSACTION | MERCHANT | PAYERS_CODE | PERIOD,
        foreign=NO_REQUEST,
    ),
    "uploadcert": Names(
        read=MERCHANT | {"txdtm"},
        refused=TRANSACTION | SIGN_UP_FIELDS | PAYERS_CODE | PERIOD,
        foreign=NO_REQUEST,
    ),
    "merchant": Names(
        read=MERCHANT | {"username", "txdtm"},
        refused=TRANSACTION | SIGN_UP_FIELDS - {"username"} | PAYERS_CODE | PERIOD,
        foreign=NO_REQUEST,
    ),
    "settlements": Names(
        read=MERCHANT | RANGE | {"paymethod", "txdtm"},
        refused=TRANSACTION | SIGN_UP_FIELDS | PAYERS_CODE | {"trade_date"},
        foreign=NO_REQUEST,
    ),
    "trade_bill": Names(
        read=MERCHANT | {"trade_date", "txdtm"},
        refused=TRANSACTION | SIGN_UP_FIELDS | PAYERS_CODE | RANGE | {"paymethod"},
        foreign=NO_REQUEST,
    ),
    # A merchant's page may have parameters of any name, so only those that mark another message are refused.
    "oauth_code": Names(
        read=MERCHANT | {APP_CODE, REDIRECT_URI, SIGN_TYPE, "txdtm"},
        refused=PAYERS_CODE | {"out_trade_no", "pay_type", "syssn", "txamt", "licensenumber"},
        foreign=WEBHOOK | {PAYSOURCE},
    ),
    "openid": Names(
        read=MERCHANT | PAYERS_CODE | {"txdtm"},
        refused=TRANSACTION | SIGN_UP_FIELDS | PERIOD | {REDIRECT_URI},
        foreign=NO_REQUEST,
    ),
}

GOODS_INFO_MAX_LEN: Final = 512
CODE: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")


# ---- readers -----------------------------------------------------------------------------------------------


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
    goods_info = fields.text(params, "goods_info", max_len=GOODS_INFO_MAX_LEN)
    return_url = fields.web_url(params, "return_url")
    pay_type = fields.known_pay_type(code)
    own = FIELDS[code]
    site = fields.extend_info(params) if "extend_info" in own.needs else None
    region = fields.region(params, own.default_region)
    _refuse_small(amount_minor, currency, own)
    return PaymentRequest(
        context=request.context,
        merchant=request.merchant,
        pay_type=pay_type,
        reference=reference,
        amount=Money(amount_minor, currency),
        auth_code=fields.auth_code(params) if "auth_code" in own.needs else "",
        openid=fields.openid(params, required=True) if "sub_openid" in own.needs else "",
        subject=subject,
        client_time=client_time,
        device=device,
        expires_after_s=fields.expires_after_s(params) if pay_type.is_online else None,
        forbid_credit=forbid_credit,
        goods_info=goods_info,
        return_url=return_url,
        region=region,
        site=site,
    )


def _refuse_small(amount_minor: int, currency: str, own: Fields) -> None:
    """Raises BadField for an amount that the pay type is not for."""
    limit_minor = (own.above_minor or {}).get(currency, 0)
    if amount_minor <= limit_minor:
        raise BadField.malformed("txamt", f"must be more than {limit_minor} for this pay type")


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


def read_oauth_link(request: AuthenticatedRequest) -> str:
    """The merchant's page to which WeChat sends the payer with a code."""
    if not request.params.get(REDIRECT_URI):
        raise BadField.missing(REDIRECT_URI)
    return fields.web_url(request.params, REDIRECT_URI)


def read_code(request: AuthenticatedRequest) -> str:
    """The payer's code from WeChat."""
    return fields.shaped(request.params, "code", CODE, "the code from get_weixin_oauth_code", required=True)


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
