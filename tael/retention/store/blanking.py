"""Blanks personal data of old rows that are finished, a page at a time.

A page is a bounded number of rows by primary key, so that no statement reads more, however few of them are due. Rows
that are locked are in use, and are left to a later run. `version` is raised with the change, so that an outcome decided
on the row as it was before cannot write its old values back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from tael.audit_log.domain.entry import AuditEntry, Origin
from tael.audit_log.store.entries import write_audit_entries
from tael.db.database import INDEX_PLANS, Database
from tael.db.tables import Home
from tael.retention.domain.personal_data import BLANKED

if TYPE_CHECKING:
    import asyncpg

PAGE_ROWS: Final = 1_000
#: Also in a command, whose other statements may read whole tables.
PLANS: Final = "; ".join(f"SET LOCAL {name} = {value}" for name, value in INDEX_PLANS.items())
#: The primary keys.
KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "payment": ("mchid", "syssn"),
    "refund": ("mchid", "syssn"),
    "checkout_link": ("mchid", "reference"),
    "webhook": ("mchid", "cause", "kind"),
    "webhook_attempt": ("mchid", "cause", "kind", "attempt", "started_at"),
    "unmatched_payment": ("mchid", "unmatched_id"),
    "statement": ("mchid", "statement_id"),
}
#: The syssns of a payment, its refunds and its reversals.
NUMBERS: Final = """
    SELECT t.syssn
    UNION ALL SELECT r.syssn FROM refund AS r WHERE r.mchid = t.mchid AND r.payment_syssn = t.syssn
    UNION ALL SELECT v.syssn FROM reversal AS v WHERE v.mchid = t.mchid AND v.payment_syssn = t.syssn
"""
#: Which rows `t` are finished since before $1: nothing that goes on, or that an operator looks at, needs their data.
#: OFFSET 0 keeps each subquery by itself, with an index for each row, so that no plan joins with a whole table.
FINISHED: Final[Mapping[str, str]] = {
    "payment": f"""
t.created_at < $1 AND t.changed_at < $1 AND t.state <> 'PENDING' AND t.check_at IS NULL AND t.reserved_minor = 0
AND NOT EXISTS (
    SELECT FROM refund AS r
    WHERE r.mchid = t.mchid AND r.payment_syssn = t.syssn AND r.state = 'PROCESSING' OFFSET 0)
AND NOT EXISTS (
    SELECT FROM reversal AS v
    WHERE v.mchid = t.mchid AND v.payment_syssn = t.syssn AND v.state = 'PENDING' OFFSET 0)
AND NOT EXISTS (
    SELECT FROM unmatched_payment AS u
    WHERE u.mchid = t.mchid AND u.subject_id = t.syssn
      AND u.state IN ('SUSPECTED', 'HELD', 'APPROVED', 'RETURNING', 'REFUSED') OFFSET 0)
AND NOT EXISTS (
    SELECT FROM ({NUMBERS}) AS n CROSS JOIN LATERAL (
        SELECT FROM webhook AS w WHERE w.mchid = t.mchid AND w.cause = n.syssn AND w.state = 'DUE' OFFSET 0) AS due
    OFFSET 0)
AND NOT EXISTS (
    SELECT FROM ({NUMBERS}) AS n CROSS JOIN LATERAL (
        SELECT FROM incident AS i
        WHERE i.mchid = t.mchid AND i.subject_id = n.syssn AND i.resolved_at IS NULL OFFSET 0) AS open
    OFFSET 0)
AND NOT EXISTS (
    SELECT FROM ({NUMBERS}) AS n CROSS JOIN LATERAL (
        SELECT FROM difference AS d
        WHERE d.mchid = t.mchid AND d.account_id = t.account_id AND d.state = 'OPEN' AND d.number = n.syssn
        OFFSET 0) AS open
    OFFSET 0)
""",
    "refund": """
t.created_at < $1 AND t.changed_at < $1 AND t.state <> 'PROCESSING' AND t.check_at IS NULL
AND NOT EXISTS (
    SELECT FROM webhook AS w WHERE w.mchid = t.mchid AND w.cause = t.syssn AND w.state = 'DUE' OFFSET 0)
AND NOT EXISTS (
    SELECT FROM incident AS i WHERE i.mchid = t.mchid AND i.subject_id = t.syssn AND i.resolved_at IS NULL OFFSET 0)
AND NOT EXISTS (
    SELECT FROM difference AS d
    WHERE d.mchid = t.mchid AND d.account_id = t.account_id AND d.state = 'OPEN' AND d.number = t.syssn OFFSET 0)
""",
    "checkout_link": """
t.created_at < $1 AND t.expires_at < $1
AND NOT EXISTS (
    SELECT FROM payment AS p
    WHERE p.mchid = t.mchid AND p.syssn = t.payment_syssn
      AND CASE WHEN p.state = 'PENDING' OR p.check_at IS NOT NULL OR p.created_at >= $1 THEN true ELSE false END
    OFFSET 0)
""",
    "webhook": """
t.created_at < $1 AND t.state <> 'DUE' AND t.deliver_at IS NULL AND (t.delivered_at IS NULL OR t.delivered_at < $1)
""",
    "webhook_attempt": """
t.started_at < $1
AND NOT EXISTS (
    SELECT FROM webhook AS w
    WHERE w.mchid = t.mchid AND w.cause = t.cause AND w.kind = t.kind AND w.state = 'DUE' OFFSET 0)
""",
    "unmatched_payment": """
greatest(t.at, t.booked_at, t.asked_at, t.returned_at) < $1 AND t.check_at IS NULL
AND t.state IN ('RETURNED', 'KEPT', 'VOIDED', 'REFUTED')
AND NOT EXISTS (
    SELECT FROM incident AS i
    WHERE i.mchid = t.mchid AND i.unmatched_id = t.unmatched_id AND i.unmatched_id <> '' AND i.resolved_at IS NULL
    OFFSET 0)
""",
    "statement": """
t.stored_at < $1 AND t.check_at IS NULL
AND NOT EXISTS (
    SELECT FROM difference AS d
    WHERE d.mchid = t.mchid AND d.statement_id = t.statement_id AND d.state = 'OPEN' OFFSET 0)
""",
}
#: What else changes with the row.
MARKS: Final[Mapping[str, str]] = {
    "payment": "version = t.version + 1",
    "refund": "version = t.version + 1",
    "unmatched_payment": "version = t.version + 1",
    "webhook": "is_purged = true",
}
#: A subject that the gateway made has the names of merchant and order only.
EXCEPT: Final[Mapping[tuple[str, str], str]] = {("payment", "subject"): "t.is_subject_ours"}


@dataclass(frozen=True, slots=True)
class Page:
    """What happened to a page: how many rows were, or would be, blanked, and the key of its last row."""

    rows: int
    last: tuple[Any, ...]
    is_full: bool


class Blanking:
    """The tables with columns that are blanked."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def blank_page(
        self, table: str, older_than: datetime, origin: Origin, after: tuple[Any, ...] | None
    ) -> Page | None:
        """Blank the due rows of the next page, with an audit entry in the same commit. None after the last page."""
        async with self._database.transaction() as connection:
            await connection.execute(PLANS)
            rows = await connection.fetch(blanking_statement(table, after), *parameters(older_than, after))
            page = _page(rows)
            if page is not None and page.rows:
                entry = _entry_of(origin, table, older_than, page)
                await write_audit_entries(connection, Home.CELL, [entry])
        return page

    async def count_page(
        self, table: str, older_than: datetime, after: tuple[Any, ...] | None
    ) -> Page | None:
        """The same without a change."""
        async with self._database.transaction() as connection:
            await connection.execute(PLANS)
            return _page(await connection.fetch(_counting(table, after), *parameters(older_than, after)))


def parameters(older_than: datetime, after: tuple[Any, ...] | None) -> Sequence[object]:
    """Those of the statement of the page that begins behind the key `after`."""
    return (older_than, PAGE_ROWS, *(after or ()))


def _counting(table: str, after: tuple[Any, ...] | None) -> str:
    """One row: `rows`, `is_full`, and the key of the page's last row; none if the page is empty."""
    return f"{_page_of(table, after)}\n{_result(table, '(SELECT count(*) FROM page WHERE is_due)')}"


def blanking_statement(table: str, after: tuple[Any, ...] | None) -> str:
    """The same as `_counting`, after what is due was locked, looked at again, and blanked."""
    t_key, page_key, due_key = (_key(table, alias) for alias in ("t", "page", "due"))
    settings = [f"{column} = {_value(table, column, blank)}" for column, blank in BLANKED[table].items()]
    return f"""
{_page_of(table, after)}, due AS (
    SELECT {due_key} FROM page CROSS JOIN LATERAL (
        SELECT {t_key} FROM {table} AS t
        WHERE ({t_key}) = ({page_key}) AND CASE WHEN {_is_due(table)} THEN true ELSE false END
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS due
    WHERE page.is_due
), blanked AS (
    UPDATE {table} AS t SET {", ".join([*settings, *_marks(table)])} FROM due
    WHERE ({t_key}) = ({due_key}) RETURNING 1
)
{_result(table, "(SELECT count(*) FROM blanked)")}"""


def _page_of(table: str, after: tuple[Any, ...] | None) -> str:
    """The rows of the next page by key, each with whether it is due: only then is a row looked at."""
    key = _key(table, "t")
    places = ", ".join(f"${place}" for place in range(3, 3 + len(KEYS[table])))
    begins = f"WHERE ({key}) > ({places})" if after else ""
    return f"""
WITH page AS MATERIALIZED (
    SELECT {key}, {_is_due(table)} AS is_due FROM {table} AS t {begins} ORDER BY {key} LIMIT $2
)"""


def _result(table: str, rows: str) -> str:
    key = _key(table, "page")
    newest_first = ", ".join(f"page.{column} DESC" for column in KEYS[table])
    is_full = "(SELECT count(*) FROM page) = $2"
    return f"SELECT {rows} AS rows, {is_full} AS is_full, {key} FROM page ORDER BY {newest_first} LIMIT 1"


def _is_due(table: str) -> str:
    differs = (
        f"t.{column} IS DISTINCT FROM {_value(table, column, blank)}"
        for column, blank in BLANKED[table].items()
    )
    return f"({' OR '.join(differs)}) AND {FINISHED[table]}"


def _key(table: str, alias: str) -> str:
    return ", ".join(f"{alias}.{column}" for column in KEYS[table])


def _value(table: str, column: str, blank: str | bytes | None) -> str:
    """The new value as SQL. Both kinds of an empty value are written alike."""
    literal = "NULL" if blank is None else "''"
    exception = EXCEPT.get((table, column))
    return f"CASE WHEN {exception} THEN t.{column} ELSE {literal} END" if exception else literal


def _marks(table: str) -> list[str]:
    return [MARKS[table]] if table in MARKS else []


def _page(rows: "list[asyncpg.Record]") -> Page | None:
    if not rows:
        return None
    count, is_full, *last = rows[0]
    return Page(count, tuple(last), is_full)


def _entry_of(origin: Origin, table: str, older_than: datetime, page: Page) -> AuditEntry:
    """Its subject is the last row of the page: the key of each row would be as much as the rows."""
    subject_id = "/".join(str(part) for part in page.last)
    after = {"older_than": older_than.isoformat(), "rows": page.rows, "blanked": list(BLANKED[table])}
    return AuditEntry(origin.at, origin.actor, origin.address, origin.action, table, subject_id, None, after)
