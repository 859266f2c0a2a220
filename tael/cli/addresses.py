"""Where a running demo listens, kept in its folder for commands with `--data`. The standard library only."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

FILE: Final = "addresses.json"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Base URLs, without a slash at the end."""

    gateway: str
    sandbox: str


@contextmanager
def kept_addresses(folder: Path, addresses: Addresses) -> Iterator[None]:
    """Keep them while the demo runs; whole or not at all, since somebody may be reading."""
    beside = folder / f"{FILE}.new"
    beside.write_text(json.dumps(asdict(addresses)))
    os.replace(beside, folder / FILE)
    try:
        yield
    finally:
        (folder / FILE).unlink(missing_ok=True)


def addresses_in(folder: Path) -> Addresses | None:
    """Those of the demo on `folder`, which may have been killed since; None if none was kept."""
    try:
        return Addresses(**json.loads((folder / FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None
