"""What an operator does with the encryption keys: add, rotate, remove. The gateway runs meanwhile.

A rotation: a new key is in the file for decryption only, until every process has had time to read it. Then it becomes
the first, and all ciphertexts are encrypted again. A rotation that was killed is completed by the next one.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from tael.audit_log.domain.entry import Origin
from tael.base import ids
from tael.base.key_file import LOOK_S, KeyFile, KeySource, changing, unchanged_for_s
from tael.base.key_ring import MAX_KEYS, EncryptionKey, KeyRing, key_ring
from tael.db.ciphertexts import Pass
from tael.db.database import PATIENT
from tael.operations.ciphertexts import Counts, count_ciphertexts, encrypt_all_again
from tael.operations.store import Store

#: After a change of the file, every process has looked at it.
KNOWN_S: Final = 2 * LOOK_S
#: No write takes longer from encryption to commit: a call, a document's upload, an operator's command.
MAX_WRITE_S: Final = PATIENT.call_s + KNOWN_S
#: Each pass finds what was written during the one before.
MAX_PASSES: Final = 20

#: Waits this many seconds.
Wait = Callable[[float], Awaitable[None]]


class KeysRefused(Exception):
    """The change is not possible. The message is a sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation has done. `key_id` encrypts now."""

    key_id: str
    previous_ids: tuple[str, ...]  #: decrypt only, and can be removed
    is_new: bool  #: whether it began, instead of completing an earlier rotation
    encrypted: int
    missing_documents: int
    unreadable: tuple[str, ...]  #: places of ciphertexts that no key decrypts


def add_key(keys: KeySource) -> str:
    """Add a random key for decryption only; returns its id. Raises KeysRefused, OSError, BadKeys."""
    file = _file_of(keys)
    with changing(file.path) as ring:
        return _added(file, ring)


async def rotate_keys(store: Store, origin: Origin, wait: Wait) -> Rotation:
    """Raises KeysRefused, KeysInUse, OSError, BadKeys."""
    keys = store.keys
    async with store.encryption_keys.locked():
        ring, used = keys.read_again(), await store.encryption_keys.used()
        counts = await count_ciphertexts(store)
        is_new = not _is_incomplete(ring, used, counts)
        if is_new:
            await store.encryption_keys.note(ring.encrypting_id, origin)
            await _promote(_file_of(keys), used, wait)
        ring = keys.current()
        if isinstance(keys, KeyFile):
            await _wait_until_unchanged_for(keys, KNOWN_S, wait)  # every process encrypts with the new key
        done = await _encrypt_until_none_is_left(store, ring.encrypting_id)
        await store.encryption_keys.note(ring.encrypting_id, origin)
    previous = ring.key_ids[1:]
    return Rotation(
        ring.encrypting_id, previous, is_new, done.replaced, counts.missing_documents, done.unreadable
    )


async def remove_key(key_id: str, store: Store, origin: Origin, wait: Wait) -> None:
    """Raises KeysRefused if the key encrypts or anything is encrypted with it; KeysInUse, OSError, BadKeys."""
    file = _file_of(store.keys)
    async with store.encryption_keys.locked():
        _check_removal(file.read_again(), key_id)
        await _refuse_if_needed(key_id, store)
        # A write that began when the key was the first may not be committed yet.
        await _wait_until_unchanged_for(file, MAX_WRITE_S, wait)
        await _refuse_if_needed(key_id, store)
        await store.encryption_keys.note_removal(key_id, origin)
        with changing(file.path) as ring:
            _check_removal(ring, key_id)
            file.replace(KeyRing([key for key in ring.keys if key.key_id != key_id]))


def _is_incomplete(ring: KeyRing, used: frozenset[str], counts: Counts) -> bool:
    """Whether the first key has not taken over everything yet: from a key that was noted before it."""
    first = ring.encrypting_id
    is_unnoted = first not in used and any(key_id in used for key_id in ring.key_ids)
    return is_unnoted or any(counts.under(key_id) for key_id in ring.key_ids[1:])


async def _promote(file: KeyFile, used: frozenset[str], wait: Wait) -> None:
    """Make an unused key the first, once every process knows it. It is added if the file has none."""
    with changing(file.path) as ring:
        key_id = _unused(ring, used) or _added(file, ring)
    await _wait_until_unchanged_for(file, KNOWN_S, wait)
    with changing(file.path) as ring:
        if key_id not in ring.key_ids:
            raise KeysRefused(f"the key {key_id} was removed from {file.path} meanwhile")
        file.replace(KeyRing(sorted(ring.keys, key=lambda key: key.key_id != key_id)))


def _unused(ring: KeyRing, used: frozenset[str]) -> str | None:
    """The newest key that has encrypted nothing."""
    return next((key_id for key_id in reversed(ring.key_ids[1:]) if key_id not in used), None)


def _added(file: KeyFile, ring: KeyRing) -> str:
    if len(ring.keys) == MAX_KEYS:
        raise KeysRefused(f"{file.path} has {MAX_KEYS} keys; remove one first")
    new: EncryptionKey = key_ring(ids.secret_bytes()).keys[0]
    file.replace(KeyRing([*ring.keys, new]))
    return new.key_id


async def _wait_until_unchanged_for(file: KeyFile, seconds: float, wait: Wait) -> None:
    """A file from the future is as old as one that was written now."""
    remaining_s = min(seconds - unchanged_for_s(file.path), seconds)
    if remaining_s > 0:
        await wait(remaining_s)


async def _encrypt_until_none_is_left(store: Store, key_id: str) -> Pass:
    """Raises KeysRefused if others write with another key all the time: their processes do not follow the file."""
    total = Pass()
    for _ in range(MAX_PASSES):
        done = await encrypt_all_again(store, key_id)
        total = Pass(total.replaced + done.replaced, unreadable=done.unreadable)
        if done.replaced + done.changed_meanwhile == 0:
            return total
    raise KeysRefused(
        "new ciphertexts under another key appear all the time: a process does not have the new keys"
    )


async def _refuse_if_needed(key_id: str, store: Store) -> None:
    count = (await count_ciphertexts(store)).under(key_id)
    if count:
        raise KeysRefused(
            f"{count} ciphertexts are encrypted with the key {key_id}; run `tael keys rotate` first"
        )


def _check_removal(ring: KeyRing, key_id: str) -> None:
    if key_id not in ring.key_ids:
        raise KeysRefused(f"there is no key {key_id}")
    if key_id == ring.encrypting_id:
        raise KeysRefused(f"the key {key_id} encrypts; run `tael keys rotate` first")


def _file_of(keys: KeySource) -> KeyFile:
    if not isinstance(keys, KeyFile):
        raise KeysRefused(
            "the keys are in TAEL_ENCRYPTION_KEY, which only a restart changes; see the operator manual"
        )
    return keys
