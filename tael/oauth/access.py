"""What an access token permits: reading the user's own data and, with another scope, the merchant's payments."""

from dataclasses import dataclass

from tael.base.errors import MerchantDisabled, NotAuthentic, OperationDenied
from tael.merchants.domain.merchant import App, Merchant
from tael.oauth.context import OAuthContext
from tael.oauth.domain.grant import digest_of
from tael.oauth.domain.scopes import Scope
from tael.oauth.domain.user import User

NOT_VALID = "the access token is unknown, expired or revoked"


@dataclass(frozen=True, slots=True)
class UserAccess:
    """A user for whom an app reads, with the user's merchant."""

    app: App  #: the one that has the token
    user: User
    merchant: Merchant
    scopes: tuple[Scope, ...]

    def check_scope(self, scope: Scope) -> None:
        """Raises OperationDenied."""
        if scope not in self.scopes:
            raise OperationDenied(f"the user has not permitted the scope {scope}")


async def user_access(access_token: str, context: OAuthContext) -> UserAccess:
    """Raises NotAuthentic, MerchantDisabled if app, user or merchant are disabled, StoreUnavailable."""
    found = await context.grants.by_access(digest_of(access_token)) if access_token else None
    if found is None or found[0].ended_at is not None or context.now() >= found[1].access_expires_at:
        raise NotAuthentic(NOT_VALID)
    grant, token = found
    app, user = await context.client(grant.appcode), await context.users.by_id(grant.userid)
    owner = await context.merchant_of(user) if user else None
    if app is None or user is None or owner is None:
        raise MerchantDisabled("the app, the user or the merchant is disabled")
    return UserAccess(app, user, owner[1], token.scopes)
