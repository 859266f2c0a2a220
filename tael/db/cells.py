"""The parts of a deployment's database: the directory, and cells, each a schema with the money of a group of merchants.

A cell is on the directory's servers, or on others with the same database name, login and parameters of the URL. With
Citus it is on one of the nodes, and can move to another. Each has pools of its own, so that one whose server is down or
slow takes no connection from another.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar
from urllib.parse import urlsplit

import asyncpg
import structlog

from tael.base.read_cache import TIMER, ReadCache
from tael.db.database import FIXED_CONNECTIONS, Database, Limits, StoreUnavailable, budget
from tael.db.servers import address

if TYPE_CHECKING:
    from tael.db.database import Connection

log = structlog.get_logger()

Opened = TypeVar("Opened")
Other = TypeVar("Other")
#: The database of a cell, by its number. Raises StoreUnavailable.
DatabaseOf = Callable[[int], Awaitable[Database]]

#: The number is two digits of a syssn.
MAX_CELL: Final = 99
FIRST: Final = 0
READ_LOCATIONS: Final = """
SELECT cell, servers, to_regclass('pg_catalog.pg_dist_placement') IS NOT NULL AS has_citus
FROM cell_location ORDER BY cell
"""
ADD_LOCATION: Final = "INSERT INTO cell_location (cell, servers) VALUES ($1, $2)"
CHANGE_LOCATION: Final = "UPDATE cell_location SET servers = $2 WHERE cell = $1"
#: Host and port of the node that has the tables of each schema, from Citus's own tables, which each node has.
READ_NODES: Final = """
SELECT n.nspname::text AS schema, d.nodename AS host, d.nodeport AS port
FROM pg_dist_placement AS p
JOIN pg_dist_shard AS s USING (shardid)
JOIN pg_class AS c ON c.oid = s.logicalrelid AND c.relname = 'cell'
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_dist_node AS d ON d.groupid = p.groupid AND d.noderole = 'primary'
"""
#: What Citus calls a coordinator that was given no host: nothing for other machines.
NO_HOST: Final = "localhost"
#: The directory is read seldom: what it has is cached.
DIRECTORY_CONNECTIONS: Final = FIXED_CONNECTIONS + 3
#: How soon a process knows of a new cell, unless a merchant is in it, and of one that has moved, unless it is down.
LOCATIONS_S: Final = 10.0
#: Numbers that nothing vouches for, such as that in a page's address, do not make it read more often.
NEW_CELL_S: Final = 1.0
#: After a failure, so that not every caller waits for a directory that does not respond.
RETRY_S: Final = 1.0
#: Servers that are about to be named must respond in this time.
RESPONSE_S: Final = 5.0
#: How long what was read from the directory is used while it is down.
STALE_S: Final = 900.0
#: Of the schema's own cell.
READ_NUMBER: Final = "SELECT number FROM cell"
#: Host names, addresses and ports, with commas.
SERVER: Final = r"(?:[A-Za-z0-9._-]+|\[[0-9a-f:]+\]):\d{1,5}"
SERVERS: Final = re.compile(f"{SERVER}(,{SERVER})*")


class NoSuchCell(StoreUnavailable):
    """The directory names no cell with this number."""


class NumberTaken(Exception):
    """The directory names another cell with this number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"cell {number} exists")


@dataclass(frozen=True, slots=True)
class CellLocation:
    """Where a cell is. `servers` is "" for the directory's servers."""

    number: int
    servers: str = ""

    @property
    def schema(self) -> str:
        return schema_of(self.number)

    def url(self, directory_url: str) -> str:
        """The URL of its database, with the login of the directory's."""
        return url_on(directory_url, self.servers)


def schema_of(number: int) -> str:
    """The schema of a cell."""
    return f"cell_{number:02d}"


async def number_in(database: Database) -> int | None:
    """The number that a cell's own table has. Raises StoreUnavailable."""
    rows = await database.fetch(READ_NUMBER)
    return int(rows[0]["number"]) if rows else None


def url_on(url: str, servers: str) -> str:
    """`url` with these servers, or as it is if there are none."""
    if not servers:
        return url
    parts = urlsplit(url)
    login, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{login}{at}{servers}").geturl()


def directory_cache(ttl_s: float, timer: Callable[[], float] = TIMER) -> ReadCache[Any]:
    """A cache of what is in the directory, whose death does not stop cells on other servers at once."""
    return ReadCache(ttl_s=ttl_s, stale_s=STALE_S, unavailable=StoreUnavailable, timer=timer)


class Cells:
    """The databases of one process. Those of cells are opened at first use, except for the first one's."""

    def __init__(
        self, url: str, limits: Limits | None = None, database_class: type[Database] = Database
    ) -> None:
        self._url = url
        self._limits = limits = limits or Limits()
        self._new = database_class
        connections = min(limits.connections, DIRECTORY_CONNECTIONS)
        self.directory: Final = database_class(url, replace(limits, connections=connections))
        self._opened: dict[int, Database] = {}
        self._opening = asyncio.Lock()
        self._locations: Sequence[CellLocation] = ()
        self._nodes: Mapping[str, str] = {}
        self._read_at = float("-inf")
        self._has_failed = asyncio.Event()  #: a cell could not serve a statement

    async def __aenter__(self) -> Self:
        await self.directory.__aenter__()
        await self._open(CellLocation(FIRST))
        return self

    async def __aexit__(self, *_: object) -> None:
        for database in (*self._opened.values(), self.directory):
            await database.__aexit__()

    @property
    def databases(self) -> "PerCell[Database]":
        """The database of each. That of cell 0, which every deployment has, is open."""
        return PerCell(self._opened[FIRST], self.of, self.numbers)

    async def numbers(self) -> Sequence[int]:
        """Of all cells. Raises as `locations`."""
        return [location.number for location in await self.locations()]

    async def of(self, number: int) -> Database:
        """The database of a cell. Raises NoSuchCell, and StoreUnavailable if the directory cannot be read."""
        return self._opened.get(number) or await self._found(number)

    async def locations(self) -> Sequence[CellLocation]:
        """All cells, as they were known at most `LOCATIONS_S` ago. Raises StoreUnavailable if none are known."""
        if self._is_older_than(LOCATIONS_S):
            try:
                await self._read_locations()
            except StoreUnavailable:
                if not self._locations:
                    raise
                self._read_at = asyncio.get_running_loop().time() - LOCATIONS_S + RETRY_S
        return self._locations

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Within the block, the connections of a cell move with it."""
        task = asyncio.get_running_loop().create_task(self._follow())
        try:
            yield
        finally:
            task.cancel()

    def node_of(self, location: CellLocation) -> str:
        """Host and port of the node of Citus that had the cell when the locations were read; "" without Citus."""
        return "" if location.servers else self._nodes.get(location.schema, "")

    def place_of(self, location: CellLocation) -> str:
        """Where its connections go: to a node, or to other servers than the directory's; "" for the directory's."""
        return self.node_of(location) or location.servers

    async def location(self, number: int) -> CellLocation:
        """Raises NoSuchCell, StoreUnavailable."""
        for location in await self.locations():
            if location.number == number:
                return location
        raise NoSuchCell(f"there is no cell {number}")

    async def number_at(self, location: CellLocation) -> int | None:
        """The number that a cell has on other servers than those that are named. Raises StoreUnavailable."""
        async with self._new(self._url_of(location), self._limits, location.schema) as database:
            with budget(RESPONSE_S):
                return await number_in(database)

    async def change(self, location: CellLocation, note: "Callable[[Connection], Awaitable[None]]") -> None:
        """Name the new servers of a cell; `note` writes what belongs to the same commit."""
        async with self.directory.transaction() as connection:
            await connection.execute(CHANGE_LOCATION, location.number, location.servers)
            await note(connection)
        await self._read_locations()

    async def add(self, location: CellLocation, note: "Callable[[Connection], Awaitable[None]]") -> None:
        """Name a cell that has been migrated; `note` writes what belongs to the same commit. Raises NumberTaken."""
        try:
            async with self.directory.transaction() as connection:
                await connection.execute(ADD_LOCATION, location.number, location.servers)
                await note(connection)
        except asyncpg.UniqueViolationError as error:
            raise NumberTaken(location.number) from error
        await self._read_locations()

    def _is_older_than(self, seconds: float) -> bool:
        """Whether the locations were read so long ago."""
        return asyncio.get_running_loop().time() - self._read_at >= seconds

    async def _read_locations(self) -> None:
        rows = await self.directory.fetch(READ_LOCATIONS)
        has_citus = any(row["has_citus"] for row in rows)
        nodes = await self.directory.fetch(READ_NODES) if has_citus else []
        self._nodes = {
            row["schema"]: address(row["host"], row["port"]) for row in nodes if row["host"] != NO_HOST
        }
        self._locations = [CellLocation(row["cell"], row["servers"]) for row in rows]
        self._read_at = asyncio.get_running_loop().time()
        for location in self._locations:
            if opened := self._opened.get(location.number):
                await opened.move_to(self._url_of(location))

    def _url_of(self, location: CellLocation) -> str:
        return url_on(self._url, self.place_of(location))

    async def _follow(self) -> None:
        while True:
            self._has_failed.clear()
            try:
                await self._read_locations()
            except StoreUnavailable:
                pass  # the directory's readiness has the reason
            except Exception:
                log.exception("cells.not_followed")
            await asyncio.sleep(RETRY_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._has_failed.wait(), LOCATIONS_S - RETRY_S)

    async def _found(self, number: int) -> Database:
        """A cell that is not open. One that was added a moment ago is read at once."""
        if number not in {each.number for each in self._locations} and self._is_older_than(NEW_CELL_S):
            await self._read_locations()
        for location in self._locations:
            if location.number == number:
                async with self._opening:
                    return self._opened.get(number) or await self._open(location)
        raise NoSuchCell(f"there is no cell {number}")

    async def _open(self, location: CellLocation) -> Database:
        database = self._new(self._url_of(location), self._limits, location.schema, self._has_failed.set)
        await database.__aenter__()
        self._opened[location.number] = database
        return database


class PerCell(Generic[Opened]):
    """Something of each cell, which is made at its first use and kept."""

    def __init__(
        self,
        first: Opened,
        make: Callable[[int], Awaitable[Opened]],
        numbers: Callable[[], Awaitable[Sequence[int]]],
    ) -> None:
        #: That of cell 0, which is always there.
        self.first: Final = first
        self._made: dict[int, Opened] = {FIRST: first}
        self._make = make
        #: Of all cells. Raises StoreUnavailable if none are known.
        self.numbers: Final = numbers

    async def of(self, number: int) -> Opened:
        """Raises NoSuchCell, StoreUnavailable."""
        made = self._made.get(number)
        if made is None:
            made = self._made.setdefault(number, await self._make(number))
        return made

    def made(self) -> Mapping[int, Opened]:
        """Those that have been used so far, by number."""
        return dict(self._made)

    async def all(self) -> Mapping[int, Opened]:
        """By number. Raises StoreUnavailable if none are known."""
        return {number: await self.of(number) for number in await self.numbers()}

    def map(self, build: Callable[[Opened], Other]) -> "PerCell[Other]":
        """What `build` makes of each."""
        return self.map_numbered(lambda _, each: build(each))

    def map_numbered(self, build: Callable[[int, Opened], Other]) -> "PerCell[Other]":
        """The same, of its number and it."""

        async def make(number: int) -> Other:
            return build(number, await self.of(number))

        return PerCell(build(FIRST, self.first), make, self.numbers)


def only(value: Opened, number: int = FIRST) -> PerCell[Opened]:
    """That of a deployment with one cell."""

    async def make(other: int) -> Opened:
        if other != number:
            raise NoSuchCell(f"there is no cell {other}")
        return value

    async def numbers() -> Sequence[int]:
        return [number]

    return PerCell(value, make, numbers)
