"""Arrays as text: PostgreSQL reads from them what was written."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tael.db.array_text import array_texts


class Colour(StrEnum):
    RED = "red"


INT64 = 2**63
#: PostgreSQL's text has no NUL and no surrogates.
TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")) | st.sampled_from(
    ["", "NULL", "null", "{}", "{", ",", '"', "\\", '\\"', "'", " ", "\n", "a,b", "{a}", Colour.RED]
)
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=8)), timezone(timedelta(hours=-3, minutes=-30))])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": TEXT,
    "bigint": st.integers(-INT64, INT64 - 1),
    "boolean": st.booleans(),
    "timestamptz": st.datetimes(datetime(1000, 1, 2), datetime(9999, 1, 1), timezones=ZONES),
    "date": st.dates(date(1000, 1, 1)),
}


@pytest.fixture
def connection(database_url: str) -> Iterator["psycopg.Connection[tuple[Any, ...]]"]:
    with psycopg.connect(database_url, autocommit=True) as entered:
        yield entered


@pytest.mark.parametrize("kind", VALUES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(data=st.data())
def test_postgresql_reads_what_was_written(
    connection: "psycopg.Connection[tuple[Any, ...]]", kind: str, data: st.DataObject
) -> None:
    arrays = [data.draw(st.lists(st.none() | VALUES[each], max_size=6)) for each in (kind, "text")]
    texts = [text.decode() for text in array_texts(arrays)]
    row = connection.execute(f"SELECT %s::text::{kind}[], %s::text::text[]", texts).fetchone()
    assert row == tuple(arrays)


@pytest.mark.parametrize("values", [["a\0b"], [None, "\0"]])
def test_a_nul_is_refused(values: list[str | None]) -> None:
    with pytest.raises(ValueError, match="NUL"):
        array_texts([values])


@pytest.mark.parametrize("value", [1.5, b"bytes", ["a"]])
def test_a_value_of_another_type_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match=f"of {type(value).__name__}$"):
        array_texts([[None], [None, value]])
