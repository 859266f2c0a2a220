"""Migrates the directory and all cells, and grants the roles of each server what they need.

A server that cannot be migrated does not keep the others from it.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tael.cli.databases import UNUSABLE_DATABASE, why_unusable
from tael.db.cells import CellLocation, url_on
from tael.db.grants import grant
from tael.db.migrate import MigrationBlocked, locations_in, migrate_cell, migrate_directory
from tael.db.roles import RolesRefused, create_roles, grant_roles, is_owner, owns_tables

FAILED: Final = (MigrationBlocked, RolesRefused, *UNUSABLE_DATABASE)


@dataclass(frozen=True, slots=True)
class Migrated:
    """The number of applied migrations, and why cells were not migrated, by their numbers."""

    applied: int
    failed: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Grants:
    """Which roles get privileges on a server."""

    are_asked_for: bool = False  #: those of the group roles, which are created if they are missing
    are_in_use: bool = False  #: the group roles own the directory's tables
    role: str | None = None  #: another role


def migrate_all(url: str, *, with_roles: bool, grant_to: str | None) -> Migrated:
    """Raises MigrationBlocked, RolesRefused, psycopg.Error if the servers of the directory cannot be migrated."""
    if with_roles:
        create_roles(url)
    applied = migrate_directory(url)
    grants = Grants(with_roles, owns_tables(url), grant_to)
    by_servers = defaultdict[str, list[CellLocation]](list)
    for location in locations_in(url):
        by_servers[location.servers].append(location)
    applied += _migrate_cells(url, by_servers.pop("", []), grants, applied)
    failed: dict[int, str] = {}
    for servers, locations in by_servers.items():
        try:
            _create_missing_roles(url_on(url, servers), grants)
            applied += _migrate_cells(url, locations, grants)
        except FAILED as error:
            failed |= dict.fromkeys((each.number for each in locations), why_failed(error))
    return Migrated(applied, failed)


def migrate_new_cell(url: str, location: CellLocation, grant_to: str | None) -> None:
    """Create or complete a cell's schema, with the group roles if the directory uses them. Raises one of FAILED."""
    grants = Grants(
        are_asked_for=owns_tables(url), role=grant_to
    )  # also after an interruption before the grants
    if location.servers:
        _create_missing_roles(location.url(url), grants)
    _migrate_cells(url, [location], grants)


def why_failed(error: Exception) -> str:
    """One sentence."""
    return str(error) if isinstance(error, MigrationBlocked | RolesRefused) else why_unusable(error)


def _create_missing_roles(url: str, grants: Grants) -> None:
    """Roles belong to a server: the directory's are missing on others."""
    if grants.are_asked_for or grants.are_in_use:
        create_roles(url)


def _migrate_cells(
    url: str, locations: Sequence[CellLocation], grants: Grants, applied_before: int = 0
) -> int:
    """Migrate cells on the same servers, and grant what is needed there.

    An owner also gives group roles that are in use what this version needs, if nothing was migrated.
    """
    servers_url = url_on(url, locations[0].servers if locations else "")
    applied = sum(migrate_cell(url, location) for location in locations)
    has_new_tables = applied + applied_before > 0
    if grants.are_asked_for or (grants.are_in_use and (has_new_tables or is_owner(servers_url))):
        grant_roles(servers_url)
    if grants.role is not None:
        grant(servers_url, grants.role)
    return applied
