"""Secrets at rest: unreadable in the tables, bound to their place, and decrypted only with their key."""

from collections.abc import Awaitable, Callable
from itertools import permutations
from pathlib import Path

import pytest

from tael.base.cipher import Cipher, DecryptionFailed, associated_data, key_id_of
from tael.base.key_ring import KEY_BYTES, key_ring
from tael.base.secret import Secret
from tael.channels.registry import installed_protocols
from tael.channels.wechat_v2.account import WeChatAccount
from tael.db.cells import only
from tael.merchants.store.accounts import Accounts
from tael.merchants.store.merchants import Merchants
from tael.operations.store import Store
from tests.support.ciphertexts import COLUMNS, Stored, ciphertexts_in, with_every_ciphertext
from tests.support.store import CIPHER, ENCRYPTION_KEY
from tests.support.values import APPCODE, a_wechat_account, an_alipay_account, an_app

SECRETS = [
    an_app().key,
    an_alipay_account().key,
    a_wechat_account().key,
    a_wechat_account().certificate_key,
]
PLACE = associated_data("table", "column", ("key",))
OTHER = Cipher(key_ring(bytes(KEY_BYTES)))


def test_encryption_round_trips_and_never_repeats_a_ciphertext() -> None:
    for secret in (*SECRETS, Secret(""), Secret("密鑰")):
        assert CIPHER.decrypt(CIPHER.encrypt(secret, PLACE), PLACE) == secret
        assert CIPHER.encrypt(secret, PLACE) != CIPHER.encrypt(secret, PLACE)


def test_a_ciphertext_has_a_version_and_the_id_of_its_key() -> None:
    ciphertext = CIPHER.encrypt(Secret("the key"), PLACE)
    assert ciphertext[:13].hex() == "7461656c01" + key_ring(ENCRYPTION_KEY).encrypting_id
    assert len(ciphertext) == 13 + 12 + len("the key") + 16


def test_another_key_or_a_changed_byte_decrypts_nothing() -> None:
    ciphertext = CIPHER.encrypt(Secret("the key"), PLACE)
    with pytest.raises(DecryptionFailed):
        OTHER.decrypt(ciphertext, PLACE)
    for place in range(len(ciphertext)):
        changed = ciphertext[:place] + bytes([ciphertext[place] ^ 1]) + ciphertext[place + 1 :]
        with pytest.raises(DecryptionFailed):
            CIPHER.decrypt(changed, PLACE)


def test_every_key_of_a_ring_decrypts_and_the_first_encrypts() -> None:
    both = Cipher(key_ring(bytes(KEY_BYTES), ENCRYPTION_KEY))
    assert both.decrypt(CIPHER.encrypt(Secret("x"), PLACE), PLACE) == Secret("x")
    assert OTHER.decrypt(both.encrypt(Secret("x"), PLACE), PLACE) == Secret("x")


@pytest.mark.parametrize("ciphertext", [b"", b"short", bytes(12), bytes(60), b"tael\x02" + bytes(60)])
def test_a_text_in_no_format_of_ours_is_refused_and_the_way_out_is_named(ciphertext: bytes) -> None:
    with pytest.raises(DecryptionFailed, match=r"not in the format of this version; .* --fresh"):
        CIPHER.decrypt(ciphertext, PLACE)


def test_two_places_never_have_the_same_associated_data() -> None:
    places = [
        ("a", "b", ("c",)),
        ("a", "b", ("c", "d")),
        ("a", "bc", ("",)),
        ("a", "b", ("", "c")),
        ("ab", "c", ()),
    ]
    assert len({associated_data(*place) for place in places}) == len(places)


# ---- in the tables -----------------------------------------------------------------------------------------------


async def test_no_table_holds_a_readable_secret(store: Store) -> None:
    tables = ("app", "merchant", "wallet_account")
    texts = [
        bytes(value) if isinstance(value, bytes) else str(value).encode()
        for table in tables
        for row in await store.directory.fetch(f"SELECT * FROM {table}")
        for value in row.values()
    ]
    assert texts
    for secret in SECRETS:
        assert not any(secret.reveal().encode() in text for text in texts)


async def test_the_right_key_reads_them_and_a_wrong_one_is_reported(store: Store) -> None:
    app = await store.merchants.app(APPCODE)
    account = await store.accounts.by_id("wechat1")
    assert app is not None
    assert isinstance(account, WeChatAccount)
    assert (app.key, account.key) == (an_app().key, a_wechat_account().key)
    with pytest.raises(DecryptionFailed, match="TAEL_ENCRYPTION_KEY"):
        await Merchants(store.directory, OTHER, only(store.database).of).app(APPCODE)
    with pytest.raises(DecryptionFailed, match="TAEL_ENCRYPTION_KEY"):
        await Accounts(store.directory, OTHER, installed_protocols()).all()


async def test_every_ciphertext_of_the_schema_is_bound_to_its_table_column_and_row(
    store: Store, tmp_path: Path
) -> None:
    """The columns are those of the schema: a new one is filled by `with_every_ciphertext`, or this fails."""
    await with_every_ciphertext(store, tmp_path)
    stored = await ciphertexts_in(store)
    schema = {(row["table_name"], row["column_name"]) for row in await store.directory.fetch(COLUMNS)}
    assert {(each.table, each.column) for each in stored} == schema
    assert {(each.table.name, each.column) for each in store.ciphertexts} == schema
    for each in stored:
        assert key_id_of(each.ciphertext) == CIPHER.keys.current().encrypting_id
        CIPHER.decrypt(each.ciphertext, each.place)
    for one, other in permutations(stored, 2):
        with pytest.raises(DecryptionFailed, match="changed or moved"):
            CIPHER.decrypt(one.ciphertext, other.place)


async def test_a_ciphertext_that_was_copied_to_another_row_is_not_read(store: Store, tmp_path: Path) -> None:
    """Through the stores, so that each of them gives the place of the row that it reads."""
    await with_every_ciphertext(store, tmp_path)

    async def applications() -> None:
        for row in await store.directory.fetch("SELECT mchid FROM merchant_application"):
            await store.applications.of(row["mchid"])

    readers: dict[str, Callable[[], Awaitable[object]]] = {
        "app": store.merchants.apps,
        "wallet_account": store.accounts.all,
        "merchant_application": applications,
        "link_key": store.link_keys.all,
    }
    for one in await ciphertexts_in(store):
        await readers[one.table]()
        others = [each for each in await ciphertexts_in(store) if is_beside(each, one)]
        assert others, one
        await put(store, one, others[0].ciphertext)
        with pytest.raises(DecryptionFailed):
            await readers[one.table]()
        await put(store, one, one.ciphertext)
    assert set(readers) == {each.table.name for each in store.ciphertexts}


def is_beside(one: Stored, other: Stored) -> bool:
    """Whether it is in another row of the same column."""
    return (one.table, one.column) == (other.table, other.column) and one.key != other.key


async def put(store: Store, where: Stored, ciphertext: bytes) -> None:
    name = next(each.table.key[0] for each in store.ciphertexts if each.table.name == where.table)
    await store.directory.execute(
        f"UPDATE {where.table} SET {where.column} = $1 WHERE {name} = $2", ciphertext, where.key[0]
    )
