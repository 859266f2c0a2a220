"""`tael demo --fresh`: throws away what earlier demos kept in their folder, and nothing that is not a demo's.

The folder is held against any start meanwhile, and everything that could refuse does so before the first file goes.
"""

import os
import shutil
from pathlib import Path
from typing import Final

from tael.cli.addresses import FILE as ADDRESSES
from tael.cli.addresses import addresses_in
from tael.cli.finding import CLOCK, EXTERNAL_DATABASE, SEAL_KEY
from tael.cli.rig import DemoRefused, Place, answers, refuse_taken_ports
from tael.cli.shop import URLS_FILE
from tael.store.embedded import LOCK_FILE, emptied

POSTGRES: Final = "postgres"
SANDBOX: Final = "sandbox"
#: Made by every sandbox at its first start, and named like nothing else.
SANDBOX_MARK: Final = "shops.json"
#: All that a demo makes in its folder, beside the database; whatever else lies there stays.
MADE: Final = frozenset(
    (
        *(SANDBOX, "shop", "logs"),
        *(ADDRESSES, f"{ADDRESSES}.new", CLOCK, EXTERNAL_DATABASE, SEAL_KEY, URLS_FILE, "wechat_ca.pem"),
    )
)


def throw_away(place: Place) -> None:
    """Payments, wallets' books, shop, clock, keys and logs. Raises DemoRefused, EmbeddedPostgresError, OSError."""
    if os.environ.get("TAEL_DATABASE_URL"):
        raise DemoRefused(
            "--fresh throws away only what the demo keeps itself, and TAEL_DATABASE_URL names another database"
        )
    if not place.data.is_dir() or not any(place.data.iterdir()):
        return
    if not _is_demos(place.data):
        raise DemoRefused(f"{place.data} is no demo's folder, so --fresh throws nothing away there")
    _refuse_running(place.data)
    with emptied(place.data):
        refuse_taken_ports(place)
        for name in MADE:
            _remove(place.data / name)


def _is_demos(folder: Path) -> bool:
    """One where a sandbox was started; or one where a first start failed before that, and nobody else left a thing."""
    if (folder / SANDBOX / SANDBOX_MARK).exists() and (folder / "logs").is_dir():
        return True
    if (folder / POSTGRES / LOCK_FILE).exists():
        return {path.name for path in folder.iterdir()} <= MADE | {POSTGRES}
    return [*folder.rglob("*")] == [folder / "logs"]


def _refuse_running(folder: Path) -> None:
    """One on a database of its own does not hold the lock that `emptied` asks for."""
    addresses = addresses_in(folder) if (folder / EXTERNAL_DATABASE).exists() else None
    if addresses is not None and answers(f"{addresses.sandbox}/control/clock"):
        raise DemoRefused(
            f"{folder} is in use: another tael runs on it. Stop that one, or name another folder."
        )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
