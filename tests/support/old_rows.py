"""A finished row of each table with columns that are blanked, every such column filled; and all rows, to compare."""

from datetime import timedelta
from typing import Any, Final

from tael.channels.outcomes import PayCode
from tael.operations.store import Store
from tael.payments.domain.payment import Payment
from tests.support import citus
from tests.support.store import database_of, paid
from tests.support.values import MCHID, NOW, a_link, a_payment

OLD: Final = NOW - timedelta(days=100)
#: Older than 99 days: so are the rows of `finish`.
AGE: Final = timedelta(days=99)
TABLES: Final = f"""
SELECT tablename FROM pg_tables
WHERE schemaname IN ('public', 'cell_00') AND tablename !~ '{citus.SHARD}' ORDER BY tablename
"""


async def finish(store: Store, **changes: Any) -> Payment:
    """A paid payment of long ago with a refund, a link, a delivered webhook, an unmatched payment, a statement."""
    payment = await paid(
        store,
        a_payment(
            created_at=OLD,
            openid="o-payer",
            device="till-7",
            goods_info="two chairs",
            return_url="https://shop.example/anna",
            payer_ip="203.0.113.9",
            scene_info='{"h5_info":{}}',
            pay=PayCode("weixin://wxpay/1"),
            **changes,
        ),
    )
    await store.checkouts.add(
        a_link(
            reference=payment.reference,
            link_id=payment.syssn,
            openid="o-payer",
            device="till-7",
            cancel_url="https://shop.example/c",
            created_at=OLD,
            expires_at=OLD,
            payment_syssn=payment.syssn,
        )
    )
    for statement in _OTHERS:
        await store.database.execute(statement, *_values(statement, payment))
    return payment


_VALUES: Final = ("$1", "$2", "$3", "$4", "$5")
_OTHERS: Final = (
    "UPDATE payment SET changed_at = $3 WHERE mchid = $1 AND syssn = $2",
    """INSERT INTO refund (mchid, syssn, payment_syssn, account_id, protocol, reference, amount_minor, currency,
    client_time, device, created_at, changed_at, state, wallet_code, wallet_ref, done_at, checks, version)
VALUES ($1, $2 || 'r', $2, 'wechat1', 'wechat_v2', $2 || 'r', 40, 'HKD', '', 'till-7', $3, $3, 'DONE', '', '', $3, 0,
    1)""",
    """UPDATE webhook SET created_at = $3, delivered_at = $3, deliver_at = NULL, state = 'DELIVERED', style = 'new',
    body = 'cardcd=payer-1', attempts = 1 WHERE mchid = $1 AND cause = $2""",
    """INSERT INTO webhook_attempt (mchid, cause, kind, attempt, started_at, took_ms, status, result, answer)
VALUES ($1, $2, 'payment', 1, $3, 5, 200, 'acknowledged', 'thank you, Anna')""",
    """INSERT INTO unmatched_payment (mchid, unmatched_id, subject_id, kind, account_id, protocol, at, amount_minor,
    currency, wallet_ref, payer_ref, state)
VALUES ($1, $4 || $2, $2, 'late_money', 'wechat1', 'wechat_v2', $3, 100, 'HKD', 'w', 'payer-2', 'REFUTED')""",
    """INSERT INTO statement (mchid, statement_id, account_id, protocol, kind, day, sha256, size, source, lines,
    unknown_columns, totals, stored_at, packed, is_packed)
VALUES ($1, $4 || $2, 'wechat1', 'wechat_v2', 'transactions', $3::timestamptz::date - $5::integer, repeat('0', 64), 1,
    'imported', 0, 0, '[]', $3, 'gzip', false)""",
)


def _values(statement: str, payment: Payment) -> list[object]:
    given = (MCHID, payment.syssn, OLD, "4e1d-", int(payment.syssn[-8:]))
    return [value for place, value in zip(_VALUES, given, strict=True) if place in statement]


async def contents(store: Store) -> dict[str, list[dict[str, Any]]]:
    """All rows, by table."""
    names = [row["tablename"] for row in await store.database.fetch(TABLES)]
    return {
        name: sorted(map(dict, await database_of(store, name).fetch(f'SELECT * FROM "{name}"')), key=str)
        for name in names
    }
