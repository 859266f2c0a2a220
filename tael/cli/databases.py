"""Why a database is unusable, in one sentence."""

from typing import Final

import psycopg
from yoyo.connections import BadConnectionURI

#: Raised by `migrate` and by the demo's checks if the database is unusable.
UNUSABLE_DATABASE: Final = (psycopg.Error, BadConnectionURI, ValueError)
MAX_REASON_CHARS: Final = 200


def why_unusable(error: Exception) -> str:
    """One sentence, without any part of the URL: it may be a password."""
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return (
            f"the role of the database URL lacks a privilege: {error.diag.message_primary}; connect as the owner of "
            "the database and of its tables, or as a member of tael_migrate once it owns them"
        )
    if isinstance(error, psycopg.DatabaseError) and error.diag.message_primary is not None:
        return f"the database refused it: {error.diag.message_primary}"
    if not isinstance(error, psycopg.OperationalError):
        return f"the database cannot be used ({type(error).__name__})"
    reason = str(error).partition("\n")[0].rpartition("FATAL: ")[2].removeprefix("connection failed: ")
    return f"the database cannot be reached: {reason.strip()[:MAX_REASON_CHARS]}"
