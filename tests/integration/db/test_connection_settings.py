"""Settings that every connection has, whatever its purpose."""

from contextlib import AbstractContextManager, nullcontext
from typing import Final

import pytest

from tael.db.database import CITUS, INDEX_PLANS, as_probe, without_lock_waits
from tael.db.pipeline import Statement
from tael.operations.store import Store

SETTINGS: Final = INDEX_PLANS | CITUS
IS_OFF: Final = " AND ".join(f"current_setting('{name}') = 'off'" for name in SETTINGS)


@pytest.mark.parametrize("purpose", [nullcontext, without_lock_waits, as_probe])
async def test_a_connection_of_a_pool_has_them(
    store: Store, purpose: type[AbstractContextManager[None]]
) -> None:
    with purpose():
        (row,) = await store.database.fetch(f"SELECT {IS_OFF} AS are_off")
    assert row["are_off"]


async def test_a_connection_for_pipelines_has_them(store: Store) -> None:
    with without_lock_waits():
        results = await store.database.transact([Statement(f"SELECT 1 WHERE {IS_OFF}")])
    assert results is not None
    assert results[0].texts == ["1"]
