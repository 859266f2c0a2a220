"""`tael keys`: the encryption keys, and the keys of the addresses of payers' pages. The gateway runs meanwhile.

No command prints a key. Encryption keys are changed in the file of TAEL_ENCRYPTION_KEY_FILE.
"""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, TypeVar

import typer

from tael.audit_log.domain.entry import Origin
from tael.base.key_ring import BadKeys
from tael.cli.finding import DataOption, change_store, with_keys, with_store
from tael.cli.showing import IMPOSSIBLE, JsonOption, fail, refused, show_json, show_members, show_rows
from tael.merchants.store.encryption_keys import KeysInUse
from tael.operations.ciphertexts import count_ciphertexts
from tael.operations.encryption_keys import KeysRefused, Rotation, add_key, remove_key, rotate_keys
from tael.operations.link_keys import accepted_for, rotate_link_keys
from tael.operations.store import Store
from tael.payments.domain.page_urls import LinkKey
from tael.payments.store.link_keys import MAX_LINK_KEYS, TooManyLinkKeys

Answer = TypeVar("Answer")

ENCRYPTION_COLUMNS: Final = ("key_id", "state", "ciphertexts", "documents")
LINK_COLUMNS: Final = ("key_id", "created_at", "accepted_until")
#: Waits of this length are announced.
LONG_WAIT_S: Final = 5

keys: Final = typer.Typer(help="Rotate encryption keys and link keys.", no_args_is_help=True)


@keys.callback()
def group() -> None:
    """Rotate encryption keys and link keys."""


@keys.command("list")
def list_keys(data: DataOption = None, as_json: JsonOption = False) -> None:
    """List the ids of encryption keys, with the number of ciphertexts under each, and of link keys."""

    async def work(store: Store, now: datetime) -> dict[str, list[dict[str, Any]]]:
        link_keys = [_link_row(key) for key in await store.link_keys.all()]
        return {"encryption_keys": await _encryption_rows(store), "link_keys": link_keys}

    found = _changed(lambda: with_store(data, work))
    if as_json:
        show_json(found)
        return
    show_rows(found["encryption_keys"], ENCRYPTION_COLUMNS, "encryption keys")
    if found["link_keys"]:
        show_rows(found["link_keys"], LINK_COLUMNS, "link keys")


@keys.command("add")
def add(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Add a random encryption key to the key file. It decrypts only, until a rotation makes it the first."""
    key_id = _changed(lambda: with_keys(data, add_key))
    _show({"key_id": key_id}, as_json)


@keys.command("rotate")
def rotate(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Make an unused encryption key, or a new one, the first, and encrypt everything again with it.

    A rotation that did not come to its end is completed instead. It can be interrupted and started again at any time.
    """
    done = _changed(
        lambda: change_store("keys rotate", data, lambda store, origin: rotate_keys(store, origin, _wait))
    )
    row = _rotation_row(done)
    _show(row if as_json else row | {"previous_ids": ", ".join(done.previous_ids)}, as_json)
    if done.unreadable:
        raise refused(f"no key decrypts these; restore them or the key: {', '.join(done.unreadable)}")


@keys.command("remove")
def remove(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="As shown by `tael keys list`.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove an encryption key from the key file. Refused while anything is encrypted with it.

    Waits until the file is unchanged for a minute: writes that began with the key as the first have ended by then.
    """

    async def work(store: Store, origin: Origin) -> None:
        await remove_key(key_id, store, origin, _wait)

    _changed(lambda: change_store("keys remove", data, work))
    _show({"key_id": key_id, "removed": True}, as_json)


@keys.command("rotate-links")
def rotate_links(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Make a new link key. Addresses made with the one before work until the last of their pages has ended."""

    async def work(store: Store, origin: Origin) -> tuple[LinkKey, datetime]:
        return await rotate_link_keys(store.link_keys, origin), origin.at + accepted_for()

    try:
        new, accepted_until = change_store("keys rotate-links", data, work)
    except TooManyLinkKeys:
        raise refused(
            f"there are {MAX_LINK_KEYS} link keys; the oldest end first, as `tael keys list` shows"
        ) from None
    days = accepted_for() / timedelta(days=1)
    _show(
        {
            "key_id": new.key_id,
            "previous_accepted_until": accepted_until,
            "accepted_for_days": round(days, 2),
        },
        as_json,
    )


async def _encryption_rows(store: Store) -> list[dict[str, Any]]:
    counts, ring = await count_ciphertexts(store), store.keys.current()
    used = await store.encryption_keys.used()

    def state(key_id: str) -> str:
        if key_id == ring.encrypting_id:
            return "encrypts"
        if key_id not in ring.key_ids:
            return "missing"
        return "decrypts" if key_id in used or counts.under(key_id) else "unused"

    missing = sorted((counts.rows.keys() | counts.documents.keys()) - set(ring.key_ids))
    return [
        {
            "key_id": key_id,
            "state": state(key_id),
            "ciphertexts": counts.rows[key_id],
            "documents": counts.documents[key_id],
        }
        for key_id in (*ring.key_ids, *missing)
    ]


def _link_row(key: LinkKey) -> dict[str, Any]:
    return {name: getattr(key, name) for name in LINK_COLUMNS}


def _rotation_row(done: Rotation) -> dict[str, Any]:
    return asdict(done) | {"previous_ids": list(done.previous_ids), "unreadable": len(done.unreadable)}


def _show(row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show_json(row)
    else:
        show_members(row)


async def _wait(seconds: float) -> None:
    if seconds > LONG_WAIT_S:
        typer.echo(f"waiting {seconds:.0f} s for writes that may be in progress", err=True)
    await asyncio.sleep(seconds)


def _changed(work: Callable[[], Answer]) -> Answer:
    """The result of `work`, or an exit that says why not."""
    try:
        return work()
    except (KeysRefused, KeysInUse) as error:
        raise refused(str(error)) from error
    except BadKeys as error:
        raise fail(f"the key file {error}", IMPOSSIBLE) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise refused(f"{error.filename}: {reason}" if error.filename else reason) from error
