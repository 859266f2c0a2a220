"""For how long a process uses settings that another process has changed is a setting."""

from dataclasses import replace

import pytest

from tael.base.errors import UnderMaintenance
from tael.merchants.credential_cache import CredentialCache
from tael.operations.store import Store
from tests.support.values import ORIGIN, an_app

BEFORE = replace(an_app("CACHED"), notify_url="https://before.example/")
AFTER = replace(BEFORE, notify_url="https://after.example/")


def cache_of(store: Store, ttl_s: float) -> CredentialCache:
    return CredentialCache(store.merchants, store.accounts, store.maintenance_windows, ttl_s=ttl_s)


async def seen_after_a_change(credentials: CredentialCache, store: Store) -> str | None:
    """The URL in `credentials` after a change of an app that it has read before."""
    await store.merchants.add_app(BEFORE, ORIGIN)
    known = await credentials.app(BEFORE.appcode)
    assert known is not None
    assert known.app == BEFORE
    await store.merchants.change_app(BEFORE.appcode, lambda _: AFTER, ORIGIN)
    known = await credentials.app(BEFORE.appcode)
    assert known is not None
    return known.app.notify_url


@pytest.mark.parametrize(("lifetime_s", "expected"), [(0.0, AFTER.notify_url), (60.0, BEFORE.notify_url)])
async def test_settings_are_used_for_the_lifetime_of_the_cache(
    store: Store, lifetime_s: float, expected: str
) -> None:
    assert await seen_after_a_change(cache_of(store, lifetime_s), store) == expected


async def test_a_cache_without_a_lifetime_reads_the_maintenance_window_each_time(store: Store) -> None:
    credentials = cache_of(store, 0.0)
    await credentials.check_open()
    await store.maintenance_windows.begin("new disks", ORIGIN)
    with pytest.raises(UnderMaintenance):
        await credentials.check_open()
