"""The queue of webhooks: claiming due ones and recording attempts.

Webhooks are claimed app by app, each up to its remaining slots. A payment's next webhook is claimed only when those
before it are no longer due, so a refund's webhook follows the payment's, or that one is exhausted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

from tael.db.database import Database
from tael.merchants.domain.merchant import Style
from tael.webhooks.domain.webhook import WebhookKind, WebhookState

if TYPE_CHECKING:
    import asyncpg

MAX_ANSWER_BYTES: Final = 1024

COLUMNS: Final = "mchid, cause, kind, appcode, payment_syssn, style, body, attempts, attempts_before"
#: `app` skips through the index from one app with due webhooks to the next, whatever the length of their queues. Kinds
#: are compared first: a payment comes before its refunds even if the clocks of two hosts disagree.
CLAIM: Final = f"""
WITH RECURSIVE app AS (
    (SELECT appcode FROM webhook WHERE deliver_at IS NOT NULL ORDER BY appcode LIMIT 1)
    UNION ALL
    SELECT (
        SELECT w.appcode FROM webhook AS w
        WHERE w.deliver_at IS NOT NULL AND w.appcode > app.appcode ORDER BY w.appcode LIMIT 1
    ) FROM app WHERE app.appcode IS NOT NULL
), room AS (
    SELECT app.appcode, coalesce(p.room, $5::integer) AS places
    FROM app LEFT JOIN unnest($6::text[], $7::integer[]) AS p (appcode, room) USING (appcode)
    WHERE app.appcode IS NOT NULL
), due AS (
    SELECT first.mchid, first.cause, first.kind
    FROM room CROSS JOIN LATERAL (
        SELECT w.mchid, w.cause, w.kind, w.deliver_at FROM webhook AS w
        WHERE w.appcode = room.appcode AND w.deliver_at <= $1 AND (w.lease_until IS NULL OR w.lease_until < $2)
          AND NOT EXISTS (
            SELECT FROM webhook AS e
            WHERE e.mchid = w.mchid AND e.payment_syssn = w.payment_syssn AND e.deliver_at IS NOT NULL
              AND (e.kind, e.created_at, e.cause) < (w.kind, w.created_at, w.cause))
        ORDER BY w.deliver_at LIMIT room.places FOR NO KEY UPDATE SKIP LOCKED
    ) AS first
    ORDER BY first.deliver_at LIMIT $4
)
UPDATE webhook AS h SET lease_until = $3
FROM due
WHERE h.mchid = due.mchid AND h.cause = due.cause AND h.kind = due.kind
RETURNING {", ".join("h." + column for column in COLUMNS.split(", "))}
"""
#: In any state; for readers that claim nothing.
NEWEST: Final = f"""
SELECT {COLUMNS} FROM webhook
WHERE $1::text IS NULL OR appcode = $1 ORDER BY created_at DESC, kind DESC, cause DESC LIMIT $2
"""
#: A worker whose lease expired may report late: its attempt is logged, but only an acknowledgement still counts.
#: Webhooks that wait behind a failed one become due together with it, not before.
REPORT: Final = """
WITH reported AS (
    SELECT * FROM unnest(
        $1::text[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::timestamptz[], $7::timestamptz[],
        $8::timestamptz[], $9::integer[], $10::integer[], $11::text[], $12::bytea[]
    ) AS r (mchid, cause, kind, attempts, state, deliver_at, delivered_at, started_at, took_ms, status,
            result, answer)
), logged AS (
    INSERT INTO webhook_attempt (mchid, cause, kind, attempt, started_at, took_ms, status, result, answer)
    SELECT mchid, cause, kind, attempts + 1, started_at, took_ms, status, result, answer FROM reported
    ON CONFLICT DO NOTHING
), written AS (
    UPDATE webhook AS h SET state = r.state, deliver_at = r.deliver_at, attempts = h.attempts + 1,
        last_result = r.result, delivered_at = coalesce(r.delivered_at, h.delivered_at), lease_until = NULL
    FROM reported AS r
    WHERE h.mchid = r.mchid AND h.cause = r.cause AND h.kind = r.kind AND h.deliver_at IS NOT NULL
      AND (h.attempts = r.attempts OR r.state = 'DELIVERED')
    RETURNING h.mchid, h.payment_syssn, h.kind, coalesce(h.deliver_at, r.started_at) AS next_turn
)
UPDATE webhook AS f SET deliver_at = w.next_turn
FROM written AS w
WHERE f.mchid = w.mchid AND f.payment_syssn = w.payment_syssn AND f.deliver_at IS NOT NULL
  AND w.kind = 'payment' AND f.kind <> 'payment' AND f.attempts = 0 AND f.lease_until IS NULL
"""


@dataclass(frozen=True, slots=True)
class AppLimits:
    """How many webhooks of each app may be claimed: `default`, except for the apps in `remaining`."""

    default: int
    remaining: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DueWebhook:
    """A webhook to deliver. `body` is None until the first attempt fixes it."""

    mchid: str
    cause: str
    kind: WebhookKind
    appcode: str
    payment_syssn: str
    style: Style | None
    body: bytes | None
    attempts: int
    attempts_before: int  #: of `attempts`, those before an operator's resend


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


async def claim(
    database: Database, now: datetime, real_now: datetime, lease_until: datetime, limit: int, apps: AppLimits
) -> list[DueWebhook]:
    """Due webhooks, leased to the caller."""
    names, remaining = list(apps.remaining), list(apps.remaining.values())
    rows = await database.fetch(CLAIM, now, real_now, lease_until, limit, apps.default, names, remaining)
    return [_due_of(row) for row in rows]


async def newest(database: Database, appcode: str | None, limit: int) -> list[DueWebhook]:
    """The newest webhooks of an app or of all, oldest first."""
    return [_due_of(row) for row in reversed(await database.fetch(NEWEST, appcode, limit))]


async def report(database: Database, deliveries: Sequence[Delivery]) -> None:
    """Write the results of many attempts at once."""
    attempts = [d.attempt for d in deliveries]
    await database.execute(
        REPORT,
        [d.webhook.mchid for d in deliveries],
        [d.webhook.cause for d in deliveries],
        [d.webhook.kind.value for d in deliveries],
        [d.webhook.attempts for d in deliveries],
        [d.state.value for d in deliveries],
        [d.deliver_at for d in deliveries],
        [d.delivered_at for d in deliveries],
        [a.started_at for a in attempts],
        [a.took_ms for a in attempts],
        [a.status for a in attempts],
        [a.result for a in attempts],
        [a.answer[:MAX_ANSWER_BYTES] for a in attempts],
    )


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
        attempts_before=row["attempts_before"],
    )
