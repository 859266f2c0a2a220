"""Which constraint or unique index of the schema an error is about."""

import re
from typing import Final

import asyncpg

#: With Citus, a node reports the name in its shard: ours and the shard's number.
SHARD_SUFFIX: Final = re.compile(r"_\d+\Z")
#: The name of a table or constraint in PostgreSQL's message, with the quotation marks of any of its languages.
QUOTED: Final = re.compile(r'["„“”«»]([a-z0-9_]+)["“”«»]')


def violated_constraint(error: asyncpg.IntegrityConstraintViolationError) -> str:
    """The name in the migrations; "" if the error has none.

    Citus passes on the message of another node, which ends with the name, but not the field that has it.
    """
    names = [error.constraint_name] if error.constraint_name else QUOTED.findall(error.message or "")
    return SHARD_SUFFIX.sub("", names[-1]) if names else ""
