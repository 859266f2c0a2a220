"""Profiles: how exactly the wallets keep to their documents, and whether magic values work.

One word that lies in the books. Whatever asks for it reads it there, so a change counts from the next request on
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
    has_magic: bool = False  #: amounts and ends of barcodes ask for answers
    is_strict: bool = False  #: every limit of the documents holds
    time_to_refund: timedelta = timedelta(seconds=2)  #: of WeChat Pay's refunds


DEMO: Final = Profile("demo", has_magic=True)
SDK: Final = Profile("sdk")
STRICT: Final = Profile("strict", is_strict=True, time_to_refund=timedelta(minutes=20))
PROFILES: Final = {profile.name: profile for profile in (DEMO, SDK, STRICT)}


def in_force(connection: sqlite3.Connection) -> Profile:
    row = connection.execute("SELECT name FROM profile").fetchone()
    return DEMO if row is None else PROFILES[row["name"]]


def put_in_force(books: Books, name: object) -> Profile:
    """Raises ControlError for a word that it does not know."""
    if not isinstance(name, str) or name not in PROFILES:
        raise ControlError(f"profile is one of {', '.join(PROFILES)}", "profile")
    with books.transaction() as connection:
        connection.execute("INSERT OR REPLACE INTO profile (id, name) VALUES (1, ?)", (name,))
    return PROFILES[name]
