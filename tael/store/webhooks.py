"""Webhooks: what merchants are to be told. A due row is the queue; there is no other.

A row is written in the commit of the news; its body at the first delivery, before anything is sent, so that every
repeat is the same bytes whatever happens to the app's settings meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from tael.domain.webhook import Style, WebhookKind
from tael.store.database import Database

if TYPE_CHECKING:
    import asyncpg

    from tael.store.database import Connection

WRITE: Final = """
INSERT INTO webhook (mchid, cause, kind, appcode, payment_syssn, created_at, deliver_at)
SELECT w.*, w.created_at FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[]
) AS w (mchid, cause, kind, appcode, payment_syssn, created_at)
ON CONFLICT DO NOTHING
"""
COLUMNS: Final = "mchid, cause, kind, appcode, payment_syssn, style, body, attempts"
CLAIM: Final = f"""
UPDATE webhook AS h SET lease_until = $3
FROM (
    SELECT mchid, cause, kind FROM webhook
    WHERE deliver_at <= $1 AND (lease_until IS NULL OR lease_until < $2)
    ORDER BY deliver_at LIMIT $4 FOR UPDATE SKIP LOCKED
) AS due
WHERE h.mchid = due.mchid AND h.cause = due.cause AND h.kind = due.kind
RETURNING {", ".join("h." + column for column in COLUMNS.split(", "))}
"""
FIX_BODY: Final = """
UPDATE webhook SET style = $4, body = $5
WHERE mchid = $1 AND cause = $2 AND kind = $3 AND body IS NULL
"""
REPORT: Final = """
UPDATE webhook AS h SET state = r.state, deliver_at = r.deliver_at, delivered_at = r.delivered_at,
    attempts = h.attempts + 1, last_result = r.result, lease_until = NULL
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::text[])
    AS r (mchid, cause, kind, state, deliver_at, delivered_at, result)
WHERE h.mchid = r.mchid AND h.cause = r.cause AND h.kind = r.kind
"""
OF_CAUSES: Final = """
SELECT cause, kind, state, style, attempts, last_result, created_at, deliver_at, delivered_at FROM webhook
WHERE mchid = $1 AND cause = ANY($2) ORDER BY created_at, cause, kind
"""


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """That a merchant is to be told of `cause` (a syssn)."""

    mchid: str
    cause: str
    kind: WebhookKind
    appcode: str
    payment_syssn: str
    at: datetime


@dataclass(frozen=True, slots=True)
class DueWebhook:
    """A webhook to deliver now. `body` is None until the first delivery fixed it."""

    mchid: str
    cause: str
    kind: WebhookKind
    appcode: str
    payment_syssn: str
    style: Style | None
    body: bytes | None
    attempts: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one attempt. `deliver_at` is the next one, None if there is none."""

    webhook: DueWebhook
    state: str  #: DUE, DELIVERED, GIVEN_UP or NOT_WANTED
    result: str
    deliver_at: datetime | None
    delivered_at: datetime | None


@dataclass(frozen=True, slots=True)
class ToldMerchant:
    """How far a webhook has come. `style` is None and `last_result` empty before the first attempt."""

    cause: str
    kind: WebhookKind
    state: str
    style: Style | None
    attempts: int
    last_result: str
    created_at: datetime
    deliver_at: datetime | None
    delivered_at: datetime | None


async def write_webhooks(connection: "Connection", webhooks: Sequence[NewWebhook]) -> None:
    """Queue `webhooks` inside the transaction of the news."""
    if not webhooks:
        return
    await connection.execute(
        WRITE,
        [w.mchid for w in webhooks],
        [w.cause for w in webhooks],
        [w.kind.value for w in webhooks],
        [w.appcode for w in webhooks],
        [w.payment_syssn for w in webhooks],
        [w.at for w in webhooks],
    )


class Webhooks:
    """The table `webhook`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim_due(
        self, now: datetime, real_now: datetime, lease_until: datetime, most: int
    ) -> list[DueWebhook]:
        """Webhooks to deliver, leased to the caller until `lease_until` (real time)."""
        rows = await self._database.fetch(CLAIM, now, real_now, lease_until, most)
        return [_due_of(row) for row in rows]

    async def fix_body(self, webhook: DueWebhook, style: Style, body: bytes) -> None:
        """Keep the bytes that are about to be sent."""
        await self._database.execute(
            FIX_BODY, webhook.mchid, webhook.cause, webhook.kind.value, style.value, body
        )

    async def report(self, deliveries: Sequence[Delivery]) -> None:
        """Write what became of attempts, many at once."""
        await self._database.execute(
            REPORT,
            [d.webhook.mchid for d in deliveries],
            [d.webhook.cause for d in deliveries],
            [d.webhook.kind.value for d in deliveries],
            [d.state for d in deliveries],
            [d.deliver_at for d in deliveries],
            [d.delivered_at for d in deliveries],
            [d.result for d in deliveries],
        )

    async def of_causes(self, mchid: str, causes: Sequence[str]) -> list[ToldMerchant]:
        """The webhooks about these syssns, oldest first."""
        rows = await self._database.fetch(OF_CAUSES, mchid, list(causes))
        return [
            ToldMerchant(
                cause=row["cause"],
                kind=WebhookKind(row["kind"]),
                state=row["state"],
                style=Style(row["style"]) if row["style"] else None,
                attempts=row["attempts"],
                last_result=row["last_result"],
                created_at=row["created_at"],
                deliver_at=row["deliver_at"],
                delivered_at=row["delivered_at"],
            )
            for row in rows
        ]


def _due_of(row: "asyncpg.Record") -> DueWebhook:
    return DueWebhook(
        mchid=row["mchid"],
        cause=row["cause"],
        kind=WebhookKind(row["kind"]),
        appcode=row["appcode"],
        payment_syssn=row["payment_syssn"],
        style=Style(row["style"]) if row["style"] else None,
        body=row["body"],
        attempts=row["attempts"],
    )
