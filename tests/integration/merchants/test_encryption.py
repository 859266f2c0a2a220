"""Secrets at rest: unreadable in the tables, and decrypted only with their key."""

import pytest

from tael.base.cipher import KEY_BYTES, Cipher, DecryptionFailed
from tael.base.secret import Secret
from tael.channels.registry import installed_protocols
from tael.channels.wechat_v2.account import WeChatAccount
from tael.merchants.store.accounts import Accounts
from tael.merchants.store.merchants import Merchants
from tael.operations.store import Store
from tests.support.store import ENCRYPTION_KEY
from tests.support.values import APPCODE, a_wechat_account, an_alipay_account, an_app

SECRETS = [
    an_app().key,
    an_alipay_account().key,
    a_wechat_account().key,
    a_wechat_account().certificate_key,
]


def test_encryption_round_trips_and_never_repeats_a_ciphertext() -> None:
    cipher = Cipher(ENCRYPTION_KEY)
    for secret in (*SECRETS, Secret(""), Secret("密鑰")):
        assert cipher.decrypt(cipher.encrypt(secret)) == secret
        assert cipher.encrypt(secret) != cipher.encrypt(secret)


def test_another_key_or_a_changed_byte_decrypts_nothing() -> None:
    ciphertext = Cipher(ENCRYPTION_KEY).encrypt(Secret("the key"))
    with pytest.raises(DecryptionFailed):
        Cipher(bytes(KEY_BYTES)).decrypt(ciphertext)
    for place in range(len(ciphertext)):
        changed = ciphertext[:place] + bytes([ciphertext[place] ^ 1]) + ciphertext[place + 1 :]
        with pytest.raises(DecryptionFailed):
            Cipher(ENCRYPTION_KEY).decrypt(changed)


@pytest.mark.parametrize("ciphertext", [b"", b"short", bytes(12)])
def test_a_text_that_was_never_encrypted_is_refused(ciphertext: bytes) -> None:
    with pytest.raises(DecryptionFailed):
        Cipher(ENCRYPTION_KEY).decrypt(ciphertext)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_has_32_bytes(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Cipher(bytes(length))


async def test_no_table_holds_a_readable_secret(store: Store) -> None:
    tables = ("app", "merchant", "wallet_account")
    texts = [
        bytes(value) if isinstance(value, bytes) else str(value).encode()
        for table in tables
        for row in await store.database.fetch(f"SELECT * FROM {table}")
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
    wrong = Cipher(bytes(KEY_BYTES))
    with pytest.raises(DecryptionFailed, match="TAEL_ENCRYPTION_KEY"):
        await Merchants(store.database, wrong).app(APPCODE)
    with pytest.raises(DecryptionFailed, match="TAEL_ENCRYPTION_KEY"):
        await Accounts(store.database, wrong, installed_protocols()).all()
