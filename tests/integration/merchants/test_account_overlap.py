"""The overlap of an account's keys as a use case and in its row: one at a time, with an end, in the audit log."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import asyncpg
import pytest

from tael.channels.alipay_mapi.account import ALIPAY_MAPI
from tael.channels.protocols import WalletProtocol
from tael.channels.wechat_v2.account import WECHAT_V2
from tael.merchants.domain.account import Account
from tael.operations.accounts import (
    OverlapLasts,
    Terms,
    Verifiers,
    account_members,
    change_accounts,
    end_overlaps,
)
from tael.operations.store import Store
from tests.support.values import NOW, a_wechat_account, an_alipay_account, origin_at

ONLINE = "alipay-online"
KEYS = ("1" * 32, "2" * 32, "3" * 32)
OVERLAP = timedelta(hours=72)
END = NOW + OVERLAP
FLAGS = {"supports_alipay_hk": "true"}


async def change(
    store: Store,
    settings: dict[str, str],
    *,
    at: datetime = NOW,
    overlap: timedelta = OVERLAP,
    terms: Terms | None = None,
    selected: dict[str, str] | None = None,
) -> Account:
    """Of the online account unless others are selected."""
    changed = await change_accounts(
        store,
        selected or {"account_id": ONLINE},
        settings,
        terms or Terms(),
        overlap=overlap,
        origin=origin_at(at),
        now=at,
    )
    return changed[0]


def keys(accounts: Sequence[Account]) -> list[str]:
    return [account.key.reveal() for account in accounts]  # type: ignore[attr-defined]


async def stored(store: Store, account_id: str = ONLINE) -> Account:
    account = await store.accounts.by_id(account_id)
    assert account is not None
    return account


async def test_a_replaced_key_verifies_until_the_end_that_is_shown(store: Store) -> None:
    changed = await change(store, {"key": KEYS[0]})
    assert account_members(changed)["overlap_ends_at"] == END
    account = await stored(store)
    assert account == changed
    before = an_alipay_account().key.reveal()
    assert keys(account.verifiers(END - timedelta(microseconds=1))) == [KEYS[0], before]
    assert keys(account.verifiers(END)) == [KEYS[0]]


async def test_a_second_change_waits_for_the_end_of_the_overlap(store: Store) -> None:
    await change(store, {"key": KEYS[0]})
    both = await store.accounts.all()
    for selected in ({"account_id": ONLINE}, {"wallet": "alipay"}):  # all accounts or none
        with pytest.raises(OverlapLasts, match=rf"accepted until {END.isoformat()}".replace("+", r"\+")):
            await change(store, {"key": KEYS[1]}, selected=selected)
    assert await store.accounts.all() == both
    assert (await change(store, {"key": KEYS[0]})).previous == both[1].previous  # the same key is no change
    later = await change(store, {"key": KEYS[1]}, at=END)
    assert keys(later.verifiers(END)) == [KEYS[1], KEYS[0]]


async def test_without_an_overlap_a_leaked_key_ends_at_once_and_is_forgotten(store: Store) -> None:
    await change(store, {"key": KEYS[0]})
    await change(store, {"key": KEYS[1]}, overlap=timedelta(0))
    assert (await stored(store)).previous is None
    await change(store, {"key": KEYS[2]})
    (ended,) = await end_overlaps(store, {"account_id": ONLINE}, origin_at(NOW))
    assert ended.previous is None
    assert await stored(store) == ended


async def test_only_a_credential_or_the_sign_type_begins_an_overlap_and_other_changes_keep_it(
    store: Store,
) -> None:
    assert (await change(store, FLAGS)).previous is None
    began = await change(store, {"key": KEYS[0]})
    kept = await change(store, {"supports_alipay_hk": "false"}, terms=Terms(refund_window_days=30))
    assert kept.previous is not None
    assert began.previous is not None
    assert kept.previous.until == began.previous.until
    assert (kept.refund_window_days, kept.previous.account.refund_window_days) == (30, 30)
    assert await stored(store) == kept
    after = await change(store, FLAGS, at=END)
    assert after.previous is None  # a key that is not used any more is not kept either


@pytest.mark.parametrize("protocol", [ALIPAY_MAPI, WECHAT_V2], ids=lambda protocol: protocol.name)
def test_keys_certificates_and_sign_types_are_credentials_and_nothing_else_is(
    protocol: WalletProtocol,
) -> None:
    account = {"alipay_mapi": an_alipay_account(), "wechat_v2": a_wechat_account()}[protocol.name]
    names = {
        setting.name
        for setting in protocol.settings
        if not protocol.has_same_keys(account, replace(account, **{setting.name: "another"}))  # type: ignore[arg-type]
    }
    shared = {"sign_type", "key"}
    certificate, pair = {"certificate", "certificate_key"}, {"private_key", "alipay_public_key"}
    assert names == shared | (certificate if protocol is WECHAT_V2 else pair)


async def test_previous_credentials_and_their_end_are_stored_together_and_encrypted(store: Store) -> None:
    await change(store, {"key": KEYS[0]})
    (row,) = await store.directory.fetch(
        "SELECT previous_credentials_encrypted AS document FROM wallet_account WHERE account_id = $1", ONLINE
    )
    assert an_alipay_account().key.reveal().encode() not in row["document"]
    for column in ("previous_credentials_encrypted", "previous_credentials_until"):
        with pytest.raises(asyncpg.CheckViolationError, match="account_previous_credentials_have_an_end"):
            await store.directory.execute(
                f"UPDATE wallet_account SET {column} = NULL WHERE account_id = '{ONLINE}'"
            )


async def test_the_audit_log_shows_both_changes_with_digests_only(store: Store) -> None:
    await change(store, {"key": KEYS[0]})
    await end_overlaps(store, {"account_id": ONLINE}, origin_at(NOW + timedelta(hours=1)))
    await end_overlaps(store, {"account_id": ONLINE}, origin_at(NOW + timedelta(hours=2)))  # changes nothing
    ended, began = (await store.audit_log.newest(subject_id=ONLINE, limit=10))[:2]
    assert began.after is not None
    assert ended.before is not None
    assert set(began.after) == {"key", "previous"}
    assert began.after["previous"]["until"] == END.isoformat()
    assert began.after["previous"]["account"]["key"].startswith("sha256:")
    assert (ended.before, ended.after) == ({"previous": began.after["previous"]}, {"previous": None})
    text = json.dumps([began.before, began.after, ended.before])
    assert KEYS[0] not in text
    assert an_alipay_account().key.reveal() not in text


async def test_a_check_names_the_credentials_that_verified_the_answer(store: Store) -> None:
    account, verifiers = await change(store, {"key": KEYS[0]}), Verifiers()
    assert verifiers.detail(account) == ""
    current, previous = account.verifiers(NOW)
    for verifier, which in ((current, "new"), (previous, "previous")):
        await verifiers.note(account, verifier)
        assert verifiers.detail(account) == f", verified with its {which} credentials"
    await verifiers.note(an_alipay_account(), an_alipay_account())
    assert verifiers.detail(an_alipay_account()) == ""
