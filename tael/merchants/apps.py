"""What an operator does with apps. Each function returns the app as it is stored.

A gateway in another process follows within `ttl_s` of its cache. A process that passes its own cache follows at once.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from tael.audit_log.domain.entry import Origin
from tael.base import ids
from tael.base.secret import Secret
from tael.merchants.credential_cache import CredentialCache
from tael.merchants.domain.changes import AppChanges
from tael.merchants.domain.forms import APP_KEY, APPCODE, check
from tael.merchants.domain.merchant import App, PreviousKey
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


async def add_app(merchants: Merchants, app: App, origin: Origin) -> App:
    """Raises AlreadyThere; DecryptionFailed if the encryption key is not the one of the apps that are there."""
    await merchants.apps()  # decrypts their keys: a wrong encryption key fails before it is used
    await merchants.add_app(app, origin)
    return app


class OverlapLasts(ValueError):
    """The overlap of an earlier rotation has not ended. The message names its end."""

    def __init__(self, until: datetime) -> None:
        super().__init__(f"the key before is accepted until {until.isoformat()}; end that overlap first")


async def rotate_key(
    merchants: Merchants,
    appcode: str,
    key: Secret,
    origin: Origin,
    overlap: timedelta,
    credentials: CredentialCache | None = None,
) -> App:
    """Make `key` the app's, and accept the one before until the end of `overlap`. Raises NoSuchApp, OverlapLasts.

    Without an overlap, that of an earlier rotation ends too.
    """

    def rotated(app: App) -> App:
        if overlap and len(app.keys(origin.at)) > 1 and app.previous_key is not None:
            raise OverlapLasts(app.previous_key.until)
        return replace(app, key=key, previous_key=PreviousKey(app.key, origin.at + overlap))

    return _known(await merchants.change_app(appcode, rotated, origin), appcode, credentials)


async def end_overlap(
    merchants: Merchants, appcode: str, origin: Origin, credentials: CredentialCache | None = None
) -> App:
    """Accept the app's current key only. Raises NoSuchApp."""

    def ended(app: App) -> App:
        if len(app.keys(origin.at)) == 1 or app.previous_key is None:
            return app
        return replace(app, previous_key=replace(app.previous_key, until=origin.at))

    return _known(await merchants.change_app(appcode, ended, origin), appcode, credentials)


async def disable_app(
    merchants: Merchants,
    appcode: str,
    is_disabled: bool,
    origin: Origin,
    credentials: CredentialCache | None = None,
) -> App:
    """Stop the app's merchants from taking payments, or permit it again. Open orders continue. Raises NoSuchApp."""
    changed = await merchants.change_app(appcode, lambda app: replace(app, is_disabled=is_disabled), origin)
    return _known(changed, appcode, credentials)


def _known(app: App | None, appcode: str, credentials: CredentialCache | None) -> App:
    if app is None:
        raise NoSuchApp(appcode)
    if credentials is not None:
        credentials.forget(appcode)
    return app


async def change_app(
    merchants: Merchants,
    appcode: str,
    changes: AppChanges,
    origin: Origin,
    credentials: CredentialCache | None = None,
) -> App:
    """Change settings; the key stays. Raises NoSuchApp."""
    return _known(await merchants.change_app(appcode, changes.applied_to, origin), appcode, credentials)
