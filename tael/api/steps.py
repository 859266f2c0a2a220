"""The steps of a merchant's request. Each is one check or one piece of work; `pipeline.py` puts them in order.

A step raises TaelError to refuse the request. No step before `verify_call` or `verify_link` acts on a parameter.
"""

from dataclasses import replace
from typing import TypeVar

from tael.api import authenticate, uploads
from tael.api.exchange import Exchange
from tael.api.request_body import read_body as read_limited_body
from tael.api.wire import multipart_boundary, read_parameters
from tael.audit_log.domain.entry import Origin
from tael.base.security_log import network_of
from tael.merchants import credential_cache
from tael.merchants.credential_cache import AppContext
from tael.merchants.domain.merchant import Merchant, Operation
from tael.oauth.access import user_access
from tael.qfpay import fields
from tael.qfpay.errors import BadField, UnreadableMessage
from tael.qfpay.requests import CALL_NAMES, AppRequest, AuthenticatedRequest
from tael.qfpay.signature import SIGN, SIGN_TYPE
from tael.qfpay.signed_names import APP_CODE
from tael.qfpay.users import UserRequest

T = TypeVar("T")


def known(value: T | None) -> T:
    """`value`, which an earlier step of every list has set."""
    assert value is not None
    return value


# ---- limit: nothing is read ------------------------------------------------------------------------------------


async def limit_address(exchange: Exchange) -> None:
    """The sender's address sends no flood. Raises RateLimited."""
    exchange.access.address_guard.check(exchange.peer)


async def admit(exchange: Exchange) -> None:
    """The process has a place for this call, which it keeps up to its response. Raises Overloaded.

    Its sender is an address: an appcode is not verified yet, and another's could be sent to use up its turns.
    """
    sender = network_of(exchange.peer)
    exchange.held.enter_context(await exchange.access.admission.take(sender))


# ---- read: no key, no database ---------------------------------------------------------------------------------


async def read_body(exchange: Exchange) -> None:
    """Raises BodyTooLarge and ClientDisconnect."""
    exchange.body = await read_limited_body(exchange.http, exchange.access.max_form_bytes)


async def read_call(exchange: Exchange) -> None:
    """The parameters in query string and body. A repeated name is refused."""
    headers = exchange.http.headers
    parameters = read_parameters(exchange.http.scope["query_string"], headers, exchange.body)
    exchange.parameters = parameters
    exchange.credentials = authenticate.read_credentials(headers)
    exchange.appcode = exchange.credentials.appcode
    exchange.reference = fields.echoed_reference(parameters.values)


async def read_upload(exchange: Exchange) -> None:
    """The parameters, and the files of a multipart body. Raises as `read_body` and `read_call`, and OutOfService."""
    headers, access = exchange.http.headers, exchange.access
    boundary = multipart_boundary(headers)
    if boundary is None:
        await read_body(exchange)
        await read_call(exchange)
        return
    reservation = exchange.held.enter_context(access.uploads.reservation())
    upload = await uploads.read_upload(exchange.http, boundary, reservation, access.max_form_bytes)
    exchange.parameters = upload.parameters
    exchange.files = upload.files
    exchange.credentials = authenticate.read_credentials(headers)
    exchange.appcode = exchange.credentials.appcode


async def read_link(exchange: Exchange) -> None:
    """The parameters of a checkout link. A refusal repeats none of them: the link is not verified yet."""
    try:
        parameters = read_parameters(b"", exchange.http.headers, exchange.body)
    except BadField:
        raise UnreadableMessage("a parameter was sent twice, with different values") from None
    exchange.parameters = parameters
    exchange.appcode = parameters.values.get("appcode", "")


async def read_consent_link(exchange: Exchange) -> None:
    """The parameters of a link to the wallet's consent, all in its address."""
    http = exchange.http
    parameters = read_parameters(http.scope["query_string"], http.headers, b"")
    exchange.parameters = parameters
    exchange.appcode = parameters.values.get(APP_CODE, "")


# ---- identify, verify ------------------------------------------------------------------------------------------


async def identify(exchange: Exchange) -> None:
    """The app that the request names. An unknown one is refused by `verify`, after the same work."""
    exchange.claimed = await exchange.access.credentials.app(exchange.appcode)


async def verify_call(exchange: Exchange) -> None:
    """The signature in the headers is the app's, over these parameters. Raises NotAuthentic."""
    credentials = known(exchange.credentials)
    _verify(exchange, credentials.sign, credentials.sign_type)


async def verify_consent_link(exchange: Exchange) -> None:
    """The same, with the signature among the parameters."""
    values = exchange.parameters.values
    _verify(exchange, values.get(SIGN, ""), values.get(SIGN_TYPE, ""))


def _verify(exchange: Exchange, sign: str, sign_type: str) -> None:
    claimed = exchange.claimed
    verified = authenticate.verify(
        exchange.parameters,
        sign,
        sign_type,
        claimed.app.keys(exchange.access.clock.now()) if claimed else (),
        claimed.app.sha256_only if claimed else False,
    )
    if claimed is None or verified is None:
        raise authenticate.not_signed_by(claimed)
    exchange.context, exchange.values, exchange.key = claimed, verified.values, verified.key


async def verify_link(exchange: Exchange) -> None:
    """The signature among the parameters is the app's, and was made for a link. Raises NotAuthentic."""
    claimed, values = exchange.claimed, exchange.parameters.values
    authenticate.check_link(values, claimed.app if claimed else None, exchange.access.clock.now())
    exchange.context, exchange.values = claimed, values


async def check_reading(exchange: Exchange) -> None:
    """The signed text has one reading, and is of this call."""
    authenticate.check_reading(exchange.parameters.values, CALL_NAMES[exchange.endpoint.call])


async def check_address(exchange: Exchange) -> None:
    """The app accepts requests from the sender's address."""
    authenticate.check_address(exchange.peer, known(exchange.context).app)


async def check_age(exchange: Exchange) -> None:
    """The request is not older than the app permits."""
    context: AppContext = known(exchange.context)
    authenticate.check_age(known(exchange.values), context.app, exchange.access.clock.now())


async def authenticate_user(exchange: Exchange) -> None:
    """The access token is valid. Raises NotAuthentic, MerchantDisabled."""
    values = exchange.parameters.values
    access = await user_access(_access_token(exchange), exchange.access.oauth)
    exchange.user, exchange.values, exchange.appcode = access, values, access.app.appcode


def _access_token(exchange: Exchange) -> str:
    """QFPay's parameter, also in the other spelling of its documents, or the header of RFC 6750."""
    values = exchange.parameters.values
    kind, _, token = exchange.http.headers.get("authorization", "").partition(" ")
    in_header = token.strip() if kind.lower() == "bearer" else ""
    return values.get("access_token") or values.get("Access_token") or in_header


async def limit_user(exchange: Exchange) -> None:
    """The user is within the deployment's limits of requests: apps do not use up the merchant's. Raises RateLimited."""
    user = known(exchange.user)
    # Counted under a name of its own, which no merchant can have.
    merchant = replace(
        user.merchant, mchid=f"user:{user.user.userid}", max_per_second=None, max_per_minute=None
    )
    await exchange.access.admit(merchant)


# ---- merchant, permissions -------------------------------------------------------------------------------------


async def select_merchant(exchange: Exchange) -> None:
    """The app's merchant that the request names, or the app's only or default one."""
    mchid = fields.mchid(known(exchange.values))
    exchange.merchant = known(exchange.context).merchant_of(mchid)


async def limit_merchant(exchange: Exchange) -> None:
    """The merchant is within its limits of requests. Only verified requests count. Raises RateLimited."""
    await exchange.access.admit(known(exchange.merchant))


async def limit_app(exchange: Exchange) -> None:
    """The app is within the deployment's limits of requests, for calls that select no merchant. Raises RateLimited."""
    appcode = known(exchange.context).app.appcode
    # Counted under a name of its own, which no merchant can have.
    await exchange.access.admit(Merchant(f"app:{appcode}", appcode, "", ""))


async def sign_responses(exchange: Exchange) -> None:
    """From here on the response is signed with the request's key, also if a later step refuses."""
    app, key = known(exchange.context).app, known(exchange.key)
    exchange.signer = app if key is app.key else replace(app, key=key)


async def check_app(exchange: Exchange) -> None:
    """The app is not disabled; for calls that select no merchant."""
    credential_cache.check_app(known(exchange.context).app)


async def check_state(exchange: Exchange) -> None:
    """The merchant is approved, and neither it nor its app is disabled."""
    credential_cache.check_state(known(exchange.context).app, known(exchange.merchant))


async def check_open(exchange: Exchange) -> None:
    """No maintenance window is open."""
    await exchange.access.credentials.check_open()


async def check_grant(exchange: Exchange) -> None:
    """The operator has not denied this operation to the merchant."""
    credential_cache.check_grant(known(exchange.merchant), Operation(exchange.endpoint.call))


async def check_accounts(exchange: Exchange) -> None:
    """The merchant has an account at a wallet. Without one, a payer would have nothing to choose."""
    known(exchange.context).accounts_of(known(exchange.merchant))


# ---- handler ---------------------------------------------------------------------------------------------------


async def call_handler(exchange: Exchange) -> None:
    """What was requested is done."""
    request = AuthenticatedRequest(known(exchange.context), known(exchange.merchant), known(exchange.values))
    exchange.members = await exchange.endpoint.handler(request)


async def call_user_handler(exchange: Exchange) -> None:
    """The same, for a request with an access token."""
    request = UserRequest(known(exchange.user), known(exchange.values))
    exchange.members = await exchange.endpoint.handler(request)


async def call_app_handler(exchange: Exchange) -> None:
    """The same, for an app's request that names no merchant, or one that the handler looks up."""
    files = [
        (each.name.decode("utf-8", "replace"), None if each.is_too_large else each.content)
        for each in exchange.files
    ]
    context = known(exchange.context)
    origin = Origin(
        f"app {context.app.appcode}",
        exchange.peer,
        f"{exchange.http.method} {exchange.endpoint.path}",
        exchange.access.clock.now(),
    )
    request = AppRequest(context, known(exchange.values), origin, files)
    exchange.members = await exchange.endpoint.handler(request)
