"""The database tables, read from the SQL of the migrations, and docs/entities.md, which draws them.

The parser understands only the SQL that our migrations use: CREATE TABLE, ALTER TABLE that adds, drops or changes
columns, DROP TABLE. `tests/integration/db/test_entities.py` compares the result with a migrated database.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

#: The first word of an item of CREATE TABLE that is a constraint and not a column.
CONSTRAINTS: Final = ("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN", "EXCLUDE")
#: The first of these that a table has names the owner of its rows. The others repeat the owner's and are not drawn.
OWNERS: Final = ("payment_syssn", "account_id", "mchid", "appcode")


#: Columns with such a name are keys in some tables, and name no row of them in others.
ANY_TABLES: Final = frozenset({"name", "number", "result", "subject"})


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str
    is_nullable: bool


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    columns: dict[str, Column] = field(default_factory=dict)
    primary_key: tuple[str, ...] = ()
    foreign_keys: dict[str, str] = field(
        default_factory=dict
    )  #: column to table, where the database enforces it


@dataclass(frozen=True, slots=True)
class Reference:
    """A column of `child` that names a row of `parent`."""

    child: str
    column: str
    parent: str
    is_enforced: bool
    is_optional: bool


def read_tables(root: Path) -> dict[str, Table]:
    """All tables after the migrations below `root`, by name, in the order in which they are created."""
    tables: dict[str, Table] = {}
    for path in sorted(root.glob("tael/**/migrations/**/*.sql"), key=lambda path: (path.name, path)):
        for statement in statements(path.read_text("utf-8")):
            apply_statement(tables, statement)
    return tables


def statements(text: str) -> list[str]:
    without_comments = re.sub(r"--[^\n]*", "", text)
    return [" ".join(part.split()) for part in split(without_comments, ";") if part.strip()]


def split(text: str, separator: str) -> Iterator[str]:
    """`text` in parts, cut where `separator` is outside of parentheses, brackets and quotes."""
    start = depth = 0
    is_quoted = False
    for index, character in enumerate(text):
        if character == "'":
            is_quoted = not is_quoted
        elif is_quoted:
            continue
        elif character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        elif character == separator and depth == 0:
            yield text[start:index]
            start = index + 1
    yield text[start:]


def apply_statement(tables: dict[str, Table], statement: str) -> None:
    if match := re.match(r"CREATE TABLE (\w+) \((.*?)\)(?: WITH \([^()]*\))?$", statement):
        tables[match[1]] = created(match[1], match[2])
    elif match := re.match(r"ALTER TABLE (\w+) (.*)$", statement):
        for action in split(match[2], ","):
            tables[match[1]] = altered(tables[match[1]], action.strip())
    elif match := re.match(r"DROP TABLE (\w+)$", statement):
        del tables[match[1]]


def created(name: str, body: str) -> Table:
    table = Table(name)
    for item in split(body, ","):
        table = with_item(table, item.strip())
    return table


def altered(table: Table, action: str) -> Table:
    if match := re.match(r"ADD COLUMN (.*)$", action):
        return with_item(table, match[1])
    if match := re.match(r"DROP COLUMN (\w+)$", action):
        return replace(table, columns={name: row for name, row in table.columns.items() if name != match[1]})
    if match := re.match(r"ALTER COLUMN (\w+) (SET|DROP) NOT NULL$", action):
        changed = replace(table.columns[match[1]], is_nullable=match[2] == "DROP")
        return replace(table, columns=table.columns | {match[1]: changed})
    return with_constraint(table, action.removeprefix("ADD "))


def with_item(table: Table, item: str) -> Table:
    name, _, rest = item.partition(" ")
    if name in CONSTRAINTS:
        return with_constraint(table, item)
    is_key = "PRIMARY KEY" in rest
    column = Column(name, rest.split()[0], is_nullable="NOT NULL" not in rest and not is_key)
    table = replace(table, columns=table.columns | {name: column})
    if is_key:
        table = replace(table, primary_key=(name,))
    if match := re.search(r"\bREFERENCES (\w+)", rest):
        table = replace(table, foreign_keys=table.foreign_keys | {name: match[1]})
    return table


def with_constraint(table: Table, item: str) -> Table:
    if match := re.search(r"PRIMARY KEY \(([^)]*)\)", item):
        key = names_in(match[1])
        columns = {
            name: replace(row, is_nullable=row.is_nullable and name not in key)
            for name, row in table.columns.items()
        }
        return replace(table, columns=columns, primary_key=key)
    if match := re.search(r"FOREIGN KEY \(([^)]*)\) REFERENCES (\w+)", item):
        return replace(table, foreign_keys=table.foreign_keys | {names_in(match[1])[-1]: match[2]})
    return table


def names_in(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


# ---- which rows belong together -------------------------------------------------------------------------------------


def references(tables: dict[str, Table]) -> list[Reference]:
    """The references between tables: foreign keys, and columns that name another table's key without one."""
    enforced = {parent for table in tables.values() for parent in table.foreign_keys.values()}
    found = []
    for table in tables.values():
        for column, parent in parents_of(table, tables, enforced).items():
            row = table.columns[column]
            found.append(Reference(table.name, column, parent, column in table.foreign_keys, row.is_nullable))
    return found


def parents_of(table: Table, tables: dict[str, Table], enforced: set[str]) -> dict[str, str]:
    """The tables to which the columns of `table` refer, by column."""
    for parent in tables.values():
        is_longer = table.primary_key[: len(parent.primary_key)] == parent.primary_key != table.primary_key
        own = [name for name in parent.primary_key if name not in OWNERS]
        if table.name.startswith(f"{parent.name}_") and is_longer and own:
            return {own[0]: parent.name}
    named = dict(table.foreign_keys)
    for column in table.columns:
        parent_name = named_by(column, tables, enforced)
        if parent_name not in (None, table.name):
            named.setdefault(column, str(parent_name))
    owner = next((column for column in OWNERS if column in named), None)
    return {
        column: parent
        for column, parent in named.items()
        if column not in OWNERS or column == owner or column in table.foreign_keys
    }


def named_by(column: str, tables: dict[str, Table], enforced: set[str]) -> str | None:
    """The table whose key is in `column`: `payment_syssn` names a payment, `account_id` the table with that key."""
    prefix = column.removesuffix("_syssn")
    if prefix != column:
        return prefix if prefix in tables else None
    if column in ANY_TABLES:
        return None
    owners = [name for name, table in tables.items() if table.primary_key == (column,)]
    return next((name for name in owners if name in enforced), owners[0] if owners else None)


# ---- docs/entities.md -----------------------------------------------------------------------------------------------


def entities_page(root: Path) -> str:
    """docs/entities.md: an entity diagram of the keys, and the columns of each table."""
    tables = read_tables(root)
    links = references(tables)
    lines = [
        "# Database tables",
        "",
        "Generated by `docs/generate.py` from the SQL of the migrations; change those, not this page.",
        "",
        "The diagram shows primary keys and references. A solid line is a foreign key. A dotted line is a reference",
        "that the database does not enforce, so that merchants can be distributed over servers; where both tables have",
        "`mchid`, it is part of the reference. References that repeat those of the row's payment or account are not",
        "drawn. `cause` holds the syssn of a payment, refund or reversal, and `subject_id` such a number, a wallet's",
        "order number or an account.",
        "",
        "```mermaid",
        "erDiagram",
        *(f"    {line(link)}" for link in links),
        *(row for table in tables.values() for row in entity(table, links)),
        "```",
    ]
    for table in tables.values():
        lines += ["", f"## {table.name}", "", *column_table(table, links)]
    return "\n".join(lines) + "\n"


def line(link: Reference) -> str:
    parent_end = "|o" if link.is_optional else "||"
    dash = "--" if link.is_enforced else ".."
    return f"{link.parent} {parent_end}{dash}o{{ {link.child} : {link.column}"


def entity(table: Table, links: Iterable[Reference]) -> Iterator[str]:
    """The keys of a table, as the diagram shows them."""
    referring = {link.column for link in links if link.child == table.name}
    yield f"    {table.name} {{"
    for column in table.columns.values():
        keys = [
            key for key, columns in (("PK", table.primary_key), ("FK", referring)) if column.name in columns
        ]
        if keys:
            yield f"        {column.type} {column.name} {', '.join(keys)}"
    yield "    }"


def column_table(table: Table, links: Iterable[Reference]) -> Iterator[str]:
    parents = {link.column: link.parent for link in links if link.child == table.name}
    yield "| Column | Type | Nullable | Key |"
    yield "| --- | --- | --- | --- |"
    for column in table.columns.values():
        keys = ["primary key"] if column.name in table.primary_key else []
        keys += [f"→ [{parents[column.name]}](#{parents[column.name]})"] if column.name in parents else []
        nullable = "yes" if column.is_nullable else ""
        yield f"| `{column.name}` | {column.type} | {nullable} | {', '.join(keys)} |"
