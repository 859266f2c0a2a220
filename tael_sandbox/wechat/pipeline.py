"""The checks of a V2 request, in order; the first one that fails decides the response.

Form, identity, signature and certificate are checked for every call and fail with a bare FAIL. Then the call's own
handler runs, in one transaction, and every response is signed.
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tael_sandbox.books import Books
from tael_sandbox.clock import Clock
from tael_sandbox.profiles import Profile, current_profile
from tael_sandbox.shops import MerchantAccount
from tael_sandbox.tls import is_over_tls, peer_name
from tael_sandbox.wechat import numbering
from tael_sandbox.wechat.calls import (
    BAD_FORM,
    BAD_SIGNATURE,
    BAD_XML,
    UNBOUND,
    AdmittedRequest,
    Call,
    Missing,
    Refusal,
    Rejection,
    UnknownAccount,
)
from tael_sandbox.wechat.due import take_due_steps
from tael_sandbox.wechat.messages import (
    MAX_BODY_BYTES,
    BadXml,
    Value,
    failure,
    read_message,
    signed,
    unsigned_refusal,
    xml_reply,
)
from tael_sandbox.wechat.registry import Merchant, Registry
from tael_sandbox.wechat.signing import MD5, is_signed

#: Starlette refuses methods that a route does not list; the wallet responds to all of them itself.
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
NO_CERTIFICATE: Final = (
    "<html>\r\n<head><title>400 No required SSL certificate was sent</title></head>\r\n"
    "<body>\r\n<center><h1>400 Bad Request</h1></center>\r\n"
    "<center>No required SSL certificate was sent</center>\r\n<hr><center>nginx</center>\r\n"
    "</body>\r\n</html>\r\n"
)


class Pipeline:
    def __init__(self, clock: Clock, books: Books, registry: Registry, pages_url: str) -> None:
        self._clock = clock
        self._books = books
        self._registry = registry
        self._pages_url = pages_url

    def route(self, call: Call) -> Route:
        async def endpoint(request: Request) -> Response:
            return await self._serve(call, request)

        return Route(call.path, endpoint, methods=METHODS)

    def route_all(self, prefix: str, calls: Sequence[Call]) -> Route:
        """One route for all paths with the prefix, which dispatches to the calls."""
        by_path = {call.path: call for call in calls}

        async def endpoint(request: Request) -> Response:
            call = by_path.get(request.scope["path"])
            if call is None:
                raise HTTPException(404)
            return await self._serve(call, request)

        return Route(f"{prefix}/{{call:path}}", endpoint, methods=METHODS)

    async def _serve(self, call: Call, request: Request) -> Response:
        try:
            return self._answer(call, request, await _read_body(request))
        except UnknownAccount as stranger:
            is_strict = current_profile(self._books.reader).is_strict
            if is_strict and call.reject is failure:  # bills have their own form of errors
                return unsigned_refusal(stranger.err_code, stranger.return_msg)
            return call.reject(stranger.return_msg)
        except Rejection as rejected:
            return call.reject(rejected.return_msg)

    def _answer(self, call: Call, request: Request, body: bytes) -> Response:
        if request.method != "POST" or not body:
            raise Rejection("post数据为空")
        # Plain HTTP has no certificates. They are waived there, so that SDKs can use it.
        certificate_counts = call.needs_certificate and is_over_tls(request)
        if certificate_counts and peer_name(request) is None:
            return HTMLResponse(NO_CERTIFICATE, 400)
        fields, merchants = admit(self._registry, call, body, current_profile(self._books.reader))
        if certificate_counts and peer_name(request) != merchants[0].account.mch_id:
            raise Rejection("certificate not match")
        return self._run(call, fields, merchants)

    def _run(self, call: Call, fields: dict[str, str], merchants: tuple[Merchant, ...]) -> Response:
        now = self._clock.now()
        with self._books.transaction() as connection:
            take_due_steps(connection, self._registry, now)
            try:
                outcome = call.answer(
                    AdmittedRequest(fields, merchants, self._registry, connection, now, self._pages_url)
                )
                if isinstance(outcome, Response):
                    return outcome
                outcome = {"result_code": "SUCCESS", **outcome}
            except Refusal as refused:  # inside the transaction: USERPAYING refuses and leaves an order
                outcome = {
                    "result_code": "FAIL",
                    "err_code": refused.err_code,
                    "err_code_des": refused.err_code_des,
                    **dict(call.fails_with),
                    **refused.fields,
                }
        return signed_reply(fields, merchants[0].account, outcome)


def admit(
    registry: Registry, call: Call, body: bytes, profile: Profile
) -> tuple[dict[str, str], tuple[Merchant, ...]]:
    """Checks form, identity and signature. Returns the fields and the merchants. Raises Rejection."""
    try:
        fields = read_message(body, "xml" if profile.is_strict else None)
    except BadXml:
        raise Rejection(BAD_XML) from None
    _check_form(call, fields)
    merchants = _identify(registry, call, fields)
    is_md5_only = call.in_vendor_sandbox and profile.is_strict
    is_sign_type_allowed = not is_md5_only or fields.get("sign_type", "") in ("", MD5)
    if not (is_sign_type_allowed and _is_signed(call, fields, merchants[0].account.key)):
        raise Rejection(BAD_SIGNATURE)
    return fields, merchants


def signed_reply(fields: dict[str, str], account: MerchantAccount, outcome: dict[str, Value]) -> Response:
    reply: dict[str, Value] = {
        "return_code": "SUCCESS",
        "return_msg": "OK",
        "appid": fields["appid"],
        "mch_id": fields["mch_id"],
    }
    reply |= {name: fields[name] for name in ("sub_appid", "sub_mch_id") if fields.get(name)}
    reply |= {"nonce_str": numbering.nonce(), **outcome}
    return xml_reply(signed(reply, account.key, fields.get("sign_type") or MD5))


def _identify(registry: Registry, call: Call, fields: dict[str, str]) -> tuple[Merchant, ...]:
    sub_mch_id = fields.get("sub_mch_id", "")
    merchants = registry.merchants_of(fields["mch_id"], sub_mch_id, in_vendor_sandbox=call.in_vendor_sandbox)
    if merchants and not merchants[0].is_direct and not sub_mch_id and not call.is_for_provider:
        raise Rejection("受理机构必须传入sub_mch_id")
    if not merchants or not _are_appids_bound(fields, merchants):
        raise UnknownAccount(UNBOUND, _identity_error(registry, fields, merchants))
    return merchants


def _are_appids_bound(fields: dict[str, str], merchants: tuple[Merchant, ...]) -> bool:
    """A direct merchant's own appids are `appid`, a sub-merchant's `sub_appid` next to its provider's `appid`."""
    own = [appid for merchant in merchants for appid in merchant.appids]
    appids, sub_appids = (own, []) if merchants[0].is_direct else ([merchants[0].account.appid], own)
    return fields.get("appid", "") in ("", *appids) and fields.get("sub_appid", "") in ("", *sub_appids)


def _identity_error(registry: Registry, fields: dict[str, str], merchants: tuple[Merchant, ...]) -> str:
    """The documented `err_code` for the first number that is wrong."""
    if not merchants:
        return "MCHID_NOT_EXIST"
    named = [appid for appid in (fields.get("appid", ""), fields.get("sub_appid", "")) if appid]
    return "APPID_MCHID_NOT_MATCH" if all(map(registry.knows_appid, named)) else "APPID_NOT_EXIST"


def _is_signed(call: Call, fields: dict[str, str], key: str) -> bool:
    """Clients differ in whether they sign `sent_encoded` before or after encoding it; the wallet accepts both."""
    if is_signed(fields, key):
        return True
    name = call.sent_encoded
    return name in fields and is_signed({**fields, name: unquote(fields[name])}, key)


def _check_form(call: Call, fields: dict[str, str]) -> None:
    elements = (*call.common, *call.elements)
    for element in elements:
        if element.required and not fields.get(element.name):
            raise Missing(element.name)
    if call.one_of and not any(fields.get(name) for name in call.one_of):
        raise Missing(*call.one_of)
    for element in elements:
        value = fields.get(element.name, "")
        if value and not element.accepts(value):
            raise Rejection(element.name + BAD_FORM)


async def _read_body(request: Request) -> bytes:
    """The request's body, truncated once it is too long for a message."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            break
    return bytes(body)
