"""The apps of a demo, in a folder of an older version and among apps of the user."""

import pytest

from tael.base.secret import Secret
from tael.merchants.domain.merchant import App, Merchant
from tael_demo import seed as seeding
from tael_demo.seed import PLANS, seed
from tests.support.store import entered_store
from tests.support.values import NOW, ORIGIN


async def test_an_app_that_an_older_version_had_not_is_added_and_the_user_s_own_is_left(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with entered_store(database_url) as store:
        monkeypatch.setattr(seeding, "PLANS", PLANS[:4])
        old = await seed(store, [], NOW)
        mine = App(appcode="MINE", key=Secret("k" * 16), notify_url=None, return_url=None)
        await store.merchants.add_app(mine, ORIGIN)
        await store.merchants.add_merchant(Merchant("mine", "MINE", "Harbour Tea", "HKD"), ORIGIN)
        monkeypatch.setattr(seeding, "PLANS", PLANS)

        apps = await seed(store, [], NOW)
        again = await seed(store, [], NOW)

    assert apps[:4] == old
    assert [len(app.mchids) for app in apps] == [1, 1, 2, 1, 10]
    assert "MINE" not in [app.app.appcode for app in apps]
    assert again == apps


async def test_the_published_app_is_the_oldest(database_url: str) -> None:
    async with entered_store(database_url) as store:
        apps = await seed(store, [], NOW)
        stored = await store.merchants.apps()
    assert apps[0].app.appcode == "123456"
    assert [app.app for app in apps] == list(stored)
