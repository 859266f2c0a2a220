"""`tael purge`: removes personal data of payments and other rows that are old and finished."""

import re
from datetime import timedelta
from typing import Annotated, Final

import typer

from tael.audit_log.domain.entry import Origin
from tael.cli.finding import DataOption, change_store
from tael.cli.showing import UNUSABLE, JsonOption, refused, show_json, show_rows
from tael.operations.store import Store
from tael.retention.purge import Purged, TooRecent, purge_before

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

    async def work(store: Store, origin: Origin) -> Purged:
        purge = purge_before(store.directory, store.database, store.document_files, age, origin)
        return await (purge.count() if dry_run else purge.run())

    try:
        purged = change_store("purge", data, work)
    except TooRecent as error:
        raise refused(f"--older-than: {error}", UNUSABLE) from error
    except OSError as error:
        raise refused(f"a document cannot be removed: {error}") from error
    if as_json:
        show_json(purged)
    else:
        show_rows([{"table": table, "rows": rows} for table, rows in purged.items()], ("table", "rows"))


def _age(text: str) -> timedelta:
    match = DAYS.fullmatch(text)
    if match is None:
        raise refused("--older-than: must be a number of days such as 400d", UNUSABLE)
    return timedelta(days=int(match[1]))
