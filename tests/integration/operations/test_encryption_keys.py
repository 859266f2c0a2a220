"""Rotation of the encryption keys: kills at every point, other processes meanwhile, both places of documents."""

import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from tael.base.cipher import Cipher, associated_data, key_id_of
from tael.base.key_file import KeyFile, KeySource, read_key_file
from tael.base.key_ring import MAX_KEYS, key_ring
from tael.base.secret import Secret
from tael.db.database import Database
from tael.merchants.store.document_places import Place, place_at
from tael.merchants.store.encryption_keys import KeysInUse
from tael.operations.ciphertexts import count_ciphertexts
from tael.operations.encryption_keys import KeysRefused, Rotation, add_key, remove_key, rotate_keys
from tael.operations.store import Store, store_over
from tests.support.ciphertexts import ciphertexts_in, signed_up, with_every_ciphertext
from tests.support.crashing import Crash, CrashingDatabase, Process
from tests.support.s3 import running_s3
from tests.support.store import CIPHER, ENCRYPTION_KEY, NODE
from tests.support.values import APPCODE, ORIGIN, an_app

FIRST_ID = key_ring(ENCRYPTION_KEY).encrypting_id
HOUR_S = 3600
#: 3 apps' keys, 2 previous keys, 3 accounts with previous credentials, 2 applications, 2 link keys; 3 documents of each
#: application.
ROWS, DOCUMENTS = 15, 6

Step = Callable[[], Awaitable[object]]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """With the one key that everything is encrypted with, since an hour."""
    path = tmp_path / "keys"
    path.write_text(key_ring(ENCRYPTION_KEY).keys[0].secret.reveal())
    path.chmod(0o600)
    return aged(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "documents").mkdir()
    return tmp_path / "documents"


@pytest.fixture
async def filled(store: Store, folder: Path) -> Store:
    await with_every_ciphertext(store, folder)
    return store


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    if request.param == "folder":
        yield place_at(str(folder))
        return
    with running_s3() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield place_at(f"s3://{server.bucket}/kyc")


def aged(path: Path) -> Path:
    """The file, unchanged for an hour."""
    os.utime(path, (time.time() - HOUR_S,) * 2)
    return path


def process(directory: Database, keys: KeySource, place: Place) -> Store:
    return store_over(directory, directory, Cipher(keys), NODE, place)


def operator(store: Store, path: Path, place: Place, directory: Database | None = None) -> Store:
    """The store of a command that reads its keys from `path`."""
    return process(directory or store.directory, KeyFile(path, read_key_file(path)), place)


class Waits:
    """Waits for nothing, and takes one of `steps` each time. `seconds` are those it was asked for."""

    def __init__(self, *steps: Step) -> None:
        self._steps = list(steps)
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        if self._steps:
            await self._steps.pop(0)()


async def nothing() -> None:
    return


async def rotated(store: Store, path: Path, place: Place, *steps: Step) -> Rotation:
    return await rotate_keys(operator(store, path, place), ORIGIN, Waits(*steps))


async def ids_in_use(store: Store) -> dict[str, int]:
    counts = await count_ciphertexts(store)
    return dict(counts.rows + counts.documents)


async def is_all_readable(store: Store) -> bool:
    """By a process with these keys: each store reads its rows, and each document its content."""
    for each in await ciphertexts_in(store):
        Cipher(store.keys).decrypt(each.ciphertext, each.place)
    app, account = await store.merchants.app(APPCODE), await store.accounts.by_id("wechat1")
    for document in await store.applications.all_documents("", 100):
        assert await store.document_files.read(document) == document.kind.value.encode() * 9
    return app is not None and app.key == an_app().key and account is not None


async def test_a_rotation_encrypts_everything_with_a_new_key(
    store: Store, folder: Path, key_file: Path, place: Place
) -> None:
    await with_every_ciphertext(store, folder)
    for document in await store.applications.all_documents("", 100):
        place.write(document.document_id, (folder / document.document_id).read_bytes())
    before = {each.ciphertext for each in await ciphertexts_in(store)}

    done = await rotated(store, key_file, place)

    new, old = read_key_file(key_file).key_ids
    assert (old, done.key_id, done.previous_ids) == (FIRST_ID, new, (old,))
    assert (done.is_new, done.encrypted, done.missing_documents, done.unreadable) == (
        True,
        ROWS + DOCUMENTS,
        0,
        (),
    )
    assert not before & {each.ciphertext for each in await ciphertexts_in(store)}
    aged(key_file)
    await remove_key(old, operator(store, key_file, place), ORIGIN, nothing_to_wait_for)
    after = operator(store, key_file, place)
    assert after.keys.current().key_ids == (new,)
    assert await ids_in_use(after) == {new: ROWS + DOCUMENTS}
    assert await is_all_readable(after)


async def nothing_to_wait_for(seconds: float) -> None:
    raise AssertionError(f"waits for {seconds} s")


async def test_a_new_key_is_known_to_every_process_before_it_encrypts(
    filled: Store, folder: Path, key_file: Path
) -> None:
    """In the first wait it decrypts only; a process that has looked during it can read what follows."""
    seen = []

    async def look() -> None:
        seen.append(read_key_file(key_file).key_ids)

    waits = Waits(look, look)
    place = place_at(str(folder))
    done = await rotate_keys(operator(filled, key_file, place), ORIGIN, waits)
    assert seen == [(FIRST_ID, done.key_id), (done.key_id, FIRST_ID)]
    assert all(1 < seconds <= 2 for seconds in waits.seconds)


async def test_a_rotation_that_is_killed_anywhere_loses_nothing_and_is_completed(
    filled: Store, folder: Path, key_file: Path
) -> None:
    """Killed before its first side effect, before its second, and so on; each time the next one completes it.

    Of the many that replace a ciphertext, every fifth.
    """
    place, points = place_at(str(folder)), 0
    while True:
        points += 1 if points < ROWS else 5
        killed = Process(dies_at=points)

        async def wait(_: float, killed: Process = killed) -> None:
            async with killed.side_effect():
                return

        command = operator(filled, key_file, place, CrashingDatabase(filled.directory, killed))
        with suppress(Crash):
            await rotate_keys(command, ORIGIN, wait)
        assert await is_all_readable(operator(filled, key_file, place)), points
        # A gateway's process that knows the file of before, and reads it again when it meets the new key.
        assert await is_all_readable(process(filled.directory, KeyFile(key_file, key_ring(b"?" * 32)), place))
        if not killed.is_dead:
            break
        await rotated(filled, key_file, place)
        assert set(await ids_in_use(operator(filled, key_file, place))) == {
            read_key_file(key_file).encrypting_id
        }
        for key_id in read_key_file(key_file).key_ids[1:]:
            await remove_key(key_id, operator(filled, aged(key_file), place), ORIGIN, nothing_to_wait_for)
        aged(key_file)
    assert points > 2 * ROWS


@pytest.mark.parametrize("waits_before_kill", [0, 1])
async def test_a_completed_rotation_begins_no_second_one(
    filled: Store, folder: Path, key_file: Path, waits_before_kill: int
) -> None:
    """Killed once the key was added, and once it was the first: the same key takes over in the end."""

    async def kill() -> None:
        raise Crash

    place = place_at(str(folder))
    with pytest.raises(Crash):
        await rotated(filled, key_file, place, *[nothing] * waits_before_kill, kill)
    (new,) = set(read_key_file(key_file).key_ids) - {FIRST_ID}
    done = await rotated(filled, key_file, place)
    assert (done.key_id, read_key_file(key_file).key_ids) == (new, (new, FIRST_ID))
    assert done.encrypted == ROWS + DOCUMENTS


async def test_a_rotation_that_is_killed_at_its_very_end_is_not_followed_by_a_second_one(
    filled: Store, folder: Path, key_file: Path
) -> None:
    """Everything is under the new key, and only the note is missing that it was used."""
    place, whole = place_at(str(folder)), Process()
    await rotate_keys(
        operator(filled, key_file, place, CrashingDatabase(filled.directory, whole)), ORIGIN, Waits()
    )
    killed = Process(dies_at=whole.side_effects)
    with pytest.raises(Crash):
        await rotate_keys(
            operator(filled, key_file, place, CrashingDatabase(filled.directory, killed)), ORIGIN, Waits()
        )
    before = read_key_file(key_file).key_ids
    assert len(before) == 3
    done = await rotated(filled, key_file, place)
    assert (done.is_new, done.encrypted, done.key_id) == (False, 0, before[0])
    assert read_key_file(key_file).key_ids == before


async def test_a_key_is_used_once_and_an_added_one_before_a_new_one(
    filled: Store, folder: Path, key_file: Path
) -> None:
    place = place_at(str(folder))
    added = add_key(operator(filled, key_file, place).keys)
    assert read_key_file(key_file).key_ids == (FIRST_ID, added)
    assert (await rotated(filled, key_file, place)).key_id == added
    third = await rotated(filled, key_file, place)
    assert third.is_new
    assert read_key_file(key_file).key_ids == (third.key_id, added, FIRST_ID)


async def test_two_rotations_at_once_are_one(filled: Store, folder: Path, key_file: Path) -> None:
    place = place_at(str(folder))

    async def second() -> None:
        with pytest.raises(KeysInUse, match="another command"):
            await rotated(filled, key_file, place)
        with pytest.raises(KeysInUse):
            await remove_key("x", operator(filled, key_file, place), ORIGIN, nothing_to_wait_for)

    await rotated(filled, key_file, place, second, second)
    assert len(read_key_file(key_file).key_ids) == 2


async def test_what_another_process_encrypts_meanwhile_with_the_old_key_is_found(
    filled: Store, folder: Path, key_file: Path
) -> None:
    """A sign-up that has begun with the key of before, and is committed after the change of keys."""
    place = place_at(str(folder))

    async def sign_up() -> None:
        await signed_up(filled, folder, CIPHER, "meanwhile")

    done = await rotated(filled, key_file, place, nothing, sign_up)
    assert done.encrypted == ROWS + 1 + DOCUMENTS + 3
    assert set(await ids_in_use(operator(filled, key_file, place))) == {done.key_id}
    assert await is_all_readable(operator(filled, key_file, place))


async def test_a_key_is_not_removed_while_anything_may_need_it(
    filled: Store, folder: Path, key_file: Path
) -> None:
    place = place_at(str(folder))
    done = await rotated(filled, key_file, place)

    async def removed(key_id: str, *steps: Step) -> Waits:
        waits = Waits(*steps)
        await remove_key(key_id, operator(filled, key_file, place), ORIGIN, waits)
        return waits

    async def late() -> None:
        await signed_up(filled, folder, CIPHER, "late")

    with pytest.raises(KeysRefused, match="encrypts; run"):
        await removed(done.key_id)
    with pytest.raises(KeysRefused, match="no key 0000"):
        await removed("0000")
    with pytest.raises(KeysRefused, match="4 ciphertexts are encrypted with the key"):
        await removed(FIRST_ID, late)
    with pytest.raises(KeysRefused, match="4 ciphertexts"):
        await removed(FIRST_ID)
    again = await rotated(filled, key_file, place)
    assert (again.is_new, again.key_id, again.encrypted) == (False, done.key_id, 4)
    (seconds,) = (await removed(FIRST_ID)).seconds
    assert 55 < seconds <= 62
    assert read_key_file(key_file).key_ids == (done.key_id,)
    assert await is_all_readable(operator(filled, key_file, place))


class ChangesFirst(Database):
    """Gives an app a new key just before its ciphertext is replaced."""

    def __init__(self, real: Database, change: Step) -> None:
        super().__init__("", real.limits)
        self._real = real
        self._change: Step | None = change
        self.connection = real.connection  # type: ignore[method-assign]

    async def fetch(self, sql: str, *values: object) -> "list[asyncpg.Record]":
        if sql.startswith("UPDATE app SET key_encrypted") and self._change:
            change, self._change = self._change, None
            await change()
        return await super().fetch(sql, *values)


async def test_a_change_at_the_same_time_is_not_undone(filled: Store, folder: Path, key_file: Path) -> None:
    place, changed = place_at(str(folder)), Secret("given meanwhile")

    async def change() -> None:
        where = associated_data("app", "key_encrypted", (APPCODE,))
        ciphertext = CIPHER.encrypt(changed, where)
        await filled.directory.execute(
            "UPDATE app SET key_encrypted = $1 WHERE appcode = $2", ciphertext, APPCODE
        )

    command = operator(filled, key_file, place, ChangesFirst(filled.directory, change))
    await rotate_keys(command, ORIGIN, Waits())
    app = await operator(filled, key_file, place).merchants.app(APPCODE)
    assert app is not None
    assert app.key == changed
    assert len(await ids_in_use(operator(filled, key_file, place))) == 1


async def test_keys_in_the_variable_are_changed_by_restarts(filled: Store, folder: Path) -> None:
    """The order of the operator manual: a new key last, then first, then everything again, then alone."""
    place, new = place_at(str(folder)), bytes(32)
    last, first = key_ring(ENCRYPTION_KEY, new), key_ring(new, ENCRYPTION_KEY)
    with pytest.raises(KeysRefused, match="TAEL_ENCRYPTION_KEY, which only a restart changes"):
        await rotate_keys(process(filled.directory, last, place), ORIGIN, Waits())
    done = await rotate_keys(process(filled.directory, first, place), ORIGIN, Waits())
    assert (done.is_new, done.encrypted) == (False, ROWS + DOCUMENTS)
    assert await is_all_readable(process(filled.directory, key_ring(new), place))
    with pytest.raises(KeysRefused, match="restart"):
        add_key(first)


async def test_what_no_key_decrypts_is_named_and_ends_the_rotation(
    filled: Store, folder: Path, key_file: Path
) -> None:
    place = place_at(str(folder))
    lost = Cipher(key_ring(bytes(32)))
    where = associated_data("app", "key_encrypted", ("rotated1",))
    await filled.directory.execute(
        "UPDATE app SET key_encrypted = $1 WHERE appcode = 'rotated1'", lost.encrypt(Secret("lost"), where)
    )
    first, second = (await filled.applications.all_documents("", 2))[:2]
    (folder / first.document_id).write_bytes(b"something else")
    (folder / second.document_id).unlink()
    done = await rotated(filled, key_file, place)
    assert done.unreadable == ("app.key_encrypted rotated1", f"document {first.document_id}")
    assert (done.encrypted, done.missing_documents) == (ROWS - 1 + DOCUMENTS - 2, 1)


async def test_a_deployment_without_its_documents_is_not_rotated(filled: Store, key_file: Path) -> None:
    command = store_over(
        filled.directory, filled.database, Cipher(KeyFile(key_file, read_key_file(key_file))), NODE
    )
    with pytest.raises(OSError, match="TAEL_DOCUMENTS is not set"):
        await rotate_keys(command, ORIGIN, Waits())
    assert read_key_file(key_file).key_ids == (FIRST_ID,)


async def test_a_full_file_takes_no_further_key(filled: Store, folder: Path, key_file: Path) -> None:
    place = place_at(str(folder))
    for _ in range(MAX_KEYS - 1):
        add_key(operator(filled, key_file, place).keys)
    with pytest.raises(KeysRefused, match="has 8 keys"):
        add_key(operator(filled, key_file, place).keys)
    assert len(read_key_file(key_file).keys) == MAX_KEYS


async def test_an_account_that_is_added_is_under_the_first_key_of_its_process(filled: Store) -> None:
    keys = key_ring(bytes(32), ENCRYPTION_KEY)
    await store_over(filled.directory, filled.database, Cipher(keys), NODE).merchants.add_app(
        an_app("new"), ORIGIN
    )
    rows = await filled.directory.fetch("SELECT key_encrypted FROM app WHERE appcode = 'new'")
    assert key_id_of(rows[0]["key_encrypted"]) == keys.encrypting_id
