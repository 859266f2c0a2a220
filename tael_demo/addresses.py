"""The addresses of a running demo, kept in its folder for commands with `--data`. Standard library only."""

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
    """Base URLs without a trailing slash."""

    gateway: str
    sandbox: str


@contextmanager
def kept_addresses(folder: Path, addresses: Addresses) -> Iterator[None]:
    """Write the file, and remove it at the end of the block. Written atomically: a command may be reading it."""
    temporary = folder / f"{FILE}.new"
    temporary.write_text(json.dumps(asdict(addresses)))
    os.replace(temporary, folder / FILE)
    try:
        yield
    finally:
        (folder / FILE).unlink(missing_ok=True)


def addresses_in(folder: Path) -> Addresses | None:
    """The addresses in `folder`, or None. The demo may have been killed since it wrote them."""
    try:
        return Addresses(**json.loads((folder / FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None
