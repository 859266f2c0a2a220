"""Apps and merchants. Keys are encrypted in the rows."""

from datetime import datetime
from typing import TYPE_CHECKING, Final

import asyncpg

from tael.base.cipher import Cipher
from tael.db.database import Database
from tael.merchants.domain.merchant import App, Merchant, MerchantState, Operation, Style, UnmatchedPolicy

if TYPE_CHECKING:
    from collections.abc import Sequence

ADD_APP: Final = """
INSERT INTO app (appcode, key_encrypted, notify_url, return_url, webhook_style, sha256_only, notify_offline,
    include_currency, cancel_codes_v2, include_goods_name, quick_retries, close_requires_amount, max_request_age_s,
    sha256_responses, allowed_addresses, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
"""
SET_APP: Final = """
UPDATE app SET notify_url = $2, return_url = $3, webhook_style = $4, sha256_only = $5, notify_offline = $6,
    include_currency = $7, cancel_codes_v2 = $8, include_goods_name = $9, quick_retries = $10,
    close_requires_amount = $11, max_request_age_s = $12, sha256_responses = $13, allowed_addresses = $14
WHERE appcode = $1
"""
ADD_MERCHANT: Final = """
INSERT INTO merchant (mchid, appcode, name, currency, state, is_default, max_amount_minor, denied, unmatched_payments,
    created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
#: The merchant's first daily close.
ADD_DAILY_CLOSE: Final = "INSERT INTO daily_close (mchid, close_at) VALUES ($1, $2)"
SET_MERCHANT: Final = """
UPDATE merchant SET state = $2, max_amount_minor = $3, denied = $4, unmatched_payments = $5 WHERE mchid = $1
"""


class AlreadyThere(Exception):
    """A row with this key exists, or a contract's constraint forbids a second one."""


class Merchants:
    """The tables `app` and `merchant`."""

    def __init__(self, database: Database, cipher: Cipher) -> None:
        self._database = database
        self._cipher = cipher

    async def app(self, appcode: str) -> App | None:
        rows = await self._database.fetch("SELECT * FROM app WHERE appcode = $1", appcode)
        return self._app_of(rows[0]) if rows else None

    async def apps(self) -> list[App]:
        rows = await self._database.fetch("SELECT * FROM app ORDER BY created_at, appcode")
        return [self._app_of(row) for row in rows]

    async def of_app(self, appcode: str) -> "Sequence[Merchant]":
        """The merchants of an app, oldest first."""
        rows = await self._database.fetch(
            "SELECT * FROM merchant WHERE appcode = $1 ORDER BY created_at, mchid", appcode
        )
        return [_merchant_of(row) for row in rows]

    async def merchant(self, mchid: str) -> Merchant | None:
        rows = await self._database.fetch("SELECT * FROM merchant WHERE mchid = $1", mchid)
        return _merchant_of(rows[0]) if rows else None

    async def all(self) -> "Sequence[Merchant]":
        rows = await self._database.fetch("SELECT * FROM merchant ORDER BY created_at, mchid")
        return [_merchant_of(row) for row in rows]

    async def add_app(self, app: App, at: datetime) -> None:
        """Raises AlreadyThere."""
        try:
            await self._database.execute(
                ADD_APP,
                app.appcode,
                self._cipher.encrypt(app.key),
                *_settings_of(app),
                at,
            )
        except asyncpg.UniqueViolationError as error:
            raise AlreadyThere(f"app {app.appcode} exists") from error

    async def set_app(self, app: App) -> None:
        """Write the settings of an app, but not its key."""
        await self._database.execute(SET_APP, app.appcode, *_settings_of(app))

    async def add_merchant(self, merchant: Merchant, at: datetime) -> None:
        """Raises AlreadyThere if the mchid exists or the app has a default merchant, LookupError if there is no app."""
        try:
            async with self._database.transaction() as connection:
                await connection.execute(
                    ADD_MERCHANT,
                    merchant.mchid,
                    merchant.appcode,
                    merchant.name,
                    merchant.currency,
                    merchant.state.value,
                    merchant.is_default,
                    merchant.max_amount_minor,
                    sorted(merchant.denied),
                    merchant.unmatched_payments.value,
                    at,
                )
                await connection.execute(ADD_DAILY_CLOSE, merchant.mchid, at)
        except asyncpg.UniqueViolationError as error:
            raise AlreadyThere(
                f"merchant {merchant.mchid} exists, or its app has a default merchant"
            ) from error
        except asyncpg.ForeignKeyViolationError as error:
            raise LookupError(f"no app {merchant.appcode}") from error

    async def set_merchant(self, merchant: Merchant) -> None:
        """Write a merchant's state, limit, denied operations and policy for unmatched payments."""
        await self._database.execute(
            SET_MERCHANT,
            merchant.mchid,
            merchant.state.value,
            merchant.max_amount_minor,
            sorted(merchant.denied),
            merchant.unmatched_payments.value,
        )

    def _app_of(self, row: "asyncpg.Record") -> App:
        return App(
            appcode=row["appcode"],
            key=self._cipher.decrypt(row["key_encrypted"]),
            notify_url=row["notify_url"],
            return_url=row["return_url"],
            webhook_style=Style(row["webhook_style"]),
            sha256_only=row["sha256_only"],
            notify_offline=row["notify_offline"],
            include_currency=row["include_currency"],
            cancel_codes_v2=row["cancel_codes_v2"],
            include_goods_name=row["include_goods_name"],
            quick_retries=row["quick_retries"],
            close_requires_amount=row["close_requires_amount"],
            max_request_age_s=row["max_request_age_s"],
            sha256_responses=row["sha256_responses"],
            allowed_addresses=tuple(row["allowed_addresses"]),
        )


def _settings_of(app: App) -> tuple[object, ...]:
    """The settings of an app, in the order of both statements."""
    return (
        app.notify_url,
        app.return_url,
        app.webhook_style.value,
        app.sha256_only,
        app.notify_offline,
        app.include_currency,
        app.cancel_codes_v2,
        app.include_goods_name,
        app.quick_retries,
        app.close_requires_amount,
        app.max_request_age_s,
        app.sha256_responses,
        list(app.allowed_addresses),
    )


def _merchant_of(row: "asyncpg.Record") -> Merchant:
    return Merchant(
        mchid=row["mchid"],
        appcode=row["appcode"],
        name=row["name"],
        currency=row["currency"],
        state=MerchantState(row["state"]),
        is_default=row["is_default"],
        max_amount_minor=row["max_amount_minor"],
        denied=frozenset(map(Operation, row["denied"])),
        unmatched_payments=UnmatchedPolicy(row["unmatched_payments"]),
    )
