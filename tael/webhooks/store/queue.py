"""The queue of webhooks: claiming due ones and recording attempts.

Webhooks are claimed app by app, each up to its remaining slots. A payment's next webhook is claimed only when those
before it are no longer due, so a refund's webhook follows the payment's, or that one is exhausted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from tael.db.database import Database
from tael.db.due_queue import IS_DUE, DueQueue
from tael.db.tables import Home, Table
from tael.merchants.domain.merchant import Style
from tael.webhooks.domain.webhook import WebhookKind, WebhookState

MAX_ANSWER_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class AppLimits:
    """How many webhooks of each app may be claimed: `default`, except for the apps in `remaining`."""

    default: int
    remaining: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AppPart:
    """Up to `limit` webhooks of one app that are due since `since` or later."""

    appcode: str
    limit: int
    since: datetime


@dataclass(frozen=True, slots=True)
class DueWebhook:
    """A webhook to deliver. `body` is None until the first attempt fixes it."""

    mchid: str
    cause: str
    kind: WebhookKind
    appcode: str
    payment_syssn: str
    deliver_at: datetime | None
    style: Style | None
    body: bytes | None
    attempts: int
    attempts_before: int  #: of `attempts`, those before an operator's resend

    @property
    def key(self) -> tuple[str, str, WebhookKind]:
        return self.mchid, self.cause, self.kind


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt. `status` is None without a response; `answer` is its beginning, at most MAX_ANSWER_BYTES."""

    started_at: datetime
    took_ms: int  #: real time
    status: int | None
    result: str
    answer: bytes = b""


@dataclass(frozen=True, slots=True)
class Delivery:
    """The result of one attempt. `deliver_at` is the next one, None if there is none."""

    webhook: DueWebhook
    state: WebhookState
    attempt: Attempt
    deliver_at: datetime | None = None
    delivered_at: datetime | None = None


DUE: Final = Table(
    "webhook", Home.CELL, DueWebhook, ("mchid", "cause", "kind"), internal={"lease_until": "timestamptz"}
)
#: A step from one app to the next through the index, whatever the length of their queues.
FIRST_APP: Final = "SELECT appcode FROM webhook WHERE deliver_at IS NOT NULL ORDER BY appcode LIMIT 1"
NEXT_APP: Final = """
SELECT w.appcode FROM webhook AS w
WHERE w.deliver_at IS NOT NULL AND w.appcode > queued.appcode ORDER BY w.appcode LIMIT 1
"""
QUEUED_APPS: Final = f"""
WITH RECURSIVE queued AS (
    ({FIRST_APP})
    UNION ALL
    SELECT ({NEXT_APP}) FROM queued WHERE queued.appcode IS NOT NULL
)"""
#: The first due webhook of each app: $1 now, $2 the real time.
FIRST_DUE: Final = f"""FROM (
    {QUEUED_APPS}
    SELECT first.deliver_at FROM queued CROSS JOIN LATERAL (
        SELECT deliver_at FROM webhook WHERE appcode = queued.appcode AND {IS_DUE.format(at="deliver_at")}
        ORDER BY deliver_at LIMIT 1
    ) AS first) AS first"""
#: $1 now, $2 the real time, $3 the lease's end, $4 the limit; `room` has the apps. A payment's webhook waits for none,
#: and a refund's for those before it. Kinds are compared first: a payment comes before its refunds even if the clocks
#: of two hosts disagree.
TAKEN: Final = f"""
due AS (
    SELECT first.mchid, first.cause, first.kind
    FROM room CROSS JOIN LATERAL (
        SELECT w.mchid, w.cause, w.kind, w.deliver_at FROM webhook AS w
        WHERE w.appcode = room.appcode AND w.deliver_at >= room.since AND w.deliver_at <= $1
          AND (w.lease_until IS NULL OR w.lease_until < $2)
          AND (w.kind = 'payment' OR NOT EXISTS (
            SELECT FROM webhook AS p
            WHERE p.mchid = w.mchid AND p.cause = w.payment_syssn AND p.kind = 'payment' AND p.deliver_at IS NOT NULL
          ) AND NOT EXISTS (
            SELECT FROM webhook AS e
            WHERE e.mchid = w.mchid AND e.payment_syssn = w.payment_syssn AND e.deliver_at IS NOT NULL
              AND e.kind <> 'payment' AND (e.kind, e.created_at, e.cause) < (w.kind, w.created_at, w.cause)))
        ORDER BY w.deliver_at LIMIT room.places FOR NO KEY UPDATE SKIP LOCKED
    ) AS first
    ORDER BY first.deliver_at LIMIT $4
)
UPDATE webhook AS h SET lease_until = $3
FROM due
WHERE h.mchid = due.mchid AND h.cause = due.cause AND h.kind = due.kind
RETURNING {DUE.select_from("h")}
"""
#: Of all apps, from the beginning of their queues. $5 to $7 are AppLimits.
CLAIM: Final = f"""
{QUEUED_APPS}, room AS (
    SELECT queued.appcode, coalesce(p.room, $5::integer) AS places, timestamptz '-infinity' AS since
    FROM queued LEFT JOIN unnest($6::text[], $7::integer[]) AS p (appcode, room) USING (appcode)
    WHERE queued.appcode IS NOT NULL
), {TAKEN}"""
#: Of some apps, from an instant on. The index keeps the entries of delivered webhooks until the next vacuum; there may
#: be very many of them before that instant.
CLAIM_PARTS: Final = f"""
WITH room AS (
    SELECT * FROM unnest($5::text[], $6::integer[], $7::timestamptz[]) AS p (appcode, places, since)
), {TAKEN}"""
#: In any state, with a body or without one yet; for readers that claim nothing.
NEWEST: Final = f"""
SELECT {DUE.select} FROM webhook
WHERE NOT is_purged AND ($1::text IS NULL OR appcode = $1) ORDER BY created_at DESC, kind DESC, cause DESC LIMIT $2
"""
#: Stores bodies where none is stored yet; returns what is stored now.
FIX_BODIES: Final = """
UPDATE webhook AS h SET style = coalesce(h.style, r.style), body = coalesce(h.body, r.body)
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[]) AS r (mchid, cause, kind, style, body)
WHERE h.mchid = r.mchid AND h.cause = r.cause AND h.kind = r.kind
RETURNING h.mchid, h.cause, h.kind, h.style, h.body
"""
LOG: Final = """
INSERT INTO webhook_attempt (mchid, cause, kind, attempt, started_at, took_ms, status, result, answer)
SELECT r.* FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::integer[], $5::timestamptz[], $6::integer[], $7::integer[], $8::text[],
    $9::bytea[]
) AS r CROSS JOIN cell ON CONFLICT DO NOTHING
"""
#: A worker whose lease expired may report late: its attempt is logged, but only an acknowledgement still counts.
#: Webhooks that wait behind a failed one become due together with it, not before.
REPORT: Final = """
WITH written AS (
    UPDATE webhook AS h SET state = r.state, deliver_at = r.deliver_at, attempts = h.attempts + 1,
        last_result = r.result, delivered_at = coalesce(r.delivered_at, h.delivered_at), lease_until = NULL
    FROM unnest(
        $1::text[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::timestamptz[], $7::timestamptz[],
        $8::timestamptz[], $9::text[]
    ) AS r (mchid, cause, kind, attempts, state, deliver_at, delivered_at, started_at, result)
    WHERE h.mchid = r.mchid AND h.cause = r.cause AND h.kind = r.kind AND h.deliver_at IS NOT NULL
      AND (h.attempts = r.attempts OR r.state = 'DELIVERED')
    RETURNING h.mchid, h.payment_syssn, h.kind, coalesce(h.deliver_at, r.started_at) AS next_turn
)
UPDATE webhook AS f SET deliver_at = w.next_turn
FROM written AS w
WHERE f.mchid = w.mchid AND f.payment_syssn = w.payment_syssn AND f.deliver_at IS NOT NULL
  AND w.kind = 'payment' AND f.kind <> 'payment' AND f.attempts = 0 AND f.lease_until IS NULL
"""


class WebhookQueue(DueQueue[DueWebhook]):
    """Webhooks to deliver."""

    due_column = "deliver_at"

    def __init__(self, database: Database) -> None:
        super().__init__(database, DUE)

    async def claim(
        self,
        now: datetime,
        real_now: datetime,
        lease_until: datetime,
        limit: int,
        apps: AppLimits | None = None,
    ) -> list[DueWebhook]:
        """Webhooks to deliver, leased until `lease_until` (real time); of any app by default.

        Raises StoreUnavailable.
        """
        limits = apps or AppLimits(limit)
        rooms = list(limits.remaining), list(limits.remaining.values())
        return await self._claim(CLAIM, now, real_now, lease_until, limit, limits.default, *rooms)

    async def claim_parts(
        self,
        now: datetime,
        real_now: datetime,
        lease_until: datetime,
        limit: int,
        parts: Sequence[AppPart],
    ) -> list[DueWebhook]:
        """As `claim`, for `parts` only. Raises StoreUnavailable."""
        columns = [p.appcode for p in parts], [p.limit for p in parts], [p.since for p in parts]
        return await self._claim(CLAIM_PARTS, now, real_now, lease_until, limit, *columns)

    def has_due_rows(self) -> str:
        """App by app, like the index, so that delivered rows and those that are not due yet cost nothing."""
        return f"EXISTS (SELECT {FIRST_DUE})"

    def oldest_due(self) -> str:
        return f"(SELECT min(first.deliver_at) {FIRST_DUE})"


async def newest(database: Database, appcode: str | None, limit: int) -> list[DueWebhook]:
    """The newest webhooks of an app or of all, oldest first."""
    return [DUE.read(row) for row in reversed(await database.fetch(NEWEST, appcode, limit))]


async def fix_bodies(
    database: Database, webhooks: Sequence[DueWebhook], bodies: Sequence[bytes]
) -> list[DueWebhook]:
    """Store the styles of `webhooks` and `bodies`, unless others are stored already; `webhooks` as they are now."""
    rows = await database.fetch(FIX_BODIES, *DUE.arrays(webhooks, (*DUE.key, "style")), bodies)
    stored = {(mchid, cause, kind): (Style(style), body) for mchid, cause, kind, style, body in rows}
    found = ((webhook, *stored[webhook.key]) for webhook in webhooks)
    return [replace(webhook, style=style, body=body) for webhook, style, body in found]


async def report(database: Database, deliveries: Sequence[Delivery]) -> None:
    """Write the results of many attempts at once."""
    keys = DUE.arrays([d.webhook for d in deliveries], DUE.key)
    attempts = [d.attempt for d in deliveries]
    started_at, results = [a.started_at for a in attempts], [a.result for a in attempts]
    async with database.transaction() as connection:
        await connection.execute(
            LOG,
            *keys,
            [d.webhook.attempts + 1 for d in deliveries],
            started_at,
            [a.took_ms for a in attempts],
            [a.status for a in attempts],
            results,
            [a.answer[:MAX_ANSWER_BYTES] for a in attempts],
        )
        await connection.execute(
            REPORT,
            *keys,
            [d.webhook.attempts for d in deliveries],
            [d.state for d in deliveries],
            [d.deliver_at for d in deliveries],
            [d.delivered_at for d in deliveries],
            started_at,
            results,
        )
