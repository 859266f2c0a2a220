"""The shop's storage: orders, refunds, exchanges with the gateway, and webhooks, in one SQLite file.

An order or refund is stored before its request is sent, so that after a crash the shop knows everything that the
gateway knows. Every method is one transaction.
"""

import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tael_client import Exchange, Money, PayType

from tael_sandbox.shop.goods import Basket
from tael_sandbox.shop.order import Order, Refund, RefundState, State, next_state

#: The limit of stored webhooks that are forged or about orders of other shops.
MAX_UNMATCHED: Final = 100
TABLES: Final = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS placed (
    reference   TEXT PRIMARY KEY,
    basket      TEXT NOT NULL,
    amount      INTEGER NOT NULL,
    currency    TEXT NOT NULL,
    pay_type    TEXT NOT NULL,
    state       TEXT NOT NULL,
    placed_at   REAL NOT NULL,
    syssn       TEXT NOT NULL,
    detail      TEXT NOT NULL,
    presentment TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS placed_latest ON placed (placed_at);
CREATE TABLE IF NOT EXISTS refund (
    id        INTEGER PRIMARY KEY,
    reference TEXT NOT NULL UNIQUE,
    placed    TEXT NOT NULL REFERENCES placed (reference),
    amount    INTEGER NOT NULL,
    state     TEXT NOT NULL,
    detail    TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS refund_placed ON refund (placed);
CREATE TABLE IF NOT EXISTS exchange (
    id          INTEGER PRIMARY KEY,
    placed      TEXT NOT NULL REFERENCES placed (reference),
    url         TEXT NOT NULL,
    headers     TEXT NOT NULL,
    signed_text TEXT NOT NULL,
    body        TEXT NOT NULL,
    status      INTEGER NOT NULL,
    answer_sign TEXT NOT NULL,
    answer      TEXT NOT NULL,
    failure     TEXT NOT NULL,
    is_proven   INTEGER NOT NULL,
    times       INTEGER NOT NULL,
    at          REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS exchange_placed ON exchange (placed);
CREATE TABLE IF NOT EXISTS webhook (
    id          INTEGER PRIMARY KEY,
    reference   TEXT NOT NULL,
    is_verified INTEGER NOT NULL,
    verdict     TEXT NOT NULL,
    sign        TEXT NOT NULL,
    signed_text TEXT NOT NULL,
    body        TEXT NOT NULL,
    at          REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS webhook_reference ON webhook (reference);
"""


@dataclass(frozen=True, slots=True)
class StoredExchange:
    """A stored exchange. A repeated query with the same response is one exchange with more `times`."""

    id: int
    url: str
    headers: dict[str, str]
    signed_text: str
    body: str
    status: int
    answer_sign: str
    answer: str
    failure: str
    is_proven: bool
    times: int
    at: float

    @property
    def call(self) -> str:
        return self.url.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Webhook:
    """A received webhook. `reference` of an unverified one is only a claim."""

    reference: str
    is_verified: bool
    verdict: str
    sign: str
    signed_text: str
    body: str
    at: float
    id: int = 0


class OrderStore:
    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path)
        self._connection.row_factory = sqlite3.Row
        self._connection.executescript(TABLES)

    def close(self) -> None:
        self._connection.close()

    # ---- orders --------------------------------------------------------------------------------------------

    def place(self, order: Order) -> bool:
        """False if the reference exists already."""
        values = (
            order.reference,
            json.dumps(dict(order.basket.counts)),
            order.amount.amount_minor,
            order.amount.currency,
            order.pay_type.value,
            order.state.value,
            order.placed_at,
            order.syssn,
            order.detail,
            order.presentment,
        )
        with self._connection as connection:
            inserted = connection.execute(
                "INSERT INTO placed VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", values
            )
        return inserted.rowcount == 1

    def apply_outcome(
        self, reference: str, reported: State, detail: str = "", syssn: str = "", presentment: str = ""
    ) -> None:
        """Applies a reported state if its transition is possible. Empty `syssn` and `presentment` keep the old ones."""
        with self._connection as connection:
            row = connection.execute("SELECT * FROM placed WHERE reference = ?", (reference,)).fetchone()
            state = State(row["state"])
            if next_state(state, reported) is not reported:
                return
            message = row["detail"] if reported is state and not detail else detail
            connection.execute(
                "UPDATE placed SET state = ?, detail = ?, syssn = ?, presentment = ? WHERE reference = ?",
                (
                    reported.value,
                    message,
                    syssn or row["syssn"],
                    presentment or row["presentment"],
                    reference,
                ),
            )

    def order(self, reference: str) -> Order | None:
        rows = self._orders("WHERE reference = ?", reference)
        return rows[0] if rows else None

    def latest(self, limit: int, currency: str) -> list[Order]:
        return self._orders("WHERE currency = ? ORDER BY placed_at DESC LIMIT ?", currency, limit)

    def _orders(self, clause: str, *values: object) -> list[Order]:
        rows = self._connection.execute(f"SELECT * FROM placed {clause}", values)  # noqa: S608 - our own text
        return [
            Order(
                reference=row["reference"],
                basket=Basket(json.loads(row["basket"])),
                amount=Money(row["amount"], row["currency"]),
                pay_type=PayType(row["pay_type"]),
                state=State(row["state"]),
                placed_at=row["placed_at"],
                syssn=row["syssn"],
                detail=row["detail"],
                presentment=row["presentment"],
            )
            for row in rows
        ]

    # ---- refunds -------------------------------------------------------------------------------------------

    def add_refund(self, placed: str, refund: Refund) -> bool:
        """False if the reference exists already."""
        with self._connection as connection:
            inserted = connection.execute(
                "INSERT INTO refund (reference, placed, amount, state, detail) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                (refund.reference, placed, refund.amount_minor, refund.state.value, refund.detail),
            )
        return inserted.rowcount == 1

    def apply_refund_outcome(self, reference: str, reported: RefundState, detail: str = "") -> None:
        """Applies a reported state of a refund; a finished one stays finished."""
        with self._connection as connection:
            connection.execute(
                "UPDATE refund SET state = ?, detail = ? WHERE reference = ? AND state <> 'done'",
                (reported.value, detail, reference),
            )

    def refunds(self, placed: str) -> list[Refund]:
        rows = self._connection.execute("SELECT * FROM refund WHERE placed = ? ORDER BY id", (placed,))
        return [
            Refund(row["reference"], row["amount"], RefundState(row["state"]), row["detail"]) for row in rows
        ]

    # ---- exchanges and webhooks ----------------------------------------------------------------------------

    def save_exchange(self, placed: str, exchange: Exchange, is_proven: bool, at: float) -> None:
        shown = {
            "placed": placed,
            "url": exchange.url,
            "headers": json.dumps(dict(exchange.headers)),
            "signed_text": exchange.signed_text,
            "body": exchange.body.decode(),
            "status": exchange.status,
            "answer_sign": exchange.answer_sign,
            "answer": exchange.answer.decode("utf-8", "replace"),
            "failure": exchange.failure,
            "is_proven": is_proven,
            "at": at,
        }
        with self._connection as connection:
            previous = connection.execute(
                "SELECT * FROM exchange WHERE placed = ? ORDER BY id DESC LIMIT 1", (placed,)
            ).fetchone()
            if previous is not None and all(
                previous[name] == shown[name] for name in ("body", "answer", "failure")
            ):
                connection.execute(
                    "UPDATE exchange SET times = times + 1, at = ? WHERE id = ?", (at, previous["id"])
                )
                return
            connection.execute(
                "INSERT INTO exchange (placed, url, headers, signed_text, body, status, answer_sign, answer,"
                " failure, is_proven, times, at) VALUES (:placed, :url, :headers, :signed_text, :body, :status,"
                " :answer_sign, :answer, :failure, :is_proven, 1, :at)",
                shown,
            )

    def exchanges(self, placed: str) -> list[StoredExchange]:
        rows = self._connection.execute("SELECT * FROM exchange WHERE placed = ? ORDER BY id", (placed,))
        return [
            StoredExchange(
                id=row["id"],
                url=row["url"],
                headers=json.loads(row["headers"]),
                signed_text=row["signed_text"],
                body=row["body"],
                status=row["status"],
                answer_sign=row["answer_sign"],
                answer=row["answer"],
                failure=row["failure"],
                is_proven=bool(row["is_proven"]),
                times=row["times"],
                at=row["at"],
            )
            for row in rows
        ]

    def save_webhook(self, webhook: Webhook) -> None:
        with self._connection as connection:
            connection.execute(
                "INSERT INTO webhook (reference, is_verified, verdict, sign, signed_text, body, at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    webhook.reference,
                    webhook.is_verified,
                    webhook.verdict,
                    webhook.sign,
                    webhook.signed_text,
                    webhook.body,
                    webhook.at,
                ),
            )
            connection.execute(
                "DELETE FROM webhook WHERE id IN (SELECT id FROM webhook WHERE NOT is_verified"
                " OR reference NOT IN (SELECT reference FROM placed UNION SELECT reference FROM refund)"
                " ORDER BY id DESC LIMIT -1 OFFSET ?)",
                (MAX_UNMATCHED,),
            )

    def webhooks(self, reference: str) -> list[Webhook]:
        """The webhooks about an order or its refunds, oldest first."""
        return self._webhooks(
            "WHERE reference = ?1 OR reference IN (SELECT reference FROM refund WHERE placed = ?1) ORDER BY id",
            reference,
        )

    def latest_webhooks(self, limit: int) -> list[Webhook]:
        return self._webhooks("ORDER BY id DESC LIMIT ?", limit)

    def _webhooks(self, clause: str, value: object) -> list[Webhook]:
        rows = self._connection.execute(f"SELECT * FROM webhook {clause}", (value,))  # noqa: S608 - our own text
        return [
            Webhook(
                reference=row["reference"],
                is_verified=bool(row["is_verified"]),
                verdict=row["verdict"],
                sign=row["sign"],
                signed_text=row["signed_text"],
                body=row["body"],
                at=row["at"],
                id=row["id"],
            )
            for row in rows
        ]
