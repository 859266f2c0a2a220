"""`tael after-restore`: what needs care in a database that was restored, before the gateway starts."""

from dataclasses import asdict
from typing import Annotated, Any, Final

import typer

from tael.audit_log.domain.entry import Origin
from tael.cli.finding import DataOption, change_store
from tael.cli.showing import JsonOption, refused, show_json, show_rows
from tael.operations.ciphertexts import count_ciphertexts
from tael.operations.store import Store
from tael.recovery.after_restore import apply_after_restore, look_after_restore

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

    async def work(store: Store, origin: Origin) -> dict[str, Any]:
        restored = await (
            apply_after_restore(store.directory, store.database, store.cell, origin)
            if apply
            else look_after_restore(store.directory, store.database, store.cell)
        )
        return {**asdict(restored), **await _ciphertexts(store)}

    try:
        report = change_store("after-restore", data, work)
    except OSError as error:
        raise refused(f"the documents cannot be read: {error}") from error
    if as_json:
        show_json(report)
    else:
        rows = [{"what": name, "found": report[name], "do": step} for name, step in STEPS.items()]
        show_rows(rows, ("what", "found", "do"))


async def _ciphertexts(store: Store) -> dict[str, int]:
    """What the present keys do not decrypt, and documents without a content."""
    counts = await count_ciphertexts(store)
    unknown = (counts.rows.keys() | counts.documents.keys()) - set(store.keys.current().key_ids)
    return {
        "unknown_key_ciphertexts": sum(map(counts.under, unknown)),
        "missing_documents": counts.missing_documents,
    }
