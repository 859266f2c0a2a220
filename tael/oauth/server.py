"""Authlib's grants over values that were read before, as a synchronous and pure check of one request.

Authlib asks for clients, codes and tokens and saves its results with ordinary calls, which cannot await our store. So a
use case reads what a request names, lets Authlib check the request and make the result, and writes the result
afterwards in a transaction that decides races (docs/decisions/0022-oauth.md). A `Server` serves one request.
"""

import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    InvalidRequestError,
    OAuth2Request,
    UnsupportedResponseTypeError,
    grants,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7636 import CodeChallenge

from tael.base.secret import Secret
from tael.merchants.domain.merchant import App
from tael.oauth.domain.grant import Grant, TokenRow
from tael.oauth.domain.scopes import joined, read_scopes
from tael.oauth.parameters import Parameters

#: Authlib refuses plain HTTP. The gateway checks TAEL_PUBLIC_URL at its start instead.
BASE: Final = "https://gateway"
MISSING_TYPE: Final = "response_type is missing"
#: Stands in for an unknown app: no secret is its own, and the work is the same.
NO_SECRET: Final = Secret("0" * 32)


class Refused(Exception):
    """An error of RFC 6749, with the redirect URI if the browser may be sent there."""

    def __init__(self, error: str, description: str, status: int = 400, redirect_uri: str = "") -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description
        self.status = status
        self.redirect_uri = redirect_uri


def refused(error: OAuth2Error) -> Refused:
    return Refused(
        str(error.error),
        str(error.get_error_description() or ""),
        int(error.status_code),
        str(getattr(error, "redirect_uri", None) or ""),
    )


class Client:
    """An app as Authlib sees it."""

    def __init__(self, app: App | None, now: datetime) -> None:
        self.app = app
        self._keys = app.keys(now) if app else ()

    def get_default_redirect_uri(self) -> str | None:
        uris = self.app.redirect_uris if self.app else ()
        return uris[0] if len(uris) == 1 else None

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """The same text: nothing is normalised."""
        return self.app is not None and redirect_uri in self.app.redirect_uris

    def get_allowed_scope(self, scope: str | None) -> str | None:
        scopes = read_scopes(scope or "")
        return None if scopes is None else joined(scopes)

    def check_client_secret(self, client_secret: str) -> bool:
        """Against as many keys as an app may have, in constant time."""
        keys = (*self._keys, NO_SECRET, NO_SECRET)[:2]
        matches = [hmac.compare_digest(key.reveal().encode(), client_secret.encode()) for key in keys]
        return any(matches[: len(self._keys)])

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return True

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return True


class Code:
    """A code as Authlib sees it."""

    code_challenge_method: Final = "S256"

    def __init__(self, grant: Grant, requested_uri: str) -> None:
        self.grant = grant
        self.code_challenge = grant.code_challenge
        self._requested_uri = requested_uri

    def get_redirect_uri(self) -> str:
        """QFPay's API has no `redirect_uri` here, so it is compared only if it is sent."""
        return self.grant.redirect_uri if self._requested_uri else ""

    def get_scope(self) -> str:
        return joined(self.grant.scopes)


class RefreshToken:
    """A refresh token as Authlib sees it. It has the scopes of its grant."""

    def __init__(self, grant: Grant, token: TokenRow) -> None:
        self.grant = grant
        self.token = token

    def check_client(self, client: Client) -> bool:
        return client.app is not None and client.app.appcode == self.grant.appcode

    def get_scope(self) -> str:
        return joined(self.grant.scopes)


class Request(OAuth2Request):
    """The parameters of one request, with scopes separated by spaces."""

    def __init__(self, method: str, parameters: Parameters, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(method, BASE, headers=dict(headers or {}))
        values = dict(parameters.values)
        scopes = values.get("scope", "").replace(",", " ").split()
        values.pop("scope", None)
        if scopes:
            values["scope"] = " ".join(scopes)
        payload = BasicOAuth2Payload(values)
        payload._datalist = {
            name: [value] * (2 if name in parameters.repeated else 1) for name, value in values.items()
        }
        self.payload = payload

    @property
    def form(self) -> Any:
        return self.payload.data


class Pkce(CodeChallenge):
    """PKCE with S256 only. It is not required, but used to the end if it was begun."""

    DEFAULT_CODE_CHALLENGE_METHOD = "S256"
    SUPPORTED_CODE_CHALLENGE_METHOD: Final = ["S256"]

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        data = grant.request.payload.data
        if data.get("code_challenge") and not data.get("code_challenge_method"):
            raise InvalidRequestError("code_challenge_method must be S256")  # RFC 7636's default is plain
        super().validate_code_challenge(grant, redirect_uri)


class CodeGrant(grants.AuthorizationCodeGrant):
    """The authorization code grant, over what `Server` was given."""

    TOKEN_ENDPOINT_AUTH_METHODS: Final = ["client_secret_basic", "client_secret_post"]

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        grant: Grant | None = self.server.grant
        is_the_apps = grant is not None and client.app is not None and grant.appcode == client.app.appcode
        return Code(grant, self.request.payload.redirect_uri or "") if grant and is_the_apps else None


class RefreshGrant(grants.RefreshTokenGrant):
    """The refresh token grant, over what `Server` was given."""

    TOKEN_ENDPOINT_AUTH_METHODS: Final = ["client_secret_basic", "client_secret_post"]

    def authenticate_refresh_token(self, refresh_token: str) -> RefreshToken | None:
        token: RefreshToken | None = self.server.refresh_token
        return token


class Server(AuthorizationServer):
    """Checks one request of the app `app`, None if it is unknown, with the grant or the token that it names."""

    def __init__(
        self,
        app: App | None,
        now: datetime,
        grant: Grant | None = None,
        refresh_token: RefreshToken | None = None,
    ) -> None:
        super().__init__()
        self.client = Client(app, now)
        self.grant = grant
        self.refresh_token = refresh_token
        self.register_grant(CodeGrant, [Pkce(required=False)])
        self.register_grant(RefreshGrant)

    def query_client(self, client_id: str) -> Client | None:
        return self.client

    def create_oauth2_request(self, request: Request) -> Request:
        return request

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nothing listens."""

    def validate_requested_scope(self, scope: str | None) -> None:
        """`Client.get_allowed_scope` does."""

    def check_authorization(self, request: Request) -> tuple[str, str]:
        """The redirect URI and the scopes of a request for consent. Raises Refused."""
        try:
            consent = self.get_consent_grant(request)
        except UnsupportedResponseTypeError as error:
            if request.payload.response_type:
                raise refused(error) from None
            raise Refused("invalid_request", MISSING_TYPE, 400, str(error.redirect_uri or "")) from None
        except OAuth2Error as error:
            raise refused(error) from None
        return str(consent.redirect_uri), str(request.scope)

    def check_token(self, request: Request) -> Request:
        """The request, with its code or its refresh token checked. Raises Refused."""
        if not request.payload.grant_type:
            raise Refused("invalid_request", "grant_type is missing")
        try:
            self.get_token_grant(request).validate_token_request()
        except OAuth2Error as error:
            raise refused(error) from None
        return request
