"""Wallet accounts and WeChat's service providers. Secrets are encrypted in the rows.

Constraints in the database enforce the contracts: a PID belongs to one merchant and one scene, and a merchant has at
most one WeChat account and one Alipay account per scene.
"""

from datetime import datetime
from typing import Any, Final

import asyncpg

from tael.base.cipher import Cipher
from tael.db.database import Database
from tael.merchants.domain.account import Account, AlipayAccount, WeChatAccount, WeChatProvider
from tael.merchants.store.merchants import AlreadyThere

SELECT: Final = """
SELECT a.*, p.appid, p.key_encrypted AS provider_key_encrypted, p.certificate_pem,
    p.certificate_key_encrypted
FROM wallet_account AS a LEFT JOIN wallet_provider AS p ON p.mch_id = a.mch_id
"""
ADD_ALIPAY: Final = """
INSERT INTO wallet_account (account_id, mchid, wallet, scene, currency, refund_window_days, pid, sign_type,
    key_encrypted, private_key_encrypted, alipay_public_key_pem,
    supports_close, fee_rate_ppm, created_at, supports_partial_refunds)
VALUES ($1, $2, 'alipay', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
"""
ADD_PROVIDER: Final = """
INSERT INTO wallet_provider (mch_id, appid, key_encrypted, certificate_pem, certificate_key_encrypted)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (mch_id) DO UPDATE SET appid = excluded.appid, key_encrypted = excluded.key_encrypted,
    certificate_pem = excluded.certificate_pem,
    certificate_key_encrypted = excluded.certificate_key_encrypted
"""
ADD_WECHAT: Final = """
INSERT INTO wallet_account (account_id, mchid, wallet, scene, currency, refund_window_days, mch_id, sub_mch_id,
    sub_appid, sub_secret_encrypted, supports_wechat_hk, sign_type, fee_rate_ppm, created_at, supports_partial_refunds)
VALUES ($1, $2, 'wechat', 'both', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
"""
SET_REFUND_RULES: Final = """
UPDATE wallet_account SET refund_window_days = $2, supports_partial_refunds = $3 WHERE account_id = $1
"""
SET_ALIPAY_KEYS: Final = """
UPDATE wallet_account SET key_encrypted = $2, private_key_encrypted = $3, alipay_public_key_pem = $4
WHERE account_id = $1 AND wallet = 'alipay'
"""
SET_SUB_APP: Final = """
UPDATE wallet_account SET sub_secret_encrypted = $2 WHERE account_id = $1 AND wallet = 'wechat'
"""


class Accounts:
    """The tables `wallet_account` and `wallet_provider`."""

    def __init__(self, database: Database, cipher: Cipher) -> None:
        self._database = database
        self._cipher = cipher

    async def of_app(self, appcode: str) -> list[Account]:
        """The accounts of all merchants of an app."""
        rows = await self._database.fetch(
            SELECT + " JOIN merchant AS m ON m.mchid = a.mchid WHERE m.appcode = $1", appcode
        )
        return [self._account_of(row) for row in rows]

    async def by_id(self, account_id: str) -> Account | None:
        rows = await self._database.fetch(SELECT + " WHERE a.account_id = $1", account_id)
        return self._account_of(rows[0]) if rows else None

    async def all(self) -> list[Account]:
        rows = await self._database.fetch(SELECT + " ORDER BY a.created_at, a.account_id")
        return [self._account_of(row) for row in rows]

    async def add(self, account: Account, at: datetime) -> None:
        """Raises AlreadyThere if a contract forbids it, LookupError if its merchant does not exist."""
        try:
            match account:
                case AlipayAccount():
                    await self._database.execute(ADD_ALIPAY, *self._alipay_columns(account, at))
                case WeChatAccount():
                    await self._add_wechat(account, at)
        except asyncpg.UniqueViolationError as error:
            raise AlreadyThere(_contract_of(error)) from error
        except asyncpg.ForeignKeyViolationError as error:
            raise LookupError(f"no merchant {account.mchid}") from error

    async def set_refund_rules(self, account: Account) -> None:
        """Write the account's refund rules only."""
        await self._database.execute(
            SET_REFUND_RULES, account.account_id, account.refund_window_days, account.supports_partial_refunds
        )

    async def set_keys(self, account: Account) -> None:
        """Write the account's keys; for WeChat Pay also its provider's, which all its accounts share."""
        match account:
            case AlipayAccount():
                await self._database.execute(
                    SET_ALIPAY_KEYS,
                    account.account_id,
                    self._cipher.encrypt(account.key),
                    self._cipher.encrypt(account.private_key_pem),
                    account.alipay_public_key_pem,
                )
            case WeChatAccount():
                async with self._database.transaction() as connection:
                    await connection.execute(ADD_PROVIDER, *self._provider_columns(account.provider))
                    await connection.execute(
                        SET_SUB_APP, account.account_id, self._cipher.encrypt(account.sub_secret)
                    )

    def _provider_columns(self, provider: WeChatProvider) -> tuple[Any, ...]:
        return (
            provider.mch_id,
            provider.appid,
            self._cipher.encrypt(provider.key),
            provider.certificate_pem,
            self._cipher.encrypt(provider.certificate_key_pem),
        )

    async def _add_wechat(self, account: WeChatAccount, at: datetime) -> None:
        provider = account.provider
        async with self._database.transaction() as connection:
            await connection.execute(ADD_PROVIDER, *self._provider_columns(provider))
            await connection.execute(
                ADD_WECHAT,
                account.account_id,
                account.mchid,
                account.currency,
                account.refund_window_days,
                provider.mch_id,
                account.sub_mch_id,
                account.sub_appid,
                self._cipher.encrypt(account.sub_secret),
                account.supports_wechat_hk,
                account.sign_type,
                account.fee_rate_ppm,
                at,
                account.supports_partial_refunds,
            )

    def _alipay_columns(self, account: AlipayAccount, at: datetime) -> tuple[Any, ...]:
        return (
            account.account_id,
            account.mchid,
            account.scene,
            account.currency,
            account.refund_window_days,
            account.pid,
            account.sign_type,
            self._cipher.encrypt(account.key),
            self._cipher.encrypt(account.private_key_pem),
            account.alipay_public_key_pem,
            account.supports_close,
            account.fee_rate_ppm,
            at,
            account.supports_partial_refunds,
        )

    def _account_of(self, row: "asyncpg.Record") -> Account:
        if row["wallet"] == "alipay":
            return AlipayAccount(
                account_id=row["account_id"],
                mchid=row["mchid"],
                scene=row["scene"],
                currency=row["currency"],
                pid=row["pid"],
                sign_type=row["sign_type"],
                key=self._cipher.decrypt(row["key_encrypted"]),
                private_key_pem=self._cipher.decrypt(row["private_key_encrypted"]),
                alipay_public_key_pem=row["alipay_public_key_pem"],
                supports_close=row["supports_close"],
                refund_window_days=row["refund_window_days"],
                supports_partial_refunds=row["supports_partial_refunds"],
                fee_rate_ppm=row["fee_rate_ppm"],
            )
        provider = WeChatProvider(
            mch_id=row["mch_id"],
            appid=row["appid"],
            key=self._cipher.decrypt(row["provider_key_encrypted"]),
            certificate_pem=row["certificate_pem"],
            certificate_key_pem=self._cipher.decrypt(row["certificate_key_encrypted"]),
        )
        return WeChatAccount(
            account_id=row["account_id"],
            mchid=row["mchid"],
            currency=row["currency"],
            provider=provider,
            sign_type=row["sign_type"],
            sub_mch_id=row["sub_mch_id"],
            sub_appid=row["sub_appid"],
            sub_secret=self._cipher.decrypt(row["sub_secret_encrypted"]),
            supports_wechat_hk=row["supports_wechat_hk"],
            refund_window_days=row["refund_window_days"],
            supports_partial_refunds=row["supports_partial_refunds"],
            fee_rate_ppm=row["fee_rate_ppm"],
        )


def _contract_of(error: asyncpg.UniqueViolationError) -> str:
    """The violated rule, as a sentence for the operator."""
    return {
        "one_account_per_scene": "the merchant already has an account at this wallet for this scene",
        "one_merchant_per_pid": "this PID already belongs to a merchant",
        "one_merchant_per_sub_mch_id": "this sub-merchant number already belongs to a merchant",
    }.get(error.constraint_name or "", "such an account already exists")
