"""`tael after-restore`: what needs care in a database that was restored, before the gateway starts."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Final

import typer

from tael.audit_log.domain.entry import Origin
from tael.cli.cell_answers import Answers, in_every_cell
from tael.cli.finding import DataOption, change_stores
from tael.cli.showing import JsonOption, refused, show_json, show_rows
from tael.operations.ciphertexts import count_ciphertexts
from tael.operations.store import Store
from tael.recovery.after_restore import apply_after_restore, look_after_restore
from tael.recovery.store.restored import Restored
from tael.stores import Stores

COLUMNS: Final = ("what", "found", "do")
#: What to do about each member of the report, in the order of use.
STEPS: Final = {
    "is_applied": "if not: run this command with --apply before the gateway starts",
    "newest_payment_at": "payments that were created later are lost here, and may exist at the wallets",
    "unknown_key_ciphertexts": "restore the encryption keys: what is under other keys cannot be read",
    "missing_documents": "restore the documents, or ask the merchants for them again",
    "returning_merchants": "set `--unmatched-payments hold` until lost payments are found, or their money is returned",
    "unscheduled_accounts": "fetch or import the statements since the recovery point",
    "statements": "`tael work` fetches them; `tael reconcile list` then shows what is missing here",
    "payments": "`tael work` queries the wallets",
    "refunds": "`tael work` queries the wallets",
    "reversals": "`tael work` queries the wallets",
    "unmatched_payments": "`tael work` queries the wallets",
    "webhooks": "some were delivered: merchants receive them again",
    "payouts": "compare with the bank before paying: some may be paid",
    "incidents": "look at those of kind unknown_order: they may be lost payments",
    "timeline": "names this restore in the audit log",
}


def after_restore_command(
    apply: Annotated[
        bool,
        typer.Option(
            "--apply", help="Skip numbers that may have been used, and make queries of the wallets due now."
        ),
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Report what needs care in a restored database.

    It was restored from a backup, or is a standby that was promoted. Run it while no gateway runs on the database, and
    with --apply before one starts. It applies once for each restore.
    """

    async def report(store: Store, origin: Origin) -> Restored:
        if apply:
            return await apply_after_restore(store.directory, store.database, store.cell, origin)
        return await look_after_restore(store.directory, store.database, store.cell)

    async def work(stores: Stores, origin: Origin) -> tuple[Answers[Restored], dict[str, int]]:
        return await in_every_cell(report)(stores, origin), await _ciphertexts(stores.first)

    try:
        of_cells, of_directory = change_stores("after-restore", data, work)
    except OSError as error:
        raise refused(f"the documents cannot be read: {error}") from error
    if len(of_cells.by_cell) + len(of_cells.down) == 1:
        _show_only(of_cells, of_directory, as_json)
    else:
        _show_each(of_cells.by_cell, of_directory, as_json)
    of_cells.finish()


def _show_only(of_cells: Answers[Restored], of_directory: dict[str, int], as_json: bool) -> None:
    """The report of a deployment with one cell."""
    (restored,) = of_cells
    report = asdict(restored) | of_directory
    if as_json:
        show_json(report)
    else:
        show_rows(_rows(report), COLUMNS)


def _show_each(of_cells: Mapping[int, Restored], of_directory: Mapping[str, int], as_json: bool) -> None:
    if as_json:
        cells = [{"cell": number} | asdict(restored) for number, restored in of_cells.items()]
        show_json({"directory": of_directory, "cells": cells})
        return
    show_rows(_rows(of_directory), COLUMNS, "directory")
    for number, restored in of_cells.items():
        show_rows(_rows(asdict(restored)), COLUMNS, f"cell {number}")


def _rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"what": name, "found": report[name], "do": step} for name, step in STEPS.items() if name in report
    ]


async def _ciphertexts(store: Store) -> dict[str, int]:
    """What the present keys do not decrypt, and documents without a content."""
    counts = await count_ciphertexts(store)
    unknown = (counts.rows.keys() | counts.documents.keys()) - set(store.keys.current().key_ids)
    return {
        "unknown_key_ciphertexts": sum(map(counts.under, unknown)),
        "missing_documents": counts.missing_documents,
    }
