"""The calls of /mch/v1 about merchants: verified parameters in, applications, documents and members out.

Every field and file that is missing or wrong raises ApplicationRefused, whose text names it; its value is never
repeated.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import Final

from tael.base.errors import ApplicationRefused
from tael.base.merchant_categories import CATEGORIES
from tael.base.text import is_writable
from tael.merchants.document_types import UnusableDocument, media_type_of
from tael.merchants.domain.application import Application
from tael.merchants.domain.document import MAX_DOCUMENT_BYTES, DocumentKind, Scan
from tael.merchants.domain.merchant import Merchant, MerchantState
from tael.qfpay import codes, fields
from tael.qfpay.answers import Members
from tael.qfpay.errors import BadField
from tael.qfpay.fields import Params
from tael.qfpay.requests import AppRequest

MAX_TEXT: Final = 128
MAX_ADDRESS: Final = 256
#: Those with another limit than MAX_TEXT.
MAX_LENS: Final[Mapping[str, int]] = {
    **dict.fromkeys(("address", "businessaddr", "bankaddr", "email"), MAX_ADDRESS),
    **dict.fromkeys(("username", "idnumber", "bankaccount", "licensenumber"), 64),
    **dict.fromkeys(("country", "province", "city", "bankcountry", "bankprovince", "bankcity"), 64),
    **dict.fromkeys(("bankcode", "bankswiftcode", "channel_type"), 32),
}
EMAIL: Final = re.compile(r"[^\s@]+@[^\s@]+")
MOBILE: Final = re.compile(r"\+?[0-9][0-9 ()-]{4,30}")
CATEGORY: Final = re.compile(r"[0-9]{1,4}")
#: QFPay's own examples have both.
DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}")
BANK_TYPE: Final = re.compile(r"[12]")

#: The names of files. English pages have a second spelling of two of them.
KINDS: Final[Mapping[str, DocumentKind]] = {
    "idcardfront": DocumentKind.ID_CARD,
    "licensephoto": DocumentKind.LICENSE,
    "goodsphoto": DocumentKind.GOODS,
    "Goodphoto": DocumentKind.GOODS,
    "shopphoto": DocumentKind.SHOP,
    "credit_front": DocumentKind.CREDIT_CARD,
    "shoper": DocumentKind.SHOPKEEPER,
    "other_1": DocumentKind.OTHER_1,
    "other_2": DocumentKind.OTHER_2,
    "Other2": DocumentKind.OTHER_2,
}
#: 1 is in QFPay's documents; 4 and 7 are those of its later `apply_info`; 0 is ours.
STATES: Final[Mapping[MerchantState, int]] = {
    MerchantState.ACTIVE: 1,
    MerchantState.WAITING: 4,
    MerchantState.REFUSED: 7,
    MerchantState.DISABLED: 0,
}


@contextmanager
def _fields_of_an_application() -> Iterator[None]:
    """A field that is missing or wrong has the code of these calls."""
    try:
        yield
    except BadField as error:
        raise ApplicationRefused(error.english) from None


# ---- requests ----------------------------------------------------------------------------------------------------


def read_application(request: AppRequest) -> Application:
    """Raises ApplicationRefused."""
    params = request.params
    with _fields_of_an_application():
        return Application(
            username=_text(params, "username"),
            id_number=_text(params, "idnumber"),
            company_name=_text(params, "name"),
            country=_text(params, "country"),
            province=_text(params, "province", required=False),
            city=_text(params, "city"),
            address=_text(params, "address"),
            business_address=_text(params, "businessaddr", required=False),
            shop_name=_text(params, "shopname"),
            bank_account=_text(params, "bankaccount"),
            bank_account_holder=_text(params, "bankuser"),
            bank_account_type=fields.shaped(params, "banktype", BANK_TYPE, "1 or 2", required=False),
            bank_country=_text(params, "bankcountry"),
            bank_province=_text(params, "bankprovince", required=False),
            bank_city=_text(params, "bankcity"),
            bank_address=_text(params, "bankaddr"),
            bank_name=_text(params, "bankname"),
            head_bank_name=_text(params, "headbankname", required=False),
            bank_code=_text(params, "bankcode"),
            swift_code=_text(params, "bankswiftcode", required=False),
            category=_category(params),
            legal_person=_text(params, "legalperson"),
            channel_type=_text(params, "channel_type", required=False),
            email=_shaped_text(params, "email", EMAIL, "an e-mail address"),
            mobile=_shaped_text(params, "mobile", MOBILE, "a telephone number of 5 to 32 characters"),
            license_number=_text(params, "licensenumber"),
            license_date=_date(params),
        )


def read_scans(request: AppRequest, *, required: bool) -> list[Scan]:
    """The files in order, each kind once. It reads the head of each: call it in a thread. Raises ApplicationRefused."""
    scans: dict[DocumentKind, Scan] = {}
    for name, content in request.files:
        kind = KINDS.get(name)
        if kind is None:
            raise ApplicationRefused(f"a file has an unknown name; known names are {', '.join(KINDS)}")
        if kind in scans:
            raise ApplicationRefused(f"{name} was sent twice")
        scans[kind] = _scan(name, kind, content)
    if required and not scans:
        raise ApplicationRefused(BadField.missing("idcardfront").english)
    return list(scans.values())


def read_mchid(request: AppRequest) -> str:
    """The merchant that documents are for. Raises ApplicationRefused."""
    with _fields_of_an_application():
        mchid = fields.mchid(request.params)
        if not mchid:
            raise BadField.missing("mchid")
        return mchid


def read_merchant_query(request: AppRequest) -> tuple[str, str]:
    """The mchid and the username that are asked for, of which one may be "". Raises ApplicationRefused."""
    with _fields_of_an_application():
        mchid, username = fields.mchid(request.params), _text(request.params, "username", required=False)
        if not mchid and not username:
            raise BadField.missing("mchid")
        return mchid, username


def _text(params: Params, name: str, *, required: bool = True) -> str:
    """One line of printable text, as sent: whitespace around it is part of the signed text and is kept."""
    value = fields.text(params, name, required=required, max_len=MAX_LENS.get(name, MAX_TEXT))
    if value and not value.strip():
        raise BadField.malformed(name, "must not be blank")
    if not is_writable(value):
        raise BadField.malformed(name, "must be one line without control characters")
    return value


def _shaped_text(params: Params, name: str, shape: re.Pattern[str], what: str) -> str:
    value = _text(params, name)
    return fields.shaped({name: value}, name, shape, what, required=True)


def _category(params: Params) -> int:
    what = "a code of the list that /mch/v1/mcc answers"
    code = int(fields.shaped(params, "mcc_id", CATEGORY, what, required=True))
    if code not in CATEGORIES:
        raise BadField.malformed("mcc_id", f"must be {what}")
    return code


def _date(params: Params) -> str:
    name, what = "licenseactive_date", "a date written YYYY-MM-DD or YYYYMMDD"
    value = fields.shaped(params, name, DATE, what, required=True)
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise BadField.malformed(name, f"must be {what} that exists in the calendar") from None


def _scan(name: str, kind: DocumentKind, content: bytes | None) -> Scan:
    if content is None:
        raise ApplicationRefused(f"{name} must have at most {MAX_DOCUMENT_BYTES} bytes")
    try:
        return Scan(kind, media_type_of(content), content)
    except UnusableDocument as error:
        raise ApplicationRefused(f"{name} {error}") from None


# ---- responses ---------------------------------------------------------------------------------------------------


def _done(**members: object) -> Members:
    return {"respcd": codes.OK, "respmsg": "", "resperr": "", **members}


def sign_up_answer(mchid: str) -> Members:
    """Clients read the new id in one place or in the other."""
    return _done(mchid=mchid, data={"mchid": mchid})


def upload_answer() -> Members:
    return _done()


def merchant_answer(merchant: Merchant, application: Application | None) -> Members:
    """A merchant that an operator added has no application: its name, its state, and "" for the rest."""
    return _done(
        data={
            "mchid": merchant.mchid,
            **(_without_application(merchant) if application is None else _members_of(application)),
            "state": STATES[merchant.state],
        }
    )


def _members_of(application: Application) -> Members:
    return {
        "username": application.username,
        "name": application.company_name,
        "email": application.email,
        "mobile": application.mobile,
        "idnumber": application.id_number,
        "legalperson": application.legal_person,
        "shopname": application.shop_name,
        "country": application.country,
        "city": application.city,
        "address": application.address,
        "businessaddr": application.business_address or application.address,
        "bankaccount": application.bank_account,
        "bankuser": application.bank_account_holder,
        "bankcountry": application.bank_country,
        "bankcity": application.bank_city,
        "bankaddr": application.bank_address,
        "bankname": application.bank_name,
        "bankswiftcode": application.swift_code,
    }


#: The members of `data` besides `mchid` and `state`.
MEMBERS: Final = (
    *(
        "username",
        "name",
        "email",
        "mobile",
        "idnumber",
        "legalperson",
        "shopname",
        "country",
        "city",
        "address",
    ),
    *("businessaddr", "bankaccount", "bankuser", "bankcountry", "bankcity", "bankaddr", "bankname"),
    "bankswiftcode",
)


def _without_application(merchant: Merchant) -> Members:
    return dict.fromkeys(MEMBERS, "") | {"name": merchant.name, "shopname": merchant.name}


def categories_answer() -> Members:
    """The merchant categories. This response is not signed."""
    listed = [{"mcc_id": code, "mcc_name": name} for code, name in CATEGORIES.items()]
    return {"respcd": codes.OK, "respmsg": "", "data": {"mcc_list": listed}}
