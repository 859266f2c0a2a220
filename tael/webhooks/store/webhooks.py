"""Webhooks to merchants. The due rows are the queue; there is no other.

A row is written in the commit of its payment's or refund's outcome. Its body is fixed at the first attempt, before
anything is sent, so that every retry sends the same bytes even if the app's settings change meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from tael.audit_log.domain.entry import Origin, entry_of
from tael.audit_log.store.entries import write_audit_entries
from tael.db.database import Database
from tael.db.pipeline import Statement
from tael.db.tables import Codec, Home, Table
from tael.merchants.domain.merchant import Style
from tael.webhooks.domain.webhook import WebhookKind, WebhookState
from tael.webhooks.store.queue import (
    DUE,
    Attempt,
    Delivery,
    DueWebhook,
    WebhookQueue,
    fix_bodies,
    newest,
    report,
)

if TYPE_CHECKING:
    from tael.db.database import Connection


class NewWebhook(Struct, frozen=True):
    """A webhook to write; `cause` is the syssn of the payment or refund."""

    mchid: str
    cause: str
    kind: WebhookKind
    appcode: str
    payment_syssn: str
    at: datetime


@dataclass(frozen=True, slots=True)
class NotificationStatus:
    """The delivery status of a webhook. `style` is None and `last_result` empty before the first attempt."""

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
    is_purged: bool  #: the body was removed, and cannot be sent again


@dataclass(frozen=True, slots=True)
class LoggedAttempt:
    """A logged attempt; `number` starts at 1."""

    kind: WebhookKind
    number: int
    attempt: Attempt


NEW: Final = Table(
    "webhook",
    Home.CELL,
    NewWebhook,
    DUE.key,
    codecs={
        "at": Codec(
            {"created_at": "timestamptz", "deliver_at": "timestamptz"}, lambda at: (at, at), NewWebhook
        )
    },
)
STATUS: Final = Table("webhook", Home.CELL, NotificationStatus, DUE.key)
WRITE: Final = f"{NEW.insert()} ON CONFLICT DO NOTHING"
OF_CAUSES: Final = f"""
SELECT {STATUS.select} FROM webhook WHERE mchid = $1 AND cause = ANY($2) ORDER BY created_at, cause, kind
"""
LIST: Final = f"""
SELECT {STATUS.select} FROM webhook
WHERE ($1::text IS NULL OR appcode = $1) AND ($2::text IS NULL OR mchid = $2) AND ($3::text IS NULL OR state = $3)
ORDER BY created_at DESC, cause DESC, kind LIMIT $4
"""
#: What is resent, locked until it is.
OF_CAUSE: Final = f"""
SELECT {STATUS.select} FROM webhook WHERE mchid = ANY($1) AND cause = $2 AND ($3::text IS NULL OR kind = $3)
ORDER BY mchid, cause, kind FOR UPDATE
"""
EXHAUSTED: Final = f"""
SELECT {STATUS.select} FROM webhook
WHERE state = 'EXHAUSTED' AND NOT is_purged AND ($1::text IS NULL OR appcode = $1)
ORDER BY mchid, cause, kind FOR UPDATE
"""
RESEND: Final = f"""
UPDATE webhook AS h SET state = 'DUE', deliver_at = w.deliver_at, attempts_before = h.attempts
FROM {STATUS.unnest((*DUE.key, "deliver_at"))} WHERE (h.mchid, h.cause, h.kind) = (w.mchid, w.cause, w.kind)
"""
#: One primary key lookup per merchant of the cell, since a cause alone has no index.
OWNERS: Final = """
SELECT m.mchid FROM daily_close AS m WHERE EXISTS (SELECT FROM webhook AS h WHERE h.mchid = m.mchid AND h.cause = $1)
"""
ATTEMPTS: Final = """
SELECT a.kind, a.attempt, a.started_at, a.took_ms, a.status, a.result, a.answer
FROM daily_close AS m JOIN webhook_attempt AS a ON a.mchid = m.mchid AND a.cause = $1
ORDER BY a.kind, a.attempt, a.started_at
"""


async def write_webhooks(connection: "Connection", webhooks: Sequence[NewWebhook]) -> None:
    """Queue `webhooks` in the caller's transaction."""
    if webhooks:
        statement = webhooks_to_write(webhooks)
        await connection.execute(statement.sql, *statement.arrays)


def webhooks_to_write(webhooks: Sequence[NewWebhook]) -> Statement:
    """Queues `webhooks`; one that is queued already stays as it is."""
    return Statement(WRITE, NEW.arrays(webhooks, NEW.columns))


class WebhookPurged(Exception):
    """The body of a webhook was removed because of its age. The message names the payment or refund."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"the webhook for {cause} was purged and cannot be sent again")


class Webhooks:
    """The table `webhook`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.due: Final = WebhookQueue(database)

    async def fix_bodies(self, webhooks: Sequence[DueWebhook], bodies: Sequence[bytes]) -> list[DueWebhook]:
        """Store the bytes that are about to be sent. Returns what is stored: a body that was stored before stays."""
        return await fix_bodies(self._database, webhooks, bodies)

    async def report(self, deliveries: Sequence[Delivery]) -> None:
        """Write the results of many attempts at once."""
        await report(self._database, deliveries)

    async def of_causes(self, mchid: str, causes: Sequence[str]) -> list[NotificationStatus]:
        """The webhooks about these syssns, oldest first."""
        return [STATUS.read(row) for row in await self._database.fetch(OF_CAUSES, mchid, list(causes))]

    async def to_send(self, appcode: str | None, limit: int) -> list[DueWebhook]:
        """The newest webhooks of an app or of all, oldest first, with their bytes; nothing is claimed."""
        return await newest(self._database, appcode, limit)

    # ---- for the operator ------------------------------------------------------------------------------------

    async def newest(
        self, appcode: str | None, mchid: str | None, state: WebhookState | None, limit: int
    ) -> list[NotificationStatus]:
        """Webhooks, newest first, filtered by app, merchant and state."""
        rows = await self._database.fetch(LIST, appcode, mchid, state.value if state else None, limit)
        return [STATUS.read(row) for row in rows]

    async def resend(self, cause: str, kind: WebhookKind | None, origin: Origin) -> list[NotificationStatus]:
        """Redeliver the webhooks of `cause` in any state: the same bytes, and the retry schedule restarts.

        Raises WebhookPurged, and then sends none of them.
        """
        owners = [row["mchid"] for row in await self._database.fetch(OWNERS, cause)]
        return await self._resend(origin, OF_CAUSE, owners, cause, kind)

    async def resend_exhausted(self, appcode: str | None, origin: Origin) -> list[NotificationStatus]:
        """Redeliver the exhausted webhooks of one app or of all."""
        return await self._resend(origin, EXHAUSTED, appcode)

    async def _resend(self, origin: Origin, which: str, *parameters: object) -> list[NotificationStatus]:
        async with self._database.transaction() as connection:
            before = [STATUS.read(row) for row in await connection.fetch(which, *parameters)]
            for each in before:
                if each.is_purged:
                    raise WebhookPurged(each.cause)
            after = [replace(each, state=WebhookState.DUE, deliver_at=origin.at) for each in before]
            await connection.execute(RESEND, *STATUS.arrays(after, (*DUE.key, "deliver_at")))
            changes = [
                entry_of(origin, STATUS.name, f"{new.cause}/{new.kind}", old, new)
                for old, new in zip(before, after, strict=True)
            ]
            await write_audit_entries(connection, STATUS.home, [entry for entry in changes if entry])
        return after

    async def attempts_of(self, cause: str) -> list[LoggedAttempt]:
        """All delivery attempts for `cause`, in order."""
        return [
            LoggedAttempt(
                WebhookKind(row["kind"]),
                row["attempt"],
                Attempt(row["started_at"], row["took_ms"], row["status"], row["result"], row["answer"]),
            )
            for row in await self._database.fetch(ATTEMPTS, cause)
        ]
