"""Outside a demo no app may have QFPay's published key: `serve` and `work` do not start, and its calls are refused."""

import asyncio
import base64
import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from tael.base.errors import NotAuthentic
from tael.base.secret import Secret
from tael.cli.app import app
from tael.merchants.apps import rotate_key
from tael.merchants.credential_cache import CredentialCache
from tael.merchants.domain.merchant import PUBLISHED_KEY
from tael.operations.store import Store
from tests.support.store import ENCRYPTION_KEY, entered_store
from tests.support.values import NOW, ORIGIN, an_app

PUBLISHED = an_app("SHOP", key=Secret(PUBLISHED_KEY))


def in_store(database_url: str, work: Callable[[Store], Awaitable[None]]) -> None:
    async def run() -> None:
        async with entered_store(database_url) as store:
            await work(store)

    asyncio.run(run())


def refusal_of(command: str, database_url: str, encryption_key: bytes = ENCRYPTION_KEY) -> str:
    """The one sentence of a process that exits at once."""
    settings = {
        "TAEL_DATABASE_URL": database_url,
        "TAEL_ENCRYPTION_KEY": base64.b64encode(encryption_key).decode(),
        "TAEL_PUBLIC_URL": "https://pay.example",
    }
    ended = CliRunner().invoke(app, [command], env=settings)
    assert (ended.exit_code, ended.stdout, ended.stderr.count("\n")) == (2, "", 1), ended.output
    return ended.stderr


@pytest.mark.parametrize("command", ["serve", "work"])
def test_a_deployment_with_the_published_key_does_not_start(command: str, database_url: str) -> None:
    in_store(database_url, lambda store: store.merchants.add_app(an_app("OTHER"), ORIGIN))
    in_store(database_url, lambda store: store.merchants.add_app(PUBLISHED, ORIGIN))
    assert "app SHOP in this database has the key that QFPay publishes" in refusal_of(command, database_url)


@pytest.mark.parametrize("command", ["serve", "work"])
def test_a_deployment_with_another_encryption_key_does_not_start(command: str, database_url: str) -> None:
    in_store(database_url, lambda store: store.merchants.add_app(an_app(), ORIGIN))
    refusal = refusal_of(command, database_url, secrets.token_bytes(32))
    assert "TAEL_ENCRYPTION_KEY does not decrypt the secrets in this database" in refusal


@pytest.mark.parametrize(("takes_published_key", "keys"), [(False, ["k" * 16]), (True, ["k" * 16, "123456"])])
async def test_a_published_key_ends_with_its_rotation(
    store: Store, takes_published_key: bool, keys: list[str]
) -> None:
    await store.merchants.add_app(PUBLISHED, ORIGIN)
    await rotate_key(store.merchants, "SHOP", Secret("k" * 16), ORIGIN, timedelta(hours=1))
    cache = CredentialCache(
        *(store.merchants, store.accounts, store.maintenance_windows),
        takes_published_key=takes_published_key,
    )
    known = await cache.app("SHOP")
    assert known is not None
    assert [key.reveal() for key in known.app.keys(NOW)] == keys


async def test_an_app_that_gets_the_published_key_later_is_refused(store: Store) -> None:
    await store.merchants.add_app(PUBLISHED, ORIGIN)
    with pytest.raises(NotAuthentic):
        await CredentialCache(store.merchants, store.accounts, store.maintenance_windows).app("SHOP")
    app = await CredentialCache(
        store.merchants, store.accounts, store.maintenance_windows, takes_published_key=True
    ).app("SHOP")
    assert app is not None
    assert app.app == PUBLISHED
