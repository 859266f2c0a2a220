"""Alipay's refusals of calls that the sandbox does not serve, of this protocol and of Alipay's two others."""

import json
from collections.abc import Mapping
from typing import Final

from starlette.responses import JSONResponse, Response

from tael_sandbox.alipay.messages import XML_TYPE, Refused, read_request, refusal_xml
from tael_sandbox.alipay.signing import Keyring
from tael_sandbox.unserved import UnservedCall

NO_SERVICE: Final = "ILLEGAL_SERVICE"
#: Path prefixes that belong to Alipay alone, in the sandbox and on the real hosts.
_FOLDERS: Final = ("/ams/", "/trade/", "/cooperate/")
_ENDINGS: Final = (".do", ".htm")
_ANTOM: Final = "/ams/"


def refuse(call: UnservedCall, keys: Keyring) -> Response | None:
    """None if the call is not Alipay's."""
    fields = _fields(call)
    if not _is_alipays(call, fields):
        return None
    if call.path.startswith(_ANTOM):
        return _antom(call)
    if is_openapi(fields):
        return refuse_openapi(fields, keys)
    named = fields.get("service") or call.name
    return Response(refusal_xml(NO_SERVICE, named), call.status_or_ok, {"Content-Type": XML_TYPE})


def is_openapi(fields: Mapping[str, str]) -> bool:
    """Whether it is the other protocol of this address, which names a method of an app instead of a service."""
    return "service" not in fields and "method" in fields and "app_id" in fields


def refuse_openapi(fields: Mapping[str, str], keys: Keyring) -> Response:
    """Signed over the text of its member: clients of that protocol verify errors as well."""
    error = {
        "code": "40002",
        "msg": "Invalid Arguments",
        "sub_code": "isv.invalid-method",
        "sub_msg": f"{fields['method'][:100]} is not served by this sandbox",
    }
    text = json.dumps(error, ensure_ascii=False, separators=(",", ":"))
    sign = keys.sign_text(text, "RSA" if fields.get("sign_type") == "RSA" else "RSA2")
    body = f'{{"error_response":{text},"sign":"{sign}"}}'
    return Response(
        body.encode("utf-8", "replace"), headers={"Content-Type": "application/json;charset=UTF-8"}
    )


def _antom(call: UnservedCall) -> Response:
    result = {"resultCode": "INVALID_API", "resultStatus": "F", "resultMessage": call.text}
    return JSONResponse({"result": result})


def _is_alipays(call: UnservedCall, fields: Mapping[str, str]) -> bool:
    if call.wallet_of_host is not None:
        return call.wallet_of_host == "alipay"
    has_form = {"service", "partner"} <= fields.keys() or is_openapi(fields)
    return has_form or call.path.endswith(_ENDINGS) or call.path.startswith(_FOLDERS)


def _fields(call: UnservedCall) -> Mapping[str, str]:
    try:
        return read_request(call.query, call.body).fields
    except Refused:
        return {}
