"""What a business sends when it signs up, and the calls that send it."""

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlencode

from tests.end_to_end.merchant import Merchant, new_reference, send
from tests.support.documents import MULTIPART, File, multipart
from tests.support.http_calls import Answer

SIGN_UP: Final = "/mch/v1/signup"
UPLOAD: Final = "/mch/v1/uploadcert"
QUERY: Final = "/mch/v1/query"
#: QFPay's example of its signature, with a category that exists. `username` and `licensenumber` are added.
FIELDS: Final[Mapping[str, str]] = {
    "address": "TST",
    "bankaccount": "168477081838",
    "bankaddr": "TST",
    "bankcity": "Hong Kong",
    "bankcode": "123",
    "bankcountry": "Hong Kong",
    "bankname": "HSBC",
    "bankswiftcode": "HSBCHKHHHKH",
    "bankuser": "Peter",
    "channel_type": "",
    "city": "Hong Kong",
    "country": "Hong Kong",
    "email": "peter@test.com",
    "idnumber": "172845391795",
    "legalperson": "Peter",
    "licenseactive_date": "20160810",
    "mcc_id": "5812",
    "mobile": "123456",
    "name": "Peter ",
    "shopname": "PeterShopR",
}


def application(**given: str | None) -> dict[str, str]:
    """The fields of a business that has not signed up; None leaves one out."""
    number = new_reference()
    fields: dict[str, str | None] = {**FIELDS, "username": f"peter@{number}", "licensenumber": number}
    return {name: value for name, value in (fields | given).items() if value is not None}


def post(merchant: Merchant, path: str, params: Mapping[str, str], files: Iterable[File] = ()) -> Answer:
    """A signed multipart request; the response is not checked."""
    headers = merchant.headers(merchant.sign(params), MULTIPART)
    return send(merchant.demo.gateway, "POST", path, multipart(params, files), headers)


def sign_up(merchant: Merchant, files: Iterable[File] = (), **given: str | None) -> Answer:
    return merchant.proven(post(merchant, SIGN_UP, application(**given), files))


def signed_up(merchant: Merchant, files: Iterable[File] = (), **given: str | None) -> str:
    """The mchid of a merchant that has just signed up."""
    answer = sign_up(merchant, files, **given)
    assert answer.respcd == "0000", answer
    return str(answer["mchid"])


def upload(merchant: Merchant, mchid: str, *files: File) -> Answer:
    return post(merchant, UPLOAD, {"mchid": mchid}, files)


def asked(merchant: Merchant, **params: str) -> Answer:
    """GET /mch/v1/query."""
    headers = merchant.headers(merchant.sign(params), None)
    return send(merchant.demo.gateway, "GET", f"{QUERY}?{urlencode(params)}", headers=headers)
