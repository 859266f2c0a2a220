"""What an operator does with apps, merchants, maintenance and webhooks, as a console or a command calls it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from tael.base.cipher import Cipher, DecryptionFailed
from tael.base.errors import UnderMaintenance
from tael.base.key_ring import key_ring
from tael.base.secret import Secret
from tael.db.cells import Cells
from tael.merchants.apps import NoSuchApp, OverlapLasts, add_app, change_app, new_app, rotate_key
from tael.merchants.credential_cache import CredentialCache
from tael.merchants.domain.changes import AppChanges, MerchantChanges
from tael.merchants.domain.forms import InvalidValue
from tael.merchants.domain.maintenance import MaintenanceWindow
from tael.merchants.domain.merchant import App, MerchantState, UnmatchedPolicy
from tael.merchants.maintenance import begin_maintenance, current_maintenance, end_maintenance
from tael.merchants.merchants import (
    NoSuchMerchant,
    add_merchant,
    change_merchant,
    find_merchants,
    new_merchant,
)
from tael.merchants.store.merchants import AlreadyThere
from tael.operations.store import Store
from tael.stores import stores_over
from tael.webhooks.domain.webhook import WebhookKind, WebhookState
from tael.webhooks.resending import NoSuchWebhook, resend_exhausted, resend_webhooks
from tael.webhooks.store.webhooks import NotificationStatus
from tests.integration.cli.test_cli_webhooks import EXHAUSTED, OTHER, PAID, seed_webhooks
from tests.support.store import entered_store
from tests.support.values import APPCODE, MCHID, NOW, ORIGIN, a_merchant, an_app, origin_at

URL = "https://shop.example/notify"
LATER = NOW + timedelta(days=3)


@pytest.fixture
def credentials(store: Store) -> CredentialCache:
    """A cache that keeps what it has read longer than any test runs."""
    return CredentialCache(store.merchants, store.accounts, store.maintenance_windows, ttl_s=600)


# ---- apps ----------------------------------------------------------------------------------------------------------


async def test_an_added_app_is_returned_as_it_is_stored(store: Store) -> None:
    app = await add_app(store.merchants, new_app(AppChanges(notify_url=URL), "SHOP2"), ORIGIN)
    stored = await store.merchants.app("SHOP2")
    assert stored is not None
    assert stored.key.reveal() == app.key.reveal()
    assert replace(stored, key=app.key) == app
    with pytest.raises(AlreadyThere, match="app SHOP2 exists"):
        await add_app(store.merchants, new_app(AppChanges(), "SHOP2"), ORIGIN)


async def test_no_app_is_added_under_another_encryption_key(store: Store, database_url: str) -> None:
    async with Cells(database_url) as cells:
        other = stores_over(cells, Cipher(key_ring(bytes(32))), 0).first
        with pytest.raises(DecryptionFailed):
            await add_app(other.merchants, new_app(AppChanges(), "SHOP2"), ORIGIN)
    assert await store.merchants.app("SHOP2") is None


async def test_a_change_of_an_app_is_stored_and_keeps_the_key(store: Store) -> None:
    changed = await change_app(store.merchants, APPCODE, AppChanges(notify_url=URL, sha256_only=True), ORIGIN)
    stored = await store.merchants.app(APPCODE)
    assert stored is not None
    assert stored.key.reveal() == an_app().key.reveal()
    assert (stored.notify_url, stored.sha256_only) == (URL, True)
    assert (changed.notify_url, changed.sha256_only) == (URL, True)
    with pytest.raises(NoSuchApp, match=r"^no app NONE$"):
        await change_app(store.merchants, "NONE", AppChanges(), ORIGIN)


async def test_a_process_that_passes_its_cache_uses_the_change_at_once(
    store: Store, credentials: CredentialCache
) -> None:
    async def seen() -> str | None:
        known = await credentials.app(APPCODE)
        assert known is not None
        return known.app.notify_url

    assert await seen() is None
    await change_app(store.merchants, APPCODE, AppChanges(notify_url=URL), ORIGIN)
    assert await seen() is None  # changed without the cache, as another process does
    await change_app(store.merchants, APPCODE, AppChanges(notify_url=f"{URL}2"), ORIGIN, credentials)
    assert await seen() == f"{URL}2"


# ---- merchants -----------------------------------------------------------------------------------------------------


async def test_a_merchant_is_added_to_an_app_once(store: Store, credentials: CredentialCache) -> None:
    known = await credentials.app(APPCODE)
    assert known is not None
    merchant = new_merchant(APPCODE, "Tea", "HKD", mchid="tea2")
    assert await add_merchant(store.merchants, merchant, ORIGIN, credentials) == merchant
    known = await credentials.app(APPCODE)
    assert known is not None
    assert known.merchants["tea2"] == merchant
    with pytest.raises(AlreadyThere, match="merchant tea2 exists"):
        await add_merchant(store.merchants, merchant, ORIGIN)
    with pytest.raises(LookupError, match=r"^no app NONE$"):
        await add_merchant(store.merchants, new_merchant("NONE", "Tea", "HKD"), ORIGIN)


async def test_a_change_of_a_merchant_is_stored_and_seen_at_once(
    store: Store, credentials: CredentialCache
) -> None:
    await credentials.app(APPCODE)
    before = await credentials.merchant(MCHID)
    assert before is not None
    assert before.unmatched_payments is UnmatchedPolicy.RETURN
    hold = UnmatchedPolicy.HOLD
    changes = MerchantChanges(MerchantState.DISABLED, max_amount_minor=500, unmatched_payments=hold)
    expected = a_merchant(state=MerchantState.DISABLED, max_amount_minor=500, unmatched_payments=hold)
    assert await change_merchant(store.merchants, MCHID, changes, ORIGIN, credentials) == expected
    assert await store.merchants.merchant(MCHID) == expected
    known = await credentials.app(APPCODE)
    assert known is not None
    assert known.merchants[MCHID] == expected
    assert await credentials.merchant(MCHID) == expected
    with pytest.raises(NoSuchMerchant, match=r"^no merchant none$"):
        await change_merchant(store.merchants, "none", changes, ORIGIN)


async def test_merchants_are_found_by_their_app(store: Store) -> None:
    await store.merchants.add_app(an_app("EMPTY"), ORIGIN)
    only = a_merchant(unmatched_payments=UnmatchedPolicy.RETURN)
    assert list(await find_merchants(store.merchants, None)) == [only]
    assert list(await find_merchants(store.merchants, APPCODE)) == [only]
    assert list(await find_merchants(store.merchants, "EMPTY")) == []
    with pytest.raises(NoSuchApp, match=r"^no app NONE$"):
        await find_merchants(store.merchants, "NONE")


# ---- maintenance ---------------------------------------------------------------------------------------------------


async def test_a_maintenance_window_begins_changes_its_reason_and_ends(
    store: Store, credentials: CredentialCache
) -> None:
    windows = store.maintenance_windows
    assert await current_maintenance(windows) is None
    assert await begin_maintenance(windows, "", ORIGIN) == MaintenanceWindow("", NOW)
    with pytest.raises(UnderMaintenance):
        await credentials.check_open()
    assert await begin_maintenance(windows, "new disks", origin_at(LATER)) == MaintenanceWindow(
        "new disks", NOW
    )
    assert await current_maintenance(windows) == MaintenanceWindow("new disks", NOW)
    await end_maintenance(windows, ORIGIN)
    assert await current_maintenance(windows) is None


async def test_a_reason_that_a_response_cannot_carry_opens_no_window(store: Store) -> None:
    for reason in ("two\nlines", "ä", "x" * 201):
        with pytest.raises(InvalidValue, match=r"^reason: must be one line"):
            await begin_maintenance(store.maintenance_windows, reason, ORIGIN)
    assert await current_maintenance(store.maintenance_windows) is None


# ---- webhooks ------------------------------------------------------------------------------------------------------


@pytest.fixture
async def webhooks(database_url: str) -> AsyncIterator[Store]:
    """A store with the webhooks of the command's tests."""
    async with entered_store(database_url) as entered:
        await seed_webhooks(entered)
        yield entered


def due(resent: list[NotificationStatus]) -> dict[str, str]:
    assert {row.state for row in resent} <= {WebhookState.DUE}
    return {row.cause: row.kind for row in resent}


async def test_a_webhook_is_resent_in_any_state_by_its_syssn(webhooks: Store) -> None:
    assert due(await resend_webhooks(webhooks.webhooks, PAID, None, origin_at(LATER))) == {
        PAID: WebhookKind.PAYMENT
    }
    assert due(
        await resend_webhooks(webhooks.webhooks, EXHAUSTED, WebhookKind.PAYMENT, origin_at(LATER))
    ) == {EXHAUSTED: WebhookKind.PAYMENT}
    with pytest.raises(NoSuchWebhook, match=r"^no webhook for 1$"):
        await resend_webhooks(webhooks.webhooks, "1", None, origin_at(LATER))
    with pytest.raises(NoSuchWebhook):
        await resend_webhooks(webhooks.webhooks, PAID, WebhookKind.REFUND, origin_at(LATER))


async def test_exhausted_webhooks_are_resent_for_one_app_or_for_all(webhooks: Store) -> None:
    assert set(due(await resend_exhausted(webhooks.webhooks, "app2", origin_at(LATER)))) == {OTHER}
    assert set(due(await resend_exhausted(webhooks.webhooks, None, origin_at(LATER)))) == {EXHAUSTED}
    assert await resend_exhausted(webhooks.webhooks, None, origin_at(LATER)) == []


async def test_of_two_rotations_at_once_one_is_refused(store: Store) -> None:
    await store.merchants.add_app(an_app("SHOP"), ORIGIN)
    keys = [Secret(letter * 16) for letter in "ab"]
    done = await asyncio.gather(
        *(rotate_key(store.merchants, "SHOP", key, ORIGIN, timedelta(hours=1)) for key in keys),
        return_exceptions=True,
    )
    assert {type(each) for each in done} == {App, OverlapLasts}
    (made,) = [each for each in done if isinstance(each, App)]
    assert await store.merchants.app("SHOP") == made


async def test_a_merchant_of_an_unknown_cell_or_app_is_not_added(store: Store) -> None:
    for merchant, reason in (
        (a_merchant("m7", cell=7), "no cell 7"),
        (a_merchant("m7", "none"), "no app none"),
    ):
        with pytest.raises(LookupError, match=reason):
            await add_merchant(store.merchants, merchant, ORIGIN)
    assert await store.merchants.merchant("m7") is None
