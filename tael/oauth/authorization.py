"""The authorization endpoint: checks an app's request for consent, and turns a user's consent into a code.

An unknown app and a redirect URI that is not registered are errors without a redirect: the browser is never sent to an
address that the operator has not registered. Every other error is sent to the app.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from tael.base import ids
from tael.merchants.domain.merchant import App
from tael.oauth.context import OAuthContext
from tael.oauth.domain.grant import Grant, digest_of
from tael.oauth.domain.scopes import Scope, read_scopes
from tael.oauth.domain.user import User
from tael.oauth.parameters import BadParameters, Parameters, read
from tael.oauth.server import Refused, Request, Server

ACCESS_DENIED: Final = "access_denied"


@dataclass(frozen=True, slots=True)
class ConsentRequest:
    """A request that is in order, for which the user can be asked."""

    app: App
    redirect_uri: str
    scopes: tuple[Scope, ...]
    state: str
    code_challenge: str


async def check_request(query: bytes, context: OAuthContext) -> ConsentRequest:
    """The request in the address of the endpoint. Raises Refused; its `redirect_uri` has the state already."""
    parameters = _parameters(query)
    app = await context.client(parameters.values.get("client_id", ""))
    state = parameters.values.get("state", "")
    try:
        redirect_uri, scopes = Server(app, context.now()).check_authorization(Request("GET", parameters))
    except Refused as error:
        if not error.redirect_uri:
            raise
        target = error_url(error.redirect_uri, error.error, error.description, state)
        raise Refused(error.error, error.description, error.status, target) from None
    assert app is not None  # only an app has redirect URIs
    challenge = parameters.values.get("code_challenge", "")
    return ConsentRequest(app, redirect_uri, read_scopes(scopes) or (), state, challenge)


def _parameters(query: bytes) -> Parameters:
    try:
        return read(query)
    except BadParameters as error:
        raise Refused("invalid_request", str(error)) from None


async def permit(request: ConsentRequest, user: User, context: OAuthContext) -> str:
    """The user consents: the app's address with a new code, valid for a minute. Raises StoreUnavailable."""
    code = ids.token()
    grant = Grant(
        grant_id=ids.link_id(),
        appcode=request.app.appcode,
        userid=user.userid,
        scopes=request.scopes,
        code_digest=digest_of(code),
        redirect_uri=request.redirect_uri,
        code_challenge=request.code_challenge,
        created_at=context.now(),
    )
    await context.grants.add(grant)
    return _with(request.redirect_uri, {"code": code}, request.state)


def denial_url(request: ConsentRequest) -> str:
    """The app's address after the user has refused."""
    return error_url(request.redirect_uri, ACCESS_DENIED, "the user refused", request.state)


def error_url(redirect_uri: str, error: str, description: str, state: str) -> str:
    return _with(redirect_uri, {"error": error, "error_description": description}, state)


def _with(redirect_uri: str, members: dict[str, str], state: str) -> str:
    """The redirect URI, otherwise unchanged, with these members in its query. It has no fragment."""
    separator = "?" if "?" not in redirect_uri else "" if redirect_uri.endswith(("?", "&")) else "&"
    return f"{redirect_uri}{separator}{urlencode(members | ({'state': state} if state else {}))}"
