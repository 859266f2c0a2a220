"""`tael purge`: removes personal data of payments and other rows that are old and finished."""

import re
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from functools import partial
from typing import Annotated, Final

import typer

from tael.audit_log.domain.entry import Origin
from tael.cli.cell_answers import Answers, in_every_cell
from tael.cli.finding import DataOption, change_stores
from tael.cli.showing import UNUSABLE, JsonOption, refused, show_json, show_rows
from tael.db.tables import Home
from tael.operations.store import Store
from tael.retention.purge import Purged, TooRecent, purge_before
from tael.stores import Stores

#: Days as a text; nothing was stored a century ago.
DAYS: Final = re.compile(r"([0-9]{1,5})d")


def purge_command(
    older_than: Annotated[
        str, typer.Option(metavar="DAYS", help="Age of the rows, such as `400d`; at least `90d`.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print how many rows would be purged, and change nothing.")
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove personal data of old payments.

    And of refunds, checkout links, webhooks, unmatched payments, statements and refused applications that are old and
    finished. Money, states, numbers and digests are kept. It can be interrupted and repeated.
    """
    age = _age(older_than)

    async def purge(home: Home, store: Store, origin: Origin) -> Purged:
        files = store.document_files
        run = purge_before(store.directory, store.database, files, age, origin, (home,))
        return await (run.count() if dry_run else run.run())

    async def work(stores: Stores, origin: Origin) -> tuple[Answers[Purged], Purged]:
        in_cells = await in_every_cell(partial(purge, Home.CELL))(stores, origin)
        return in_cells, await purge(Home.DIRECTORY, stores.first, origin)

    try:
        in_cells, applicants = change_stores("purge", data, work)
    except TooRecent as error:
        raise refused(f"--older-than: {error}", UNUSABLE) from error
    except OSError as error:
        raise refused(f"a document cannot be removed: {error}") from error
    purged = _sum([*in_cells, applicants])
    if as_json:
        show_json(purged)
    else:
        show_rows([{"table": table, "rows": rows} for table, rows in purged.items()], ("table", "rows"))
    in_cells.finish()


def _sum(purged: Iterable[Purged]) -> Purged:
    total: Counter[str] = Counter()
    for each in purged:
        total.update(each)
    return dict(total)


def _age(text: str) -> timedelta:
    match = DAYS.fullmatch(text)
    if match is None:
        raise refused("--older-than: must be a number of days such as 400d", UNUSABLE)
    return timedelta(days=int(match[1]))
