"""Races at the store: one use of a code and of a refresh token, and what a second use ends; bounds and removal."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tael.base.secret import Secret
from tael.jobs.oauth_removal import oauth_removal_job
from tael.jobs.runner import run_once
from tael.oauth.domain.grant import MAX_GRANTS, MAX_SESSIONS, Grant, TokenRow, digest_of, token_row
from tael.oauth.domain.scopes import Scope
from tael.oauth.domain.user import User
from tael.oauth.store.attempts import WINDOW
from tael.oauth.store.users import Session, UsernameTaken
from tael.oauth.users import NoSuchUser, disable_user, new_user, set_password
from tael.operations.store import Store
from tests.support.alipay import TestClock
from tests.support.store import count_of
from tests.support.values import APPCODE, MCHID, NOW, ORIGIN

PASSWORD = Secret("a long password")


@pytest.fixture
async def user(store: Store) -> User:
    user = new_user(MCHID, "anna", "Anna", PASSWORD, ORIGIN)
    await store.users.add(user, ORIGIN)
    return user


def a_grant(user: User, code: str = "code", at: datetime = NOW) -> Grant:
    digest = digest_of(code)
    return Grant(f"grant-{code}", APPCODE, user.userid, (Scope.BASEINFO,), digest, "https://a/cb", "", at)


def issue(name: str, at: datetime = NOW) -> Callable[[Grant], TokenRow]:
    return lambda grant: token_row(f"access-{name}", f"refresh-{name}", grant, grant.scopes, at)


async def ended_at(store: Store, grant: Grant) -> datetime | None:
    found = await store.grants.by_code(grant.code_digest)
    assert found is not None
    return found.ended_at


async def test_of_many_uses_of_a_code_one_is_first_and_the_others_end_its_tokens(
    store: Store, other_store: Store, user: User
) -> None:
    grant = a_grant(user)
    await store.grants.add(grant)
    used = await asyncio.gather(
        *(
            each.grants.use_code(grant.grant_id, NOW, issue(f"{number}-{index}"))
            for number in range(3)
            for index, each in enumerate((store, other_store))
        )
    )
    assert sum(each is not None for each in used) == 1
    assert await count_of(store, "oauth_token") == 1
    assert await ended_at(store, grant) == NOW


async def test_of_many_uses_of_a_refresh_token_one_is_first_and_the_others_end_the_grant(
    store: Store, other_store: Store, user: User
) -> None:
    grant = a_grant(user)
    await store.grants.add(grant)
    assert await store.grants.use_code(grant.grant_id, NOW, issue("0"))
    used = await asyncio.gather(
        *(
            each.grants.use_refresh(digest_of("refresh-0"), grant.grant_id, NOW, issue(f"{index}"))
            for index, each in enumerate((store, other_store, store), 1)
        )
    )
    assert sum(each is not None for each in used) == 1
    assert await count_of(store, "oauth_token") == 2
    assert await ended_at(store, grant) == NOW


async def test_a_chain_of_refreshes_is_broken_by_any_earlier_token(store: Store, user: User) -> None:
    grant = a_grant(user)
    await store.grants.add(grant)
    await store.grants.use_code(grant.grant_id, NOW, issue("0"))
    for number in range(3):
        digest = digest_of(f"refresh-{number}")
        assert await store.grants.use_refresh(digest, grant.grant_id, NOW, issue(f"{number + 1}"))
    assert await store.grants.use_refresh(digest_of("refresh-1"), grant.grant_id, NOW, issue("x")) is None
    assert await store.grants.use_refresh(digest_of("refresh-3"), grant.grant_id, NOW, issue("y")) is None
    found = await store.grants.by_access(digest_of("access-3"))
    assert found is not None
    assert found[0].ended_at == NOW


async def test_nothing_of_a_token_is_stored_but_its_digest(store: Store, user: User) -> None:
    grant = a_grant(user, "the-code")
    await store.grants.add(grant)
    await store.grants.use_code(grant.grant_id, NOW, issue("0"))
    await store.users.open_session(
        Session(digest_of("the-session"), user.userid, NOW, NOW + timedelta(hours=1))
    )
    for table in ("oauth_grant", "oauth_token", "user_session", "merchant_user"):
        rows = str(await store.directory.fetch(f"SELECT t::text FROM {table} AS t"))
        for secret in ("the-session", "access-0", "refresh-0", "'the-code", PASSWORD.reveal()):
            assert secret not in rows.replace("grant-the-code", "")


async def test_the_newest_sessions_and_grants_of_a_user_remain(store: Store, user: User) -> None:
    for number in range(MAX_SESSIONS + 2):
        at = NOW + timedelta(seconds=number)
        await store.users.open_session(Session(f"s{number}", user.userid, at, at + timedelta(hours=1)))
    for number in range(MAX_GRANTS + 2):
        await store.grants.add(a_grant(user, f"{number}", NOW + timedelta(seconds=number)))
    assert await count_of(store, "user_session") == MAX_SESSIONS
    assert await store.users.of_session("s1", NOW) is None
    assert await store.users.of_session("s2", NOW) == user
    assert await ended_at(store, a_grant(user, "1")) is not None
    assert await ended_at(store, a_grant(user, "2")) is None


@pytest.mark.parametrize("change", ["password", "disable"])
async def test_a_change_of_a_user_ends_sessions_and_grants(store: Store, user: User, change: str) -> None:
    grant = a_grant(user)
    await store.grants.add(grant)
    await store.users.open_session(Session("s", user.userid, NOW, NOW + timedelta(hours=1)))
    if change == "password":
        changed = await set_password(store.users, "anna", Secret("another password"), ORIGIN)
        assert changed.password_hash != user.password_hash
    else:
        assert await disable_user(store.users, "anna", True, ORIGIN) == replace(user, is_disabled=True)
    assert await store.users.of_session("s", NOW) is None
    assert await ended_at(store, grant) == NOW
    with pytest.raises(NoSuchUser, match="no user nina"):
        await disable_user(store.users, "nina", True, ORIGIN)


async def test_a_username_is_given_once(store: Store, user: User) -> None:
    with pytest.raises(UsernameTaken):
        await store.users.add(new_user(MCHID, "anna", "Other", PASSWORD, ORIGIN), ORIGIN)
    with pytest.raises(LookupError, match="no merchant none"):
        await store.users.add(new_user("none", "nina", "Nina", PASSWORD, ORIGIN), ORIGIN)


async def test_attempts_are_counted_by_all_processes_until_their_window_ends(
    store: Store, other_store: Store
) -> None:
    counted = await asyncio.gather(
        *(each.sign_in_attempts.count(["user a", "address b"], NOW) for each in (store, other_store) * 3)
    )
    assert sorted(each["user a"] for each in counted) == [1, 2, 3, 4, 5, 6]
    await store.sign_in_attempts.forget("user a")
    assert await store.sign_in_attempts.count(["user a", "address b"], NOW) == {"user a": 1, "address b": 7}
    assert (await store.sign_in_attempts.count(["address b"], NOW + WINDOW)) == {"address b": 1}


async def test_what_has_expired_is_removed_and_nothing_else(
    store: Store, user: User, database_url: str
) -> None:
    clock = TestClock(NOW)
    job = oauth_removal_job(store.oauth_removals, clock)
    assert await run_once(job, clock) == 0
    await store.sign_in_attempts.count(["user a"], NOW)
    await store.users.open_session(Session("s", user.userid, NOW, NOW + timedelta(hours=1)))
    for code in ("unused", "used", "ended"):
        await store.grants.add(a_grant(user, code))
    for code in ("used", "ended"):
        await store.grants.use_code(f"grant-{code}", NOW, issue(code))
    await store.grants.end("grant-ended", NOW)

    async def rows_at(after: timedelta) -> tuple[int, ...]:
        clock.at = NOW + after
        assert await run_once(job, clock) == 1
        assert await run_once(job, clock) == 0
        tables = ("sign_in_attempt", "user_session", "oauth_grant", "oauth_token")
        return tuple([await count_of(store, table) for table in tables])

    assert await rows_at(WINDOW) == (0, 1, 3, 2)
    assert await rows_at(timedelta(hours=2)) == (0, 0, 3, 2)
    assert await rows_at(timedelta(days=1)) == (0, 0, 1, 1)
    assert await rows_at(timedelta(days=30)) == (0, 0, 1, 1)
    assert await rows_at(timedelta(days=32)) == (0, 0, 0, 0)
