"""What the use cases depend on."""

from dataclasses import dataclass, field
from datetime import datetime

from tael.base.clock import Clock
from tael.base.errors import MerchantDisabled, MerchantNotAudited, NotAuthentic
from tael.merchants.credential_cache import AppContext, CredentialCache, check_state
from tael.merchants.domain.merchant import App, Merchant
from tael.oauth.domain.user import User
from tael.oauth.passwords import Passwords
from tael.oauth.store.attempts import Attempts
from tael.oauth.store.grants import Grants
from tael.oauth.store.users import Users


@dataclass(frozen=True, slots=True)
class OAuthContext:
    """Created once per process."""

    users: Users
    grants: Grants
    attempts: Attempts
    credentials: CredentialCache
    clock: Clock
    passwords: Passwords = field(default_factory=Passwords)

    def now(self) -> datetime:
        return self.clock.now()

    async def client(self, appcode: str) -> App | None:
        """The app that OAuth is on for; None also for a disabled one and for one with the published key."""
        try:
            found = await self.credentials.app(appcode)
        except NotAuthentic:
            return None
        app = found.app if found else None
        return app if app is not None and app.redirect_uris and not app.is_disabled else None

    async def merchant_of(self, user: User) -> tuple[AppContext, Merchant] | None:
        """The user's merchant with its own app; None unless all three may work."""
        merchant = await self.credentials.merchant(user.mchid)
        found = await self.credentials.app(merchant.appcode) if merchant else None
        if merchant is None or found is None or user.is_disabled:
            return None
        try:
            check_state(found.app, merchant)
        except (MerchantDisabled, MerchantNotAudited):
            return None
        return found, merchant
