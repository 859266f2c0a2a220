"""Faults of notices: what the courier sends, for one attempt, in the place of the true notice.

A dropped attempt counts as sent. A held one becomes due again as the same attempt, and is then sent as it is.
"""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from tael_sandbox.books import Books
from tael_sandbox.fault_injection.faults import NOTICE, NOTICE_KINDS, TAMPERING_KINDS, Armed, Faults
from tael_sandbox.tampering import Tampering

#: How long a notice waits for one that overtakes it.
REORDER_LIMIT_S: Final = 5
TABLE: Final = """
CREATE TABLE IF NOT EXISTS held_notice (
    notice_id INTEGER PRIMARY KEY REFERENCES notice (id),
    wallet    TEXT NOT NULL,
    kind      TEXT NOT NULL
);
"""


class FaultyNotices:
    def __init__(self, books: Books, faults: Faults, tamperings: Sequence[Tampering]) -> None:
        books.script(TABLE)
        self._books = books
        self._faults = faults
        self._tamperings = {wallet: tampering for tampering in tamperings for wallet in tampering.wallets}

    def bodies(self, notice: sqlite3.Row, now: datetime) -> tuple[bytes, ...]:
        """What this attempt sends: as a rule the one true body, none, two, or a false one.

        `notice` is the row as it was before the attempt was claimed.
        """
        true: bytes = notice["body"]
        if self._faults.is_empty and not self._is_anything_held():
            return (true,)
        if self._release(notice["id"]):
            return (true,)
        for armed in self._faults.drawn(notice["wallet"], NOTICE, TAMPERING_KINDS + NOTICE_KINDS):
            spoiled = self._spoiled(armed, notice, true, now.timestamp())
            if spoiled is not None:
                return spoiled
        return (true,)

    def let_overtaken_go(self, sent: sqlite3.Row, now: datetime) -> None:
        """After a notice was sent: what was held back for it to overtake is due."""
        if not self._is_anything_held():
            return
        with self._books.transaction() as connection:
            connection.execute(
                "UPDATE notice SET due_at = ? WHERE due_at > ? AND id <> ? AND id IN"
                " (SELECT notice_id FROM held_notice WHERE wallet = ? AND kind = 'reorder_notices')",
                (now.timestamp(), now.timestamp(), sent["id"], sent["wallet"]),
            )

    def _spoiled(
        self, armed: Armed, notice: sqlite3.Row, true: bytes, now: float
    ) -> tuple[bytes, ...] | None:
        """None if the fault cannot be done to this notice."""
        kind, tampering = armed.fault.kind, self._tamperings[notice["wallet"]]
        if kind in TAMPERING_KINDS:
            lie = tampering.missigned_notice if kind == "bad_signature" else tampering.misquoted_notice
            told = lie(notice)
            return (told,) if told is not None and self._faults.hit(armed) else None
        if kind == "reorder_notices" and self._is_overtaken(notice["wallet"]):
            return None  # this is the one that overtakes
        if not self._faults.hit(armed):
            return None
        if kind == "duplicate_notice":
            return (true, true)
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
        if not self._is_anything_held():
            return False
        with self._books.transaction() as connection:
            gone = connection.execute("DELETE FROM held_notice WHERE notice_id = ?", (notice_id,))
            return gone.rowcount == 1

    def _is_anything_held(self) -> bool:
        return self._books.reader.execute("SELECT 1 FROM held_notice LIMIT 1").fetchone() is not None

    def _is_overtaken(self, wallet: str) -> bool:
        found = self._books.reader.execute(
            "SELECT 1 FROM held_notice WHERE wallet = ? AND kind = 'reorder_notices' LIMIT 1", (wallet,)
        )
        return found.fetchone() is not None
