"""One declaration per table: a column is named once, by the field of the row's dataclass, beside its migration.

Statements and conversions are made from the declaration. A field is stored in a column of its own name, unless it has
a `Codec`: money, for instance, takes two columns. `tests/integration/test_tables.py` compares declarations with the
migrated schema.
"""

import dataclasses
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

Row = TypeVar("Row")

TYPES: Final[Mapping[type, str]] = {
    str: "text",
    int: "bigint",
    bool: "boolean",
    bytes: "bytea",
    datetime: "timestamptz",
    date: "date",
}


class Home(StrEnum):
    """Which set of tables one belongs to. No statement writes to one home and reads the other."""

    DIRECTORY = "directory"  #: developers, merchants, accounts: small and shared
    CELL = "cell"  #: the money of a group of merchants


@dataclass(frozen=True, slots=True)
class Codec:
    """How one field is stored: its columns with their types, and the conversions, which take all of them."""

    columns: Mapping[str, str]
    encode: Callable[[Any], tuple[object, ...]]
    decode: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of the row, and where its columns are among the table's."""

    name: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    is_optional: bool
    encode: Callable[[Any], tuple[object, ...]] | None
    decode: Callable[..., Any] | None


class Table(Generic[Row]):
    """The table `name` of `row`, a dataclass."""

    def __init__(
        self,
        name: str,
        home: Home,
        row: type[Row],
        key: tuple[str, ...],
        *,
        codecs: Mapping[str, Codec] | None = None,
        internal: Mapping[str, str] | None = None,
    ) -> None:
        """`internal` are columns that no field holds, with their types: leases, for instance."""
        self.name = name
        self.home = home
        self.key = key
        self.internal = dict(internal or {})
        self._row = row
        hints = get_type_hints(row)
        given = codecs or {}
        self._fields = [
            _field(field.name, hints[field.name], given.get(field.name))
            for field in dataclasses.fields(row)  # type: ignore[arg-type]  # Row is a dataclass
        ]
        self.columns: tuple[str, ...] = tuple(c for field in self._fields for c in field.columns)
        self.types: Mapping[str, str] = {
            c: t for field in self._fields for c, t in zip(field.columns, field.types, strict=True)
        }
        self._getters = {
            c: _getter(field, place) for field in self._fields for place, c in enumerate(field.columns)
        }
        self._readers = _readers(self._fields)

    @property
    def select(self) -> str:
        """All columns of the row, as `read` wants them."""
        return ", ".join(self.columns)

    def select_from(self, alias: str) -> str:
        """The same, of one of several tables in a statement."""
        return ", ".join(f"{alias}.{column}" for column in self.columns)

    def read(self, record: Sequence[Any]) -> Row:
        """A row that was selected as `select`."""
        values = tuple(record)
        return self._row(
            *(
                values[start] if decode is None else decode(*values[start:end])
                for start, end, decode in self._readers
            )
        )

    def unnest(self, columns: Sequence[str], alias: str = "w") -> str:
        """Arrays, one for each column, as rows: `unnest($1::text[], …) AS w (a, …)`. See `arrays`."""
        arrays = ", ".join(f"${place}::{self._type(column)}[]" for place, column in enumerate(columns, 1))
        return f"unnest({arrays}) AS {alias} ({', '.join(columns)})"

    def arrays(self, rows: Sequence[Row], columns: Sequence[str]) -> list[list[object]]:
        """The parameters of `unnest`: each column of all rows."""
        return [[self._getters[column](row) for row in rows] for column in columns]

    def insert(self, columns: Sequence[str] | None = None) -> str:
        """Inserts rows given as `arrays`; the columns that are left out get the default of the schema."""
        named = self.columns if columns is None else columns
        listed = ", ".join(named)
        chosen = ", ".join(f"w.{column}" for column in named)
        return f"INSERT INTO {self.name} ({listed}) SELECT {chosen} FROM {self.unnest(named)}"

    def assignments(self, columns: Sequence[str], alias: str = "w") -> str:
        """For an UPDATE from `unnest`."""
        return ", ".join(f"{column} = {alias}.{column}" for column in columns)

    def _type(self, column: str) -> str:
        return self.types[column] if column in self.types else self.internal[column]


def _field(name: str, hint: Any, codec: Codec | None) -> _Field:
    inner, is_optional = _without_none(hint)
    if codec is not None:
        return _Field(
            name, tuple(codec.columns), tuple(codec.columns.values()), is_optional, codec.encode, codec.decode
        )
    if isinstance(inner, type) and issubclass(inner, StrEnum):
        decode = _or_none(inner) if is_optional else inner
        return _Field(name, (name,), ("text",), is_optional, None, decode)
    return _Field(name, (name,), (TYPES[inner],), is_optional, None, None)


def _without_none(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not types.NoneType]
        return (kinds[0] if len(kinds) == 1 else hint), len(kinds) < len(get_args(hint))
    return hint, False


def _or_none(decode: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else decode(value)


def _getter(field: _Field, place: int) -> Callable[[Any], object]:
    name, encode = field.name, field.encode
    if encode is not None:
        return lambda row: encode(getattr(row, name))[place]
    return lambda row: getattr(row, name)


def _readers(fields: Sequence[_Field]) -> tuple[tuple[int, int, Callable[..., Any] | None], ...]:
    readers: list[tuple[int, int, Callable[..., Any] | None]] = []
    start = 0
    for field in fields:
        end = start + len(field.columns)
        readers.append((start, end, field.decode))
        start = end
    return tuple(readers)
