"""What a fresh instance's database holds: the schema, and the demo's apps with their merchants and accounts.

Apart from `template.py`, which must start other programs before it may take the time to import all this.
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
from tael.cli.seed import PLANS, DemoApp, seed
from tael.db.database import Database
from tael.db.migrate import migrate
from tael.operations.store import store_over
from tael.testing.template import APPS, CA_FILE, CLOCK, ENCRYPTION_KEY

ENCRYPTION_KEY_BYTES = 32


def sow(folder: Path, database_url: str, accounts: Callable[[], list[dict[str, Any]]]) -> None:
    """Fill the database; `accounts` waits for those that the wallets know."""
    migrate(database_url)
    encryption_key = secrets.token_bytes(ENCRYPTION_KEY_BYTES)
    descriptor = os.open(folder / ENCRYPTION_KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(base64.b64encode(encryption_key).decode())
    known = accounts()
    (folder / CA_FILE).write_text(next(row["ca_pem"] for row in known if row["wallet"] == "wechat"))
    apps = asyncio.run(_seed(database_url, encryption_key, known, DemoClock(folder / CLOCK)))
    (folder / APPS).write_text(json.dumps([_row(one, at) for at, one in enumerate(apps)]))


async def _seed(
    database_url: str, encryption_key: bytes, accounts: list[dict[str, Any]], clock: DemoClock
) -> list[DemoApp]:
    async with Database(database_url) as database:
        return await seed(store_over(database, Cipher(encryption_key), 0), accounts, clock.now())


def _row(one: DemoApp, at: int) -> dict[str, Any]:
    return {
        "appcode": one.app.appcode,
        "key": one.app.key.reveal(),
        "mchid": one.mchids[0],
        "mchids": one.mchids,
        "shops": [label for label, _ in PLANS[at].shops],
        "webhook_style": one.app.webhook_style,
        "sha256_only": one.app.sha256_only,
    }
