"""The token endpoint: a code, or a refresh token, becomes a pair of tokens.

The request is read and checked first; then the pair is written in the transaction that uses up the code or the refresh
token. A second use of either ends the grant with all of its tokens: one of the two users of it has stolen it.
"""

import base64
import binascii
from collections.abc import Mapping
from urllib.parse import unquote

from tael.base import ids
from tael.base.secret import Secret
from tael.merchants.domain.merchant import App
from tael.oauth.context import OAuthContext
from tael.oauth.domain.grant import Grant, IssuedTokens, TokenRow, digest_of, token_row
from tael.oauth.domain.scopes import Scope, read_scopes
from tael.oauth.parameters import BadParameters, Parameters, read_once
from tael.oauth.server import RefreshToken, Refused, Request, Server


def read_token_request(body: bytes, authorization: str) -> tuple[Mapping[str, str], str]:
    """The parameters of a form, and the appcode of the client. Raises Refused."""
    try:
        values = read_once(body)
    except BadParameters as error:
        raise Refused("invalid_request", str(error)) from None
    in_header = _client_in(authorization)
    in_body = values.get("client_id", "")
    if in_header and ("client_secret" in values or in_body not in ("", in_header)):
        raise Refused("invalid_request", "the client authenticates in two ways")
    return values, in_header or in_body


async def new_tokens(
    values: Mapping[str, str], authorization: str, app: App | None, context: OAuthContext
) -> IssuedTokens:
    """New tokens for `app`, None if the request's app is unknown. Raises Refused, StoreUnavailable."""
    request = Request("POST", Parameters(values, frozenset()), {"Authorization": authorization})
    if values.get("grant_type") == "refresh_token":
        return await _refresh(request, app, context)
    return await _redeem(request, app, context)


async def _redeem(request: Request, app: App | None, context: OAuthContext) -> IssuedTokens:
    code, now = request.payload.data.get("code", ""), context.now()
    grant = await context.grants.by_code(digest_of(code)) if code else None
    Server(app, now, grant=grant).check_token(request)
    assert grant is not None  # Authlib has refused a missing one
    if grant.code_used_at is None and now >= grant.code_expires_at:
        raise _invalid_grant("the code has expired")
    tokens = _Pair(context)
    used = await context.grants.use_code(grant.grant_id, now, lambda owner: tokens.row(owner, owner.scopes))
    if used is None:
        raise _invalid_grant("the code was used before, or the permission has ended")
    return await tokens.issued_to(used)


async def _refresh(request: Request, app: App | None, context: OAuthContext) -> IssuedTokens:
    refresh, now = request.payload.data.get("refresh_token", ""), context.now()
    found = await context.grants.by_refresh(digest_of(refresh)) if refresh else None
    Server(app, now, refresh_token=RefreshToken(*found) if found else None).check_token(request)
    assert found is not None  # Authlib has refused a missing one
    grant, token = found
    scopes = _scopes(request, grant)
    if now >= token.refresh_expires_at:
        raise _invalid_grant("the refresh token has expired")
    tokens = _Pair(context)
    used = await context.grants.use_refresh(
        token.refresh_digest, grant.grant_id, now, lambda owner: tokens.row(owner, scopes)
    )
    if used is None:
        raise _invalid_grant("the refresh token was used before, or the permission has ended")
    return await tokens.issued_to(used)


class _Pair:
    """A new pair of tokens, for the grant that gets it."""

    def __init__(self, context: OAuthContext) -> None:
        self._context = context
        self._access, self._refresh = Secret(ids.token()), Secret(ids.token())

    def row(self, grant: Grant, scopes: tuple[Scope, ...]) -> TokenRow:
        access, refresh = self._access.reveal(), self._refresh.reveal()
        return token_row(access, refresh, grant, scopes, self._context.now())

    async def issued_to(self, grant: Grant) -> IssuedTokens:
        """The pair, unless the user or the merchant was disabled: then the grant ends. Raises Refused."""
        user = await self._context.users.by_id(grant.userid)
        if user is None or await self._context.merchant_of(user) is None:
            await self._context.grants.end(grant.grant_id, self._context.now())
            raise _invalid_grant("the user may not sign in any more")
        return IssuedTokens(self._access, self._refresh, grant.userid)


def _scopes(request: Request, grant: Grant) -> tuple[Scope, ...]:
    """Those that are asked for, which Authlib has found in the grant; all of them if none is."""
    asked = request.payload.scope
    return read_scopes(asked) or () if asked else grant.scopes


def _invalid_grant(description: str) -> Refused:
    return Refused("invalid_grant", description)


def _client_in(authorization: str) -> str:
    """The appcode of a Basic header; "" without one. Raises Refused."""
    kind, _, credentials = authorization.partition(" ")
    if kind.lower() != "basic":
        return ""
    try:
        text = base64.b64decode(credentials.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise Refused("invalid_request", "the Authorization header is not Basic") from None
    return unquote(text.partition(":")[0])
