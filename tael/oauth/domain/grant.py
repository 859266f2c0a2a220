"""A grant: what one user has permitted to one app, with the code and the tokens that stand for it.

Codes and tokens are stored as digests only. A grant ends as a whole: with it end its code and all of its tokens.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tael.base.secret import Secret
from tael.oauth.domain.scopes import Scope

CODE_LIFE: Final = timedelta(seconds=60)
#: `expires_in` of QFPay's answers.
ACCESS_LIFE: Final = timedelta(seconds=7200)
#: Since the last refresh.
REFRESH_LIFE: Final = timedelta(days=30)
#: However often it is refreshed; then the user is asked again.
GRANT_LIFE: Final = timedelta(days=180)
#: Of one user for one app. A further one ends the oldest.
MAX_GRANTS: Final = 20
SESSION_LIFE: Final = timedelta(hours=1)
#: Of one user. A further one ends the oldest.
MAX_SESSIONS: Final = 10


def digest_of(token: str) -> str:
    """As stored. A token has at least 122 random bits, so that its digest needs neither a salt nor time."""
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Grant:
    """A row. Its code is valid for a minute and once, for the app, the redirect URI and the PKCE challenge."""

    grant_id: str
    appcode: str
    userid: str
    scopes: tuple[Scope, ...]
    code_digest: str
    redirect_uri: str
    code_challenge: str  #: of PKCE with S256; "" without
    created_at: datetime
    code_used_at: datetime | None = None
    ended_at: datetime | None = None  #: revoked

    @property
    def code_expires_at(self) -> datetime:
        return self.created_at + CODE_LIFE

    @property
    def expires_at(self) -> datetime:
        return self.created_at + GRANT_LIFE


@dataclass(frozen=True, slots=True)
class TokenRow:
    """An access token and the refresh token that was issued with it."""

    access_digest: str
    refresh_digest: str
    grant_id: str
    scopes: tuple[Scope, ...]  #: of the access token
    access_expires_at: datetime
    refresh_expires_at: datetime
    refreshed_at: datetime | None = None  #: the refresh token was used: once more ends the grant


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """What the app gets, once."""

    access_token: Secret
    refresh_token: Secret
    userid: str


def token_row(access: str, refresh: str, grant: Grant, scopes: tuple[Scope, ...], now: datetime) -> TokenRow:
    """The row of a pair that is issued now. No token outlives its grant."""
    return TokenRow(
        digest_of(access),
        digest_of(refresh),
        grant.grant_id,
        scopes,
        min(now + ACCESS_LIFE, grant.expires_at),
        min(now + REFRESH_LIFE, grant.expires_at),
    )
