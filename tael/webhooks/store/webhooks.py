"""Webhooks: what merchants are to be told. A due row is the queue; there is no other.

A row is written in the commit of the news; its body at the first delivery, before anything is sent, so that every
repeat is the same bytes whatever happens to the app's settings meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from tael.db.database import Database
from tael.db.due_queue import OF_WEBHOOKS, renew, renewal
from tael.merchants.domain.merchant import Style
from tael.webhooks.domain.webhook import WebhookKind, WebhookState
from tael.webhooks.store.queue import Attempt, Delivery, DueWebhook, Rooms, claim, newest, report

if TYPE_CHECKING:
    import asyncpg

    from tael.db.database import Connection

WRITE: Final = """
INSERT INTO webhook (mchid, cause, kind, appcode, payment_syssn, created_at, deliver_at)
SELECT w.*, w.created_at FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[]
) AS w (mchid, cause, kind, appcode, payment_syssn, created_at)
ON CONFLICT DO NOTHING
"""
FIX_BODY: Final = """
UPDATE webhook SET style = $4, body = $5
WHERE mchid = $1 AND cause = $2 AND kind = $3 AND body IS NULL
"""
RENEW: Final = renewal("webhook", OF_WEBHOOKS)

NOTIFICATION_COLUMNS: Final = (
    "mchid, cause, kind, appcode, payment_syssn, state, style, attempts, last_result, created_at, deliver_at, "
    "delivered_at"
)
OF_CAUSES: Final = f"""
SELECT {NOTIFICATION_COLUMNS} FROM webhook WHERE mchid = $1 AND cause = ANY($2) ORDER BY created_at, cause, kind
"""
LIST: Final = f"""
SELECT {NOTIFICATION_COLUMNS} FROM webhook
WHERE ($1::text IS NULL OR appcode = $1) AND ($2::text IS NULL OR mchid = $2) AND ($3::text IS NULL OR state = $3)
ORDER BY created_at DESC, cause DESC, kind LIMIT $4
"""
AGAIN: Final = f"""
SET state = 'DUE', deliver_at = $1, attempts_before = h.attempts
{{}} RETURNING {", ".join("h." + column for column in NOTIFICATION_COLUMNS.split(", "))}
"""
#: One look into the primary key for each merchant, since a cause alone has no index.
RESEND: Final = "UPDATE webhook AS h " + AGAIN.format(
    "FROM merchant AS m WHERE h.mchid = m.mchid AND h.cause = $2 AND ($3::text IS NULL OR h.kind = $3)"
)
RESEND_EXHAUSTED: Final = "UPDATE webhook AS h " + AGAIN.format(
    "WHERE h.state = 'EXHAUSTED' AND ($2::text IS NULL OR h.appcode = $2)"
)
ATTEMPTS: Final = """
SELECT a.kind, a.attempt, a.started_at, a.took_ms, a.status, a.result, a.answer
FROM merchant AS m JOIN webhook_attempt AS a ON a.mchid = m.mchid AND a.cause = $1
ORDER BY a.kind, a.attempt, a.started_at
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
class NotificationStatus:
    """How far a webhook has come. `style` is None and `last_result` empty before the first attempt."""

    mchid: str
    cause: str
    kind: WebhookKind
    appcode: str
    payment_syssn: str
    state: WebhookState
    style: Style | None
    attempts: int
    last_result: str
    created_at: datetime
    deliver_at: datetime | None
    delivered_at: datetime | None


@dataclass(frozen=True, slots=True)
class LoggedAttempt:
    """An attempt as it was logged, `number` from 1."""

    kind: WebhookKind
    number: int
    attempt: Attempt


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
        self, now: datetime, real_now: datetime, lease_until: datetime, limit: int, rooms: Rooms | None = None
    ) -> list[DueWebhook]:
        """Webhooks to deliver, leased to the caller until `lease_until` (real time); without `rooms` any app's."""
        return await claim(self._database, now, real_now, lease_until, limit, rooms or Rooms(limit))

    async def renew(
        self, webhooks: Sequence[DueWebhook], held: Sequence[datetime], until: datetime
    ) -> list[bool]:
        """Extend the leases that are still the caller's; which ones were."""
        keys = [(w.mchid, w.cause, w.kind.value) for w in webhooks]
        return await renew(self._database, RENEW, keys, held, until)

    async def fix_body(self, webhook: DueWebhook, style: Style, body: bytes) -> None:
        """Keep the bytes that are about to be sent."""
        await self._database.execute(
            FIX_BODY, webhook.mchid, webhook.cause, webhook.kind.value, style.value, body
        )

    async def report(self, deliveries: Sequence[Delivery]) -> None:
        """Write what became of attempts, many at once."""
        await report(self._database, deliveries)

    async def of_causes(self, mchid: str, causes: Sequence[str]) -> list[NotificationStatus]:
        """The webhooks about these syssns, oldest first."""
        return [_notification_of(row) for row in await self._database.fetch(OF_CAUSES, mchid, list(causes))]

    async def to_send(self, appcode: str | None, limit: int) -> list[DueWebhook]:
        """The newest webhooks of an app or of all, oldest first, with their bytes; nobody's turn is taken."""
        return await newest(self._database, appcode, limit)

    # ---- the operator's --------------------------------------------------------------------------------------

    async def newest(
        self, appcode: str | None, mchid: str | None, state: WebhookState | None, limit: int
    ) -> list[NotificationStatus]:
        """Webhooks, newest first, of an app, a merchant, in a state."""
        rows = await self._database.fetch(LIST, appcode, mchid, state.value if state else None, limit)
        return [_notification_of(row) for row in rows]

    async def resend(self, cause: str, kind: WebhookKind | None, now: datetime) -> list[NotificationStatus]:
        """Make due what was told of `cause`, in whatever state, the schedule beginning anew; the bytes stay."""
        rows = await self._database.fetch(RESEND, now, cause, kind.value if kind else None)
        return [_notification_of(row) for row in rows]

    async def resend_exhausted(self, appcode: str | None, now: datetime) -> list[NotificationStatus]:
        """Make due what is dead, of one app or of all."""
        return [_notification_of(row) for row in await self._database.fetch(RESEND_EXHAUSTED, now, appcode)]

    async def attempts_of(self, cause: str) -> list[LoggedAttempt]:
        """Every attempt to tell of `cause`, in order."""
        return [
            LoggedAttempt(
                WebhookKind(row["kind"]),
                row["attempt"],
                Attempt(row["started_at"], row["took_ms"], row["status"], row["result"], row["answer"]),
            )
            for row in await self._database.fetch(ATTEMPTS, cause)
        ]


def _notification_of(row: "asyncpg.Record") -> NotificationStatus:
    return NotificationStatus(
        mchid=row["mchid"],
        cause=row["cause"],
        kind=WebhookKind(row["kind"]),
        appcode=row["appcode"],
        payment_syssn=row["payment_syssn"],
        state=WebhookState(row["state"]),
        style=Style(row["style"]) if row["style"] else None,
        attempts=row["attempts"],
        last_result=row["last_result"],
        created_at=row["created_at"],
        deliver_at=row["deliver_at"],
        delivered_at=row["delivered_at"],
    )
