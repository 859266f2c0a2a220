"""Which constraint or unique index of the schema an error is about."""

import re
from typing import Final

import asyncpg

#: With Citus, a node reports the name in its shard: ours and the shard's number.
SHARD_SUFFIX: Final = re.compile(r"_\d+\Z")


def violated_constraint(error: asyncpg.IntegrityConstraintViolationError) -> str:
    """The name in the migrations; "" if the error has none."""
    return SHARD_SUFFIX.sub("", error.constraint_name or "")
