"""The cells of a demo's database: schemas of one server. Its merchants are spread over them when they are added."""

from typing import Final

import psycopg

from tael.db.cells import FIRST, CellLocation
from tael.db.migrate import migrate, migrate_cell

ADD: Final = "INSERT INTO public.cell_location (cell, servers) VALUES (%s, '') ON CONFLICT DO NOTHING"


def migrate_cells(database_url: str, cells: int) -> None:
    """Migrate the database, and add cells until there are so many. Raises as `migrate`."""
    migrate(database_url)
    for number in range(FIRST + 1, cells):
        migrate_cell(database_url, CellLocation(number))
        with psycopg.connect(database_url) as connection:
            connection.execute(ADD, [number])
