"""Faults of notices: which bodies the courier sends for one attempt.

A dropped attempt counts as sent. A held one becomes due again as the same attempt and is then sent unchanged.
"""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from tael_sandbox.books import Books
from tael_sandbox.fault_injection.faults import NOTICE, NOTICE_KINDS, TAMPERING_KINDS, ArmedFault, Faults
from tael_sandbox.fault_injection.tampering import Tampering

#: How long a notice waits for another one to overtake it.
REORDER_LIMIT_S: Final = 5
TABLE: Final = """
CREATE TABLE IF NOT EXISTS held_notice (
    notice_id INTEGER PRIMARY KEY REFERENCES notice (id),
    wallet    TEXT NOT NULL,
    kind      TEXT NOT NULL
);
"""


class NoticeFaults:
    def __init__(self, books: Books, faults: Faults, tamperings: Sequence[Tampering]) -> None:
        books.script(TABLE)
        self._books = books
        self._faults = faults
        self._tamperings = {wallet: tampering for tampering in tamperings for wallet in tampering.wallets}

    def bodies(self, notice: sqlite3.Row, now: datetime) -> tuple[bytes, ...]:
        """The bodies to send for this attempt: the stored one, none, the same one twice, or a tampered one.

        `notice` is the row as it was before the attempt was claimed.
        """
        body: bytes = notice["body"]
        if self._faults.is_empty and not self._has_held_notices():
            return (body,)
        if self._release(notice["id"]):
            return (body,)
        for armed in self._faults.triggered(notice["wallet"], NOTICE, TAMPERING_KINDS + NOTICE_KINDS):
            bodies = self._faulty_bodies(armed, notice, body, now.timestamp())
            if bodies is not None:
                return bodies
        return (body,)

    def release_overtaken(self, sent: sqlite3.Row, now: datetime) -> None:
        """Makes the notices due that were held until another notice, `sent`, had overtaken them."""
        if not self._has_held_notices():
            return
        with self._books.transaction() as connection:
            connection.execute(
                "UPDATE notice SET due_at = ? WHERE due_at > ? AND id <> ? AND id IN"
                " (SELECT notice_id FROM held_notice WHERE wallet = ? AND kind = 'reorder_notices')",
                (now.timestamp(), now.timestamp(), sent["id"], sent["wallet"]),
            )

    def _faulty_bodies(
        self, armed: ArmedFault, notice: sqlite3.Row, body: bytes, now: float
    ) -> tuple[bytes, ...] | None:
        """None if the fault does not apply to this notice."""
        kind, tampering = armed.fault.kind, self._tamperings[notice["wallet"]]
        if kind in TAMPERING_KINDS:
            tamper = (
                tampering.notice_with_wrong_signature
                if kind == "bad_signature"
                else tampering.notice_with_wrong_amount
            )
            tampered = tamper(notice)
            return (tampered,) if tampered is not None and self._faults.record_hit(armed) else None
        if kind == "reorder_notices" and self._has_reordered_notice(notice["wallet"]):
            return None  # this notice overtakes the held one
        if not self._faults.record_hit(armed):
            return None
        if kind == "duplicate_notice":
            return (body, body)
        if kind != "drop_notice":
            self._hold(notice, kind, now + (armed.fault.delay_s or REORDER_LIMIT_S))
        return ()

    def _hold(self, notice: sqlite3.Row, kind: str, until: float) -> None:
        with self._books.transaction() as connection:
            connection.execute(
                "UPDATE notice SET attempt = ?, due_at = ? WHERE id = ?",
                (notice["attempt"], until, notice["id"]),
            )
            connection.execute(
                "INSERT INTO held_notice (notice_id, wallet, kind) VALUES (?, ?, ?)",
                (notice["id"], notice["wallet"], kind),
            )

    def _release(self, notice_id: int) -> bool:
        if not self._has_held_notices():
            return False
        with self._books.transaction() as connection:
            deleted = connection.execute("DELETE FROM held_notice WHERE notice_id = ?", (notice_id,))
            return deleted.rowcount == 1

    def _has_held_notices(self) -> bool:
        return self._books.reader.execute("SELECT 1 FROM held_notice LIMIT 1").fetchone() is not None

    def _has_reordered_notice(self, wallet: str) -> bool:
        rows = self._books.reader.execute(
            "SELECT 1 FROM held_notice WHERE wallet = ? AND kind = 'reorder_notices' LIMIT 1", (wallet,)
        )
        return rows.fetchone() is not None
