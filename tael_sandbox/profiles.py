"""Profiles: how strictly the wallets apply the limits of their documents, and whether magic values work.

The name of the profile is stored in the books and read there each time, so a change applies from the next request on
and survives a restart.
"""

import sqlite3
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from tael_sandbox.books import Books
from tael_sandbox.wallet import ControlError


@dataclass(frozen=True, slots=True)
class Profile:
    name: str
    has_magic: bool = False  #: magic amounts and endings of barcodes work
    is_strict: bool = False  #: every limit of the documents applies
    time_to_refund: timedelta = timedelta(seconds=2)  #: of WeChat Pay's refunds


DEMO: Final = Profile("demo", has_magic=True)
SDK: Final = Profile("sdk")
STRICT: Final = Profile("strict", is_strict=True, time_to_refund=timedelta(minutes=20))
PROFILES: Final = {profile.name: profile for profile in (DEMO, SDK, STRICT)}


def current_profile(connection: sqlite3.Connection) -> Profile:
    row = connection.execute("SELECT name FROM profile").fetchone()
    return DEMO if row is None else PROFILES[row["name"]]


def set_profile(books: Books, name: object) -> Profile:
    """Raises ControlError for an unknown name."""
    if not isinstance(name, str) or name not in PROFILES:
        raise ControlError(f"profile is one of {', '.join(PROFILES)}", "profile")
    with books.transaction() as connection:
        connection.execute("INSERT OR REPLACE INTO profile (id, name) VALUES (1, ?)", (name,))
    return PROFILES[name]
