"""The initial database of an instance: the schema, and the demo's apps with their merchants and accounts.

Separate from `template.py`, which starts the child processes before these expensive imports.
"""

import asyncio
import base64
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tael.base.cipher import Cipher
from tael.base.clock import DemoClock
from tael.base.key_ring import key_ring
from tael.cli.demo_folder import CLOCK, ENCRYPTION_KEY
from tael.db.cells import Cells
from tael.stores import stores_over
from tael_demo.cells import migrate_cells
from tael_demo.seed import PLANS, DemoApp, seed
from tael_demo.testing.template import APPS, CA_FILE

ENCRYPTION_KEY_BYTES = 32


def seed_database(
    folder: Path, database_url: str, accounts: Callable[[], list[dict[str, Any]]], cells: int
) -> None:
    """Migrate and fill the database. `accounts` waits for the sandbox and returns its accounts."""
    migrate_cells(database_url, cells)
    encryption_key = secrets.token_bytes(ENCRYPTION_KEY_BYTES)
    descriptor = os.open(folder / ENCRYPTION_KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(base64.b64encode(encryption_key).decode())
    known = accounts()
    (folder / CA_FILE).write_text(next(row["ca_pem"] for row in known if row["wallet"] == "wechat"))
    apps = asyncio.run(_seed(database_url, encryption_key, known, DemoClock(folder / CLOCK)))
    (folder / APPS).write_text(json.dumps([_row(demo_app, index) for index, demo_app in enumerate(apps)]))


async def _seed(
    database_url: str, encryption_key: bytes, accounts: list[dict[str, Any]], clock: DemoClock
) -> list[DemoApp]:
    async with Cells(database_url) as cells:
        stores = stores_over(cells, Cipher(key_ring(encryption_key)), 0)
        return await seed(stores.first, accounts, clock.now())


def _row(demo_app: DemoApp, index: int) -> dict[str, Any]:
    return {
        "appcode": demo_app.app.appcode,
        "key": demo_app.app.key.reveal(),
        "mchid": demo_app.mchids[0],
        "mchids": demo_app.mchids,
        "shops": [shop.label for shop in PLANS[index].shops],
        "webhook_style": demo_app.app.webhook_style,
        "sha256_only": demo_app.app.sha256_only,
    }
