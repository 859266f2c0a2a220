"""What an operator does with apps. Each function returns the app as it is stored.

A gateway in another process follows within `ttl_s` of its cache. A process that passes its own cache follows at once.
"""

from datetime import datetime

from tael.base import ids
from tael.base.secret import Secret
from tael.merchants.credential_cache import CredentialCache
from tael.merchants.domain.changes import AppChanges
from tael.merchants.domain.forms import APP_KEY, APPCODE, check
from tael.merchants.domain.merchant import App
from tael.merchants.store.merchants import Merchants


class NoSuchApp(LookupError):
    """The message names the appcode."""

    def __init__(self, appcode: str) -> None:
        super().__init__(f"no app {appcode}")


def new_app(changes: AppChanges, appcode: str | None = None, key: Secret | None = None) -> App:
    """An app with these settings; an id or a key that is not given is generated. Raises InvalidValue."""
    code = ids.appcode() if appcode is None else check(appcode, APPCODE, "appcode")
    if key is not None:
        check(key.reveal(), APP_KEY, "key")
    return changes.applied_to(App(code, key or Secret(ids.key()), notify_url=None, return_url=None))


async def add_app(merchants: Merchants, app: App, now: datetime) -> App:
    """Raises AlreadyThere; DecryptionFailed if the encryption key is not the one of the apps that are there."""
    await merchants.apps()  # decrypts their keys: a wrong encryption key fails before it is used
    await merchants.add_app(app, now)
    return app


async def change_app(
    merchants: Merchants, appcode: str, changes: AppChanges, credentials: CredentialCache | None = None
) -> App:
    """Change settings; the key stays. Raises NoSuchApp."""
    before = await merchants.app(appcode)
    if before is None:
        raise NoSuchApp(appcode)
    after = changes.applied_to(before)
    await merchants.set_app(after)
    if credentials is not None:
        credentials.forget(appcode)
    return after
