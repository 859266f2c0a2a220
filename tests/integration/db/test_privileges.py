"""The privileges of the gateway's role against its statements: each has what it needs, and no privilege is unused.

PostgreSQL decides. A statement is planned and started as that role, and not executed: EXPLAIN checks its privileges.
The statements are the constants of all modules. `MADE` lists those that functions make; a test compares it with the
sources.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InsufficientPrivilege

import tael
from tael.audit_log.store import entries as audit_log
from tael.db.database import Database
from tael.db.due_queue import DueQueue
from tael.db.grants import grant
from tael.db.migrate import migrate
from tael.db.privileges import PRIVILEGES, UPDATED_COLUMNS
from tael.ledger.store.digests import DIGEST
from tael.merchants.store import accounts, maintenance
from tael.merchants.store.merchants import MERCHANTS, app_table
from tael.oauth.store.grants import GRANTS, TOKENS
from tael.oauth.store.users import SESSIONS, USERS
from tael.operations.store import Store, store_over
from tael.payments.store.link_keys import link_key_table
from tael.recovery.store import restored
from tael.retention.store.blanking import KEYS, blanking_statement
from tael.statements.store.booked import BookedRows
from tael.statements.store.conversions import CONVERSIONS
from tael.statements.store.remittances import REMITTANCES
from tests.architecture.test_statements import HOMES, STATEMENTS
from tests.support.citus import needs_plain_postgres
from tests.support.postgres import create_role, drop_role, temporary_database
from tests.support.store import CIPHER

pytestmark = needs_plain_postgres

ROLE: Final = "tael_gateway"
SOURCES: Final = Path(tael.__file__).parent
#: They run as the owner of the tables.
OF_OWNER: Final = frozenset({"tael.db.cells", "tael.db.grants", "tael.db.migrate", "tael.db.roles"})
BEGINNINGS: Final = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "LOCK")
#: The verbs of statements that need more than SELECT.
WRITES: Final = re.compile(
    r"\b(INSERT INTO|UPDATE(?= [\w{])|DELETE FROM|FOR (?:NO KEY )?UPDATE|FOR (?:KEY )?SHARE|LOCK TABLE|TRUNCATE)\b"
)
#: Functions that make or execute a statement which writes to the table of a parameter, and what they write.
WRITERS: Final[Mapping[str, Sequence[str]]] = {
    "insert": ("INSERT INTO",),
    "insert_one": ("INSERT INTO",),
    "update_one": ("UPDATE",),
    "change_row": ("FOR UPDATE", "UPDATE"),
}
#: Not tables: methods of other classes with the same name.
OTHER_INSERTS: Final = frozenset({"statements.insert(", "context.store.reversals.insert("})
NOWHERE: Final = Database("postgresql://nowhere")
STORE: Final = store_over(NOWHERE, NOWHERE, CIPHER, 0)
APP: Final = app_table(CIPHER)
LINK_KEY: Final = link_key_table(CIPHER)


def queues() -> list[DueQueue[Any]]:
    parts = [getattr(STORE, field.name) for field in fields(Store)]
    values = [value for part in parts for value in (part, *getattr(part, "__dict__", {}).values())]
    return [value for value in values if isinstance(value, DueQueue)]


def of_queues(attribute: str) -> list[str]:
    return [vars(queue)[attribute] for queue in queues() if attribute in vars(queue)]


def booked() -> list[BookedRows[Any]]:
    return [CONVERSIONS, REMITTANCES]


def changes_of(*tables: Any) -> list[str]:
    """Those of `change_row`."""
    return [
        statement
        for table in tables
        for statement in (
            f"SELECT {table.select} FROM {table.name} WHERE {table.key[0]} = $1 FOR UPDATE",
            table.update_one(table.columns[1:]),
        )
    ]


#: By the place in the sources: module, and function or constant.
MADE: Final[Mapping[str, Sequence[str]]] = {
    "audit_log.store.entries:write_audit_entries": [table.insert() for table in audit_log.TABLES.values()],
    "db.ciphertexts:_replace": [
        f"UPDATE {each.table.name} SET {each.column} = $1 WHERE {each.column} = $2 RETURNING 1"
        for each in STORE.ciphertexts
    ],
    "db.due_queue:_claim_by_account": of_queues("_claim_by_account"),
    "db.due_queue:_renewal": of_queues("_renew"),
    "ledger.store.digests:write": [DIGEST.insert()],
    "merchants.store.accounts:_locked": [f"{accounts.SELECT} FOR UPDATE"],
    "merchants.store.maintenance:_locked": [f"{maintenance.SELECT} FOR UPDATE"],
    "merchants.store.merchants:add_app": [APP.insert_one("created_at")],
    "merchants.store.merchants:change_app": changes_of(APP),
    "merchants.store.merchants:change_merchant": changes_of(MERCHANTS),
    "oauth.store.grants:add": [GRANTS.insert_one()],
    "oauth.store.grants:use_code": [TOKENS.insert_one()],
    "oauth.store.grants:use_refresh": [TOKENS.insert_one()],
    "oauth.store.users:_change": changes_of(USERS),
    "oauth.store.users:add": [USERS.insert_one()],
    "oauth.store.users:end_session": ["DELETE FROM user_session WHERE session_digest = $1"],
    "oauth.store.users:open_session": [SESSIONS.insert_one()],
    "payments.store.link_keys:rotate": [LINK_KEY.insert_one()],
    "payments.store.link_keys:with_current": [f"{LINK_KEY.insert_one()} ON CONFLICT DO NOTHING"],
    "recovery.store.restored:MAKE_DUE": [restored.MAKE_DUE.format(table=table) for table in restored.QUERIED],
    "retention.store.blanking:blanking_statement": [blanking_statement(table, None) for table in KEYS],
    "statements.store.booked:supersede": [
        f"UPDATE {each.table.name} SET superseded_at = $1 RETURNING {each.table.select}" for each in booked()
    ],
    "statements.store.booked:write": [each.table.insert() for each in booked()],
}
#: A constant without the words of a statement, and what functions make that only reads, if no other reads the table.
FURTHER: Final = (
    restored.LOCK,
    "SELECT encryption_key_id FROM encryption_key",
    *(audit_log.LIST.format(select=table.select, name=table.name) for table in audit_log.TABLES.values()),
)
#: They only pass on a table that is a parameter; their callers are above.
GENERIC: Final = frozenset(
    {
        *("db.tables:insert", "db.tables:insert_one", "db.tables:update_one"),
        "merchants.store.merchants:change_row",
    }
)


def executable() -> list[str]:
    """The statements that can be executed as they are. Of several in one text, each."""
    constants = [
        text
        for name, text in STATEMENTS.items()
        if not name.startswith("queue.") and name.rpartition(".")[0] not in OF_OWNER
    ]
    made = [statement for statements in MADE.values() for statement in statements]
    parts = {part.strip() for text in (*constants, *made, *FURTHER) for part in text.split(";")}
    return sorted(part for part in parts if part.startswith(BEGINNINGS) and "{" not in part)


EXECUTABLE: Final = executable()


# ---- what the sources have -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """A text or call in the sources that writes. `text` is the value of a constant, empty in a function."""

    place: str
    verbs: frozenset[str]
    text: str


def text_of(node: ast.AST) -> str:
    """A string or f-string, with its expressions in braces."""
    match node:
        case ast.Constant(value=str() as value):
            return value
        case ast.JoinedStr(values=values):
            return "".join(
                text_of(each) if isinstance(each, ast.Constant) else f"{{{ast.unparse(each)}}}"
                for each in values
            )
    return ""


def verbs_in(node: ast.AST) -> Iterator[str]:
    """The verbs of all texts below `node`, and of calls that make a statement."""
    for each in ast.walk(node):
        if isinstance(each, ast.Call) and not ast.unparse(each).startswith(tuple(OTHER_INSERTS)):
            name = each.func.attr if isinstance(each.func, ast.Attribute) else getattr(each.func, "id", "")
            yield from WRITERS.get(name, ())
        yield from WRITES.findall(text_of(each))


def without_docstring(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.stmt]:
    return function.body[1:] if ast.get_docstring(function) is not None else function.body


def found_in(path: Path) -> Iterator[Found]:
    name = ".".join(path.relative_to(SOURCES).with_suffix("").parts)
    module = import_module(f"tael.{name}")
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            verbs = frozenset(verb for part in without_docstring(node) for verb in verbs_in(part))
            yield Found(f"{name}:{node.name}", verbs, "")
        if isinstance(node, ast.Module | ast.ClassDef):
            for statement in node.body:
                if isinstance(statement, ast.Assign | ast.AnnAssign):
                    yield constant_in(name, module, statement)


def constant_in(name: str, module: ModuleType, statement: ast.Assign | ast.AnnAssign) -> Found:
    target = statement.target if isinstance(statement, ast.AnnAssign) else statement.targets[0]
    value = getattr(module, ast.unparse(target), None)
    return Found(
        f"{name}:{ast.unparse(target)}",
        frozenset(verbs_in(statement)),
        value if isinstance(value, str) else "",
    )


def writes_in_sources() -> list[Found]:
    files = [
        path
        for path in sorted(SOURCES.rglob("*.py"))
        if path.stem not in ("__main__", "__init__")
        and ".".join(("tael", *path.relative_to(SOURCES).with_suffix("").parts)) not in OF_OWNER
    ]
    return [found for path in files for found in found_in(path) if found.verbs]


def test_every_write_in_the_sources_is_one_of_these_statements() -> None:
    """A constant is one, or a part of one; what a function makes is listed, with the same verbs."""
    made: dict[str, frozenset[str]] = {}
    for found in writes_in_sources():
        parts = [part.strip() for part in found.text.split(";") if WRITES.search(part)]
        is_constant = parts and all(any(part in each for each in EXECUTABLE) for part in parts)
        if not is_constant and found.place not in GENERIC:
            made[found.place] = found.verbs
    assert made == {
        place: frozenset(verb for text in texts for verb in WRITES.findall(text))
        for place, texts in MADE.items()
    }


def test_the_queues_are_found() -> None:
    assert len(queues()) == len(STORE.due_work.names | STORE.due_in_directory.names)


def test_every_table_has_its_privileges_declared() -> None:
    assert PRIVILEGES.keys() == HOMES.keys()


# ---- what PostgreSQL decides ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Session:
    """Acts as the gateway's role with prepared statements, by the text of each."""

    connection: "psycopg.Connection[Any]"
    explained: Mapping[str, str]

    def is_refused(self, statement: str) -> bool:
        try:
            with self.connection.transaction(force_rollback=True):
                self.connection.execute(f"SET LOCAL ROLE {ROLE}")
                self.connection.execute(self.explained[statement])
        except InsufficientPrivilege:
            return True
        return False


@pytest.fixture(scope="module")
def session(postgres_server: str) -> Iterator[Session]:
    """A migrated database with the role as `tael migrate --grant-to` makes it."""
    create_role(postgres_server, ROLE)
    with temporary_database(postgres_server, "template1") as url:
        migrate(url)
        grant(url, ROLE)
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
            connection.execute("SET plan_cache_mode = force_generic_plan")
            yield Session(connection, prepared(connection))
            connection.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA public, cell_00 FROM {ROLE}")
            connection.execute(f"REVOKE ALL ON SCHEMA public, cell_00 FROM {ROLE}")
    drop_role(postgres_server, ROLE)


def prepared(connection: "psycopg.Connection[Any]") -> dict[str, str]:
    """How each statement is explained. What PostgreSQL cannot prepare is a part of others and has no entry."""
    found = {}
    for number, statement in enumerate(EXECUTABLE):
        if statement.startswith("LOCK"):
            found[statement] = statement
            continue
        try:
            connection.execute(sql.SQL(f"PREPARE s{number} AS {statement}"))
        except psycopg.ProgrammingError:
            continue
        of = "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = %s"
        (count,) = connection.execute(of, [f"s{number}"]).fetchone() or (0,)
        values = f" ({', '.join(['NULL'] * count)})" if count else ""
        found[statement] = f"EXPLAIN EXECUTE s{number}{values}"
    return found


def test_every_statement_that_writes_can_be_prepared(session: Session) -> None:
    """Except for parts of others."""
    missing = [each for each in EXECUTABLE if each not in session.explained and WRITES.search(each)]
    whole = [each for each in missing if not any(each in other for other in session.explained)]
    assert whole == []
    assert len(session.explained) > 250


def test_no_statement_lacks_a_privilege(session: Session) -> None:
    assert [statement for statement in session.explained if session.is_refused(statement)] == []


@pytest.mark.parametrize("table", sorted(PRIVILEGES))
def test_every_privilege_is_needed_by_a_statement(session: Session, table: str) -> None:
    privileges = [
        *sorted(PRIVILEGES[table]),
        *(f"UPDATE ({column})" for column in UPDATED_COLUMNS.get(table, ())),
    ]
    about = [statement for statement in session.explained if re.search(rf"\b{table}\b", statement)]
    for privilege in privileges:
        likely_first = sorted(about, key=lambda statement: f"{privilege[:6]} " not in statement)
        session.connection.execute(f"REVOKE {privilege} ON {table} FROM {ROLE}")
        try:
            assert any(map(session.is_refused, likely_first)), privilege
        finally:
            session.connection.execute(f"GRANT {privilege} ON {table} TO {ROLE}")
