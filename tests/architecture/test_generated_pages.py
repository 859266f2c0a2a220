"""The diagrams of the generated pages, and `make help`, against the code and the Makefile."""

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from docs.schema import Table, apply_statement, references, statements
from tael.payments.domain.payment import ALLOWED

ROOT: Final = Path(__file__).resolve().parents[2]
DIAGRAM: Final = re.compile(r"^## (\w+)\n\n```mermaid\nstateDiagram-v2\n(.*?)^```", re.MULTILINE | re.DOTALL)
ARROW: Final = re.compile(r"^    (\S+) --> (\w+|\[\*\]): (.+)$", re.MULTILINE)
START: Final = "[*]"
#: Tables in the style of the migrations, with what the parser must not mistake for a column or an end.
SQL: Final = """
CREATE TABLE shop (code text PRIMARY KEY, note text NOT NULL DEFAULT 'a;b, (c' CHECK (note <> ','));  -- no ; statement
CREATE TABLE sale (
    id integer NOT NULL,
    mchid text NOT NULL,
    shop text CONSTRAINT sale_shop REFERENCES shop,
    tags text[] NOT NULL DEFAULT '{}',
    gone text,
    CONSTRAINT sale_key PRIMARY KEY (mchid, id),
    CHECK (id > 0 AND id < 9)
) WITH (fillfactor = 80);
CREATE INDEX sale_of_shop ON sale (shop) WHERE shop IS NOT NULL;
CREATE TABLE sale_line (mchid text, id integer, line integer, PRIMARY KEY (mchid, id, line));
ALTER TABLE sale ADD COLUMN at timestamptz, DROP COLUMN gone, ALTER COLUMN shop SET NOT NULL;
UPDATE sale SET tags = '{}';
CREATE TABLE old (id text);
DROP TABLE old;
"""


@pytest.fixture(scope="module")
def diagrams() -> dict[str, dict[tuple[str, str], str]]:
    """The labels of the arrows of each state diagram, by heading."""
    page = (ROOT / "docs" / "states.md").read_text("utf-8")
    return {
        heading: {(before, after): label for before, after, label in ARROW.findall(body)}
        for heading, body in DIAGRAM.findall(page)
    }


def test_the_payment_diagram_has_the_allowed_transitions_and_no_others(
    diagrams: dict[str, dict[tuple[str, str], str]],
) -> None:
    allowed = {(before.value, after.value) for before, states in ALLOWED.items() for after in states}
    assert diagrams["Payment"].keys() == allowed | {(START, "PENDING")}


def test_refunds_and_reversals_are_decided_once(diagrams: dict[str, dict[tuple[str, str], str]]) -> None:
    for heading, first in (("Refund", "PROCESSING"), ("Reversal", "PENDING")):
        assert diagrams[heading].keys() == {(START, first), (first, "DONE"), (first, "FAILED")}


def test_an_arrow_names_the_outcomes_that_cause_it(diagrams: dict[str, dict[tuple[str, str], str]]) -> None:
    payment = diagrams["Payment"]
    assert "Closed (close requested)" in payment["PENDING", "CLOSED"]
    assert payment["PENDING", "EXPIRED"] == "Closed (online)"
    assert payment["EXPIRED", "PAID"] == "Paid, the right amount (online)"
    assert diagrams["Refund"]["PROCESSING", "FAILED"] == "Refused<br/>NotSent, initial request"


def test_tables_are_read_from_sql() -> None:
    tables: dict[str, Table] = {}
    for statement in statements(SQL):
        apply_statement(tables, statement)
    columns = {
        name: [(column.name, column.type, column.is_nullable) for column in table.columns.values()]
        for name, table in tables.items()
    }
    assert columns == {
        "shop": [("code", "text", False), ("note", "text", False)],
        "sale": [
            ("id", "integer", False),
            ("mchid", "text", False),
            ("shop", "text", False),
            ("tags", "text[]", False),
            ("at", "timestamptz", True),
        ],
        "sale_line": [("mchid", "text", False), ("id", "integer", False), ("line", "integer", False)],
    }
    links = {(link.child, link.column, link.parent, link.is_enforced) for link in references(tables)}
    assert links == {("sale", "shop", "shop", True), ("sale_line", "id", "sale", False)}


def test_make_help_lists_every_target_in_the_order_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE)
    listed = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    rows = [re.fullmatch(r"make (\S+) +(\S.*\.)", line) for line in listed.stdout.splitlines()]
    assert [row[1] for row in rows if row] == targets
    assert all(rows)
    (phony,) = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony.split() == targets


def test_contributing_names_every_target() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE)
    assert not [target for target in targets if not re.search(rf"\bmake {target}\b(?!-)", text)]
