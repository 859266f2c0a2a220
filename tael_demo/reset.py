"""`tael demo --fresh`: deletes the data of earlier demos in their folder, and no other files.

The folder is locked against a start meanwhile. Every check comes before the first deletion.
"""

from pathlib import Path
from typing import Final

from tael.base.ids import DOCUMENT_ID_LENGTH
from tael.cli.demo_folder import (
    CLOCK,
    DOCUMENTS,
    ENCRYPTION_KEY,
    EXTERNAL_DATABASE,
    LOCK_FILE,
    POSTGRES,
    WALLETS,
)
from tael_demo.addresses import FILE as ADDRESSES
from tael_demo.addresses import addresses_in
from tael_demo.embedded.server import emptied
from tael_demo.shop import URLS_FILE
from tael_demo.stack import DemoPaths, DemoRefused, answers, refuse_taken_ports

#: Created by every sandbox at its first start; the name is unique to it.
SANDBOX_MARK: Final = "sandbox/shops.json"
SQLITE: Final = ("", "-wal", "-shm", "-journal")
#: All files that a demo creates in its folder, besides the database. Each is named: the folder may belong to a project
#: that has a `shop` or `logs` of its own.
MADE: Final = (
    *(
        ADDRESSES,
        f"{ADDRESSES}.new",
        CLOCK,
        EXTERNAL_DATABASE,
        ENCRYPTION_KEY,
        f"{ENCRYPTION_KEY}.new",
        URLS_FILE,
        WALLETS,
        "wechat_ca.pem",
    ),
    *(SANDBOX_MARK, f"{SANDBOX_MARK}.new", *(f"sandbox/sandbox.sqlite{end}" for end in SQLITE)),
    *(
        f"sandbox/certificates/{of}.{what}.{end}"
        for of in ("ca", "server", "client-*")
        for what in ("cert", "key")
        for end in ("pem", "draft")
    ),
    *(f"sandbox/certificates/client-*.{end}" for end in ("p12", "draft")),
    *(f"shop/shop.sqlite{end}" for end in SQLITE),
    *(f"{DOCUMENTS}/{'[A-Za-z0-9]' * DOCUMENT_ID_LENGTH}{end}" for end in ("", ".part")),
    *(f"logs/{of}.log" for of in ("api-[0-9]", "sandbox", "shop", "worker")),
)
#: Inner folders first. A folder with other files in it stays.
FOLDERS: Final = ("sandbox/certificates", "sandbox", "shop", DOCUMENTS, "logs")


def throw_away(paths: DemoPaths) -> None:
    """Delete database, wallets, shop, clock, keys and logs. Raises DemoRefused, EmbeddedPostgresError, OSError."""
    if paths.database_url:
        raise DemoRefused(
            "--fresh deletes only the demo's own database; it cannot be used with --database-url"
        )
    if not paths.data.is_dir() or not any(paths.data.iterdir()):
        return
    if not _is_demos(paths.data):
        raise DemoRefused(f"{paths.data} is not the folder of a demo; --fresh deletes nothing there")
    _refuse_running(paths.data)
    with emptied(paths.data):
        refuse_taken_ports(paths)
        for pattern in MADE:
            for file in paths.data.glob(pattern):
                file.unlink()
        for name in FOLDERS:
            _remove_if_empty(paths.data / name)


def close_to_others(folder: Path) -> None:
    """Make the files of earlier demos readable by their owner only."""
    for pattern in MADE:
        for file in folder.glob(pattern):
            if file.is_file() and not file.is_symlink():
                file.chmod(0o600)


def _is_demos(folder: Path) -> bool:
    """Whether a sandbox was started there, or a first start failed before that and the folder has no other files."""
    if (folder / SANDBOX_MARK).exists() and (folder / "logs").is_dir():
        return True
    names = {path.name for path in folder.iterdir()}
    if (folder / POSTGRES / LOCK_FILE).exists():
        return names <= {POSTGRES, *(pattern.partition("/")[0] for pattern in MADE)}
    return names == {"logs"} and _is_empty(folder / "logs")


def _refuse_running(folder: Path) -> None:
    """Raises DemoRefused. A demo with --database-url does not hold the lock that `emptied` takes."""
    addresses = addresses_in(folder) if (folder / EXTERNAL_DATABASE).exists() else None
    if addresses is not None and answers(f"{addresses.sandbox}/control/clock"):
        raise DemoRefused(f"{folder} is in use: another tael runs on it. Stop it, or name another folder.")


def _remove_if_empty(path: Path) -> None:
    if not path.is_symlink() and _is_empty(path):
        path.rmdir()


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())
