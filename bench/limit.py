"""The limit: PostgreSQL with the gateway's own statements, sent by pgbench.

The statements are those that the gateway sends for a payment, recorded on its own connections with their parameters,
and repeated with other numbers. So the limit has the same tables, indexes and rows, and the same transactions.
"""

import asyncio
import os
import re
import subprocess
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from tael.db import pipeline
from tael.db.cells import FIRST, schema_of
from tael.db.database import INDEX_PLANS, Database
from tael.payments.domain.payment import FIRST_CHECK, Payment, State
from tael.payments.outcomes import consequences
from tael.payments.store.payments import Payments
from tael_demo.embedded.binaries import wheel_binaries

if TYPE_CHECKING:
    from tael.db.database import Connection

TPS: Final = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)
FAILED: Final = re.compile(r"number of failed transactions: [1-9]")
PLACE: Final = re.compile(r"\$(\d+)")
SYSSN_DIGITS: Final = 24


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement with its parameters. BEGIN and COMMIT have none."""

    text: str
    values: tuple[Any, ...]


class RecordingDatabase(Database):
    """Keeps what its connections send, with BEGIN and COMMIT."""

    def __init__(self, url: str) -> None:
        super().__init__(url, schema=schema_of(FIRST))
        self.sent: list[Statement] = []

    @asynccontextmanager
    async def connection(self, *, is_long: bool = False) -> AsyncIterator["Connection"]:
        async with super().connection(is_long=is_long) as connection:
            with connection.query_logger(self._note):
                yield connection

    async def transact(
        self, statements: Sequence[pipeline.Statement]
    ) -> Sequence[pipeline.StatementResult] | None:
        for each in (pipeline.BEGIN, *statements, pipeline.COMMIT):
            rows = () if each.rows is None else (each.rows,)
            self.sent.append(Statement(each.sql, (*each.arrays, *rows)))
        return await super().transact(statements)

    async def _note(self, query: Any) -> None:
        self.sent.append(Statement(query.query, tuple(query.args or ())))


def script(statements: Sequence[Statement], made: Sequence[tuple[str, str]]) -> str:
    """The script of pgbench for what made the payments `made`, by syssn and reference.

    Both are replaced by numbers that grow, as the gateway's do, and that no other transaction has.
    """
    names: dict[str, str] = {}
    for place, (syssn, reference) in enumerate(made):
        number = f"(:number::bigint + {place})::text"
        names[syssn] = f"lpad({number}, {SYSSN_DIGITS}, '0')"
        names[reference] = f"'bench-' || {number}"
    count = f"\\set number (:done * :clients + :client_id) * {len(made)} + :first"
    texts = (_text(statement, names) + ";" for statement in statements)
    return "\n".join([count, "\\set done :done + 1", *texts, ""])


def _text(statement: Statement, names: Mapping[str, str]) -> str:
    text = statement.text.strip().rstrip(";")
    return PLACE.sub(lambda found: _literal(statement.values[int(found.group(1)) - 1], names), text)


def _literal(value: Any, names: Mapping[str, str]) -> str:
    match value:
        case None:
            return "NULL"
        case bool() | int():
            return str(value).lower()
        case str():
            return names.get(value) or _quoted(value)
        case datetime():
            return f"'{value.astimezone(UTC):%Y%m%dT%H%M%S.%f}Z'"
        case list() | tuple():
            return f"ARRAY[{', '.join(_literal(each, names) for each in value)}]"
        case _:
            raise TypeError(f"no literal of {type(value).__name__}")


def _quoted(text: str) -> str:
    """pgbench takes a colon in a literal for the beginning of a variable."""
    parts = ("'" + part.replace("'", "''") + "'" for part in text.split(":"))
    return "(" + " || chr(58) || ".join(parts) + ")" if ":" in text else "".join(parts)


@dataclass(frozen=True, slots=True)
class Limit:
    """One pgbench script on one database. Each run continues its numbers."""

    url: str
    path: Path
    payments: int  #: of one transaction pair

    def run(self, clients: int, seconds: float, first: int) -> float:
        """Payments per second. `first` is the first number; raises RuntimeError if a transaction failed."""
        done = subprocess.run(
            [
                *(_pgbench(), "-n", "-M", "prepared", "-c", str(clients), "-j", "2", "-T", f"{seconds:.0f}"),
                *("-D", "done=0", "-D", f"clients={clients}", "-D", f"first={first}", "-f", str(self.path)),
            ],
            env=os.environ | _connection_environment(self.url),
            capture_output=True,
            text=True,
            timeout=seconds + 60,
        )
        rate = TPS.search(done.stdout)
        if done.returncode or rate is None or FAILED.search(done.stdout):
            raise RuntimeError(f"pgbench: {done.stderr.strip()[-2000:]}{done.stdout}")
        return float(rate.group(1)) * self.payments


def _connection_environment(url: str) -> dict[str, str]:
    """With the gateway's plans. The password is not in an argument."""
    parts = urlsplit(url)
    plans = INDEX_PLANS | {"plan_cache_mode": "force_generic_plan"}  # as KEEP_PLANS
    return {
        "PGOPTIONS": " ".join(f"-c {name}={value}" for name, value in plans.items()),
        "PGHOST": parts.hostname or "",
        "PGPORT": str(parts.port),
        "PGUSER": parts.username or "",
        "PGPASSWORD": parts.password or "",
        "PGDATABASE": parts.path.removeprefix("/"),
    }


def _pgbench() -> str:
    return str(wheel_binaries().program("pgbench"))


async def recorded(
    database: RecordingDatabase, template: Payment, payments: int
) -> tuple[list[Statement], list[tuple[str, str]]]:
    """What the gateway sends to open and to record so many payments like the paid one `template`, at once.

    With their syssns and references.
    """
    await _pay(database, template, payments)  # asyncpg asks for the types of a statement's columns once
    database.sent.clear()
    made = await _pay(database, template, payments)
    return list(database.sent), made


async def _pay(database: Database, template: Payment, payments: int) -> list[tuple[str, str]]:
    table = Payments(database)
    new = [_new(template, place) for place in range(payments)]
    changes = [
        consequences(each, template.replace(syssn=each.syssn, reference=each.reference, version=1))
        for each in new
    ]
    assert all(await asyncio.gather(*(table.open(each) for each in new)))
    assert all(await asyncio.gather(*(table.record(each) for each in changes)))
    return [(each.syssn, each.reference) for each in new]


def _new(template: Payment, place: int) -> Payment:
    """As it was before the wallet answered."""
    return template.replace(
        syssn=f"9{time.time_ns():023d}"[:22] + f"{place:02d}",
        reference=f"recorded-{time.time_ns()}-{place}",
        state=State.PENDING,
        wallet_ref="",
        payer_ref="",
        paid_at=None,
        has_initial_response=False,
        check_at=template.created_at + FIRST_CHECK,
        version=1,
        checks=0,
        checked_at=None,
    )
