"""One declaration per table: each column is named once in the code, as a field of the row's class.

Statements, parameters and conversions are derived from the declaration. A field is stored in a column of its own name
and type, unless it has a `Codec`: money, for instance, takes two columns. The declarations are compared with the
migrated schema in `tests/integration/db/test_tables.py`.
"""

import inspect
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from tael.base.cipher import associated_data
from tael.base.money import Money

if TYPE_CHECKING:
    import asyncpg

    from tael.db.database import Connection

Row = TypeVar("Row")

TYPES: Final[Mapping[type, str]] = {
    str: "text",
    int: "bigint",
    bool: "boolean",
    bytes: "bytea",
    datetime: "timestamptz",
    date: "date",
}


#: The end of the name of every column with ciphertexts, and of no other.
ENCRYPTED: Final = "_encrypted"


class Home(StrEnum):
    """The part of the database that a table belongs to. No statement writes to one and reads the other."""

    DIRECTORY = "directory"  #: apps, merchants, accounts: small and shared
    CELL = "cell"  #: the money of a group of merchants


@dataclass(frozen=True, slots=True)
class Codec:
    """Stores one field: its columns with their types, and the conversions from the field and from the columns."""

    columns: Mapping[str, str]
    encode: Callable[..., tuple[object, ...]]
    decode: Callable[..., Any]
    #: Both take the primary key as their last argument: what is encrypted is bound to its row.
    is_bound: bool = False


#: A field of type `Money | None`; both columns are null if it is None.
MONEY: Final = Codec(
    {"amount_minor": "bigint", "currency": "text"},
    lambda money: (None, None) if money is None else (money.amount_minor, money.currency),
    lambda amount_minor, currency: None if amount_minor is None else Money(amount_minor, currency),
)


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    columns: Mapping[str, str]
    is_optional: bool
    codec: Codec | None
    decode: Callable[..., Any] | None  #: None if the column's value is the field's


#: Of some columns: the fields that they are in, taken in C, and functions of the row for the columns of codecs.
_Arrays = tuple[Callable[[Any], tuple[object, ...]], Sequence[tuple[int, Callable[[Any], object]]]]


class Table(Generic[Row]):
    """The table `name`, whose rows are values of `row`, a dataclass or struct."""

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
        """`codecs` are by field. `internal` are columns without a field, with their types: leases, for instance."""
        self.name = name
        self.home = home
        self.key = key
        self.internal: Final = dict(internal or {})
        self.row = row
        self._fields = tuple(_fields(row, codecs or {}))
        self.types: Final[Mapping[str, str]] = {
            column: kind for field in self._fields for column, kind in field.columns.items()
        }
        self.columns: Final = tuple(self.types)
        #: Columns that hold a field as it is, and whether they can be null.
        self.nullable: Final = {
            field.name: field.is_optional for field in self._fields if field.codec is None
        }
        self._getters = {column: getter for field in self._fields for column, getter in _getters(field, key)}
        self._arrays: dict[tuple[str, ...], _Arrays] = {}
        # A key that is internal, such as a generated number, binds no ciphertext.
        places = [self.columns.index(column) for column in key if column in self.types]
        self._decoders = tuple(_decoders(self._fields, places))

    @property
    def encrypted(self) -> tuple[str, ...]:
        """The columns with ciphertexts, which are named so. A test compares them with the schema."""
        return tuple(column for column in self.columns if column.endswith(ENCRYPTED))

    def place(self, column: str, key: tuple[str, ...]) -> bytes:
        """What the ciphertext in this column of the row with this primary key is bound to."""
        return associated_data(self.name, column, key)

    @property
    def select(self) -> str:
        """All columns of the row, in the order of `read`."""
        return ", ".join(self.columns)

    def select_from(self, alias: str) -> str:
        """The same, in a statement with several tables."""
        return ", ".join(f"{alias}.{column}" for column in self.columns)

    def read(self, record: "asyncpg.Record | tuple[Any, ...]") -> Row:
        """The value of a record, or a part of one, that begins with the columns of `select`."""
        return self.row(*[decode(record) for decode in self._decoders])

    def unnest(self, columns: Sequence[str], alias: str = "w", extra: Mapping[str, str] | None = None) -> str:
        """`unnest($1::text[], …) AS w (…)`: rows of these columns, and of `extra` columns, from `arrays`."""
        kinds = {column: self.type_of(column) for column in columns} | dict(extra or {})
        arrays = ", ".join(f"${place}::{kind}[]" for place, kind in enumerate(kinds.values(), 1))
        return f"unnest({arrays}) AS {alias} ({', '.join(kinds)})"

    def arrays(self, rows: Sequence[Row], columns: tuple[str, ...]) -> list[Sequence[object]]:
        """The parameters of `unnest`: for each column, its values in all rows. `columns` is one of a few constants."""
        if not rows:
            return [()] * len(columns)
        if columns not in self._arrays:
            self._arrays[columns] = self._arrays_of(columns)
        values, encoders = self._arrays[columns]
        arrays: list[Sequence[object]] = list(zip(*map(values, rows), strict=True))
        for place, encode in encoders:
            arrays[place] = list(map(encode, rows))
        return arrays

    def _arrays_of(self, columns: tuple[str, ...]) -> _Arrays:
        fields = {column: field for field in self._fields for column in field.columns}
        values = attrgetter(*(fields[column].name for column in columns))
        encoders = [
            (place, self._getters[column]) for place, column in enumerate(columns) if fields[column].codec
        ]
        return (values if len(columns) > 1 else lambda row: (values(row),)), encoders

    def insert(self) -> str:
        """Inserts the rows of `arrays(rows, columns)` into a cell. Internal columns get the defaults of the schema.

        Only the first array is unnested: it takes PostgreSQL less time to find the values of a row in the other arrays
        than to unnest them, if there are very many. If no table of the cell were in the SELECT, Citus would execute it
        where the client is connected, and copy rows.
        """
        first, *others = self.columns
        values = [
            f"(${number}::{self.types[column]}[])[a.place::integer] AS {column}"
            for number, column in enumerate(others, 2)
        ]
        unnested = f"unnest($1::{self.types[first]}[]) WITH ORDINALITY AS a ({first}, place)"
        rows = f"(SELECT {', '.join([f'a.{first}', *values])} FROM {unnested}) AS w"
        return f"INSERT INTO {self.name} ({self.select}) SELECT {self.select_from('w')} FROM {rows} CROSS JOIN cell"

    def values(self, row: Row, columns: Sequence[str]) -> list[object]:
        """The values of one row in these columns, as parameters."""
        return [self._getters[column](row) for column in columns]

    def insert_one(self, *internal: str) -> str:
        """Inserts the row of `values(row, columns)`, followed by values of these internal columns."""
        columns = (*self.columns, *internal)
        places = ", ".join(f"${place}" for place in range(1, len(columns) + 1))
        return f"INSERT INTO {self.name} ({', '.join(columns)}) VALUES ({places})"

    def update_one(self, columns: Sequence[str]) -> str:
        """Sets these columns of the row with the key; the parameters are `values(row, (*key, *columns))`."""
        places = enumerate((*self.key, *columns), 1)
        terms = [f"{column} = ${place}" for place, column in places]
        keys, settings = terms[: len(self.key)], terms[len(self.key) :]
        return f"UPDATE {self.name} SET {', '.join(settings)} WHERE {' AND '.join(keys)}"

    def type_of(self, column: str) -> str:
        return self.types[column] if column in self.types else self.internal[column]


class RowsMissing(RuntimeError):
    """A statement wrote fewer rows than it was given. The transaction must not commit."""


async def write_rows(connection: "Connection", statement: str, count: int, *parameters: object) -> None:
    """Execute an INSERT that must write `count` rows. Raises RowsMissing."""
    status = await connection.execute(statement, *parameters)
    if status != f"INSERT 0 {count}":
        raise RowsMissing(f"{count} rows to insert: {status}")


def assignments(columns: Sequence[str], alias: str = "w") -> str:
    """The SET list of an UPDATE from `unnest`."""
    return ", ".join(f"{column} = {alias}.{column}" for column in columns)


def _fields(row: type[Any], codecs: Mapping[str, Codec]) -> Iterator[_Field]:
    hints = get_type_hints(row)
    for name in inspect.signature(row).parameters:
        codec = codecs.get(name)
        if codec is not None:
            yield _Field(name, codec.columns, _without_none(hints[name])[1], codec, codec.decode)
            continue
        kind, is_optional = _without_none(hints[name])
        if isinstance(kind, type) and issubclass(kind, StrEnum):
            yield _Field(name, {name: "text"}, is_optional, None, _optional(kind) if is_optional else kind)
        else:
            yield _Field(name, {name: TYPES[kind]}, is_optional, None, None)


def _without_none(hint: Any) -> tuple[Any, bool]:
    """The type without `| None`, and whether that was there."""
    if get_origin(hint) not in (Union, types.UnionType):
        return hint, False
    kinds = [kind for kind in get_args(hint) if kind is not types.NoneType]
    return kinds[0] if len(kinds) == 1 else hint, len(kinds) < len(get_args(hint))


def _optional(decode: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else decode(value)


def _getters(field: _Field, key: Sequence[str]) -> Iterator[tuple[str, Callable[[Any], object]]]:
    codec, name = field.codec, field.name
    if codec is None:
        yield name, attrgetter(name)
        return
    bound_to = tuple(key) if codec.is_bound else None
    for place, column in enumerate(codec.columns):
        yield column, _encoder(codec.encode, name, place, bound_to)


def _encoder(
    encode: Callable[..., tuple[object, ...]], name: str, place: int, bound_to: tuple[str, ...] | None
) -> Callable[[Any], object]:
    if bound_to is None:
        return lambda row: encode(getattr(row, name))[place]
    return lambda row: encode(getattr(row, name), tuple(getattr(row, column) for column in bound_to))[place]


def _decoders(fields: Sequence[_Field], key: Sequence[int]) -> Iterator[Callable[[Any], Any]]:
    """For each field, a function of the record. `key` has the places of the primary key."""
    start = 0
    for field in fields:
        yield (
            _bound_decoder(field, start, key)
            if field.codec and field.codec.is_bound
            else _decoder(field, start)
        )
        start += len(field.columns)


def _bound_decoder(field: _Field, start: int, key: Sequence[int]) -> Callable[[Any], Any]:
    assert field.decode is not None
    decode, end = field.decode, start + len(field.columns)
    return lambda record: decode(*record[start:end], tuple(record[place] for place in key))


def _decoder(field: _Field, start: int) -> Callable[[Any], Any]:
    decode = field.decode
    if decode is None:
        return itemgetter(start)
    if len(field.columns) == 1:
        return lambda record: decode(record[start])
    values = itemgetter(*range(start, start + len(field.columns)))
    return lambda record: decode(*values(record))
