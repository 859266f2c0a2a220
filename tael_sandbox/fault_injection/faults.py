"""Faults that the wallets are told to have: the list behind `/control/faults`, its dice and its counts.

A fault's nth matching call is struck or spared by a hash of its seed and n, so that the same calls meet the
same faults on every run. The list and its counts lie in the books and survive a restart, even in mid-sequence.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from tael_sandbox.books import Books
from tael_sandbox.wallet import ControlError, Row

#: Decided before the wallet does anything: it never does.
BEFORE_KINDS: Final = ("refuse_connection", "timeout_before", "http_500", "system_error")
#: The wallet has done what it was asked; what comes back is not, or not at once, its answer.
AFTER_KINDS: Final = ("timeout_after", "slow")
#: Properly made falsehoods, in answers and in notices.
TAMPERING_KINDS: Final = ("bad_signature", "wrong_amount")
NOTICE_KINDS: Final = ("drop_notice", "delay_notice", "duplicate_notice", "reorder_notices")
ANSWER_KINDS: Final = BEFORE_KINDS + AFTER_KINDS + TAMPERING_KINDS
KINDS: Final = ANSWER_KINDS + NOTICE_KINDS

EVERY: Final = "*"
#: What a notice is called where an answer has its service's name or path.
NOTICE: Final = "notice"
MAX_FAULTS: Final = 100
MAX_TIMES: Final = 10**9
MAX_SEED: Final = 2**63 - 1
MAX_DELAY_S: Final = 365 * 86_400
MAX_HOLD_S: Final = 600
DEFAULT_DELAY_S: Final[Mapping[str, float]] = {"slow": 3, "delay_notice": 60}
DEFAULT_HOLD_S: Final[Mapping[str, float]] = {"timeout_before": 60, "timeout_after": 60}
FIELDS: Final = frozenset(
    ("wallet", "operation", "kind", "times", "probability", "seed", "delay_s", "hold_s")
)

TABLE: Final = """
CREATE TABLE IF NOT EXISTS fault (
    place INTEGER PRIMARY KEY,
    fault TEXT NOT NULL,
    calls INTEGER NOT NULL DEFAULT 0,
    hits  INTEGER NOT NULL DEFAULT 0
);
"""


@dataclass(frozen=True, slots=True)
class Fault:
    wallet: str
    operation: str  #: `*` is every one
    kind: str
    times: int | None  #: None is without end
    probability: float
    seed: int
    delay_s: float | None
    hold_s: float | None

    def is_about(self, wallet: str, operation: str) -> bool:
        return self.wallet == wallet and self.operation in (EVERY, operation)

    def strikes(self, call: int) -> bool:
        """Whether the fault's `call`-th matching call is struck: always the same for the same fault."""
        text = f"{self.seed}/{self.wallet}/{self.operation}/{self.kind}/{call}"
        drawn = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 11
        return drawn / 2**53 < self.probability


@dataclass(slots=True, eq=False)
class Armed:
    """A fault in force: how many calls matched it so far, and how many of them it spoiled."""

    place: int
    fault: Fault
    calls: int = 0
    hits: int = 0

    @property
    def left(self) -> int | None:
        return None if self.fault.times is None else self.fault.times - self.hits


class Faults:
    """The list in force. `operations` are each wallet's names of what can be asked of it."""

    def __init__(self, books: Books, operations: Mapping[str, frozenset[str]]) -> None:
        self._books = books
        self._operations = operations
        books.script(TABLE)
        rows = books.reader.execute("SELECT * FROM fault ORDER BY place")
        self._armed = [
            Armed(row["place"], Fault(**json.loads(row["fault"])), row["calls"], row["hits"]) for row in rows
        ]

    @property
    def is_empty(self) -> bool:
        return not self._armed

    def shown(self) -> list[Row]:
        return [{**asdict(armed.fault), "hits": armed.hits, "left": armed.left} for armed in self._armed]

    def replace(self, asked: object) -> None:
        """Puts this list in the place of the old one. Raises ControlError, and then the old one stays."""
        faults = read_faults(asked, self._operations)
        with self._books.transaction() as connection:
            connection.execute("DELETE FROM fault")
            connection.executemany(
                "INSERT INTO fault (place, fault) VALUES (?, ?)",
                [(place, json.dumps(asdict(fault))) for place, fault in enumerate(faults)],
            )
        self._armed = [Armed(place, fault) for place, fault in enumerate(faults)]

    def add(self, asked: Row) -> None:
        """Puts one more at the end; the others keep their counts. Raises ControlError."""
        if len(self._armed) >= MAX_FAULTS:
            raise ControlError(f"more than {MAX_FAULTS} faults")
        fault = _read_fault(asked, self._operations)
        place = max((armed.place for armed in self._armed), default=-1) + 1
        with self._books.transaction() as connection:
            connection.execute(
                "INSERT INTO fault (place, fault) VALUES (?, ?)", (place, json.dumps(asdict(fault)))
            )
        self._armed.append(Armed(place, fault))

    def drawn(self, wallet: str, operation: str, kinds: tuple[str, ...]) -> list[Armed]:
        """The faults that this call meets, in the list's order. Each throws dice of its own, whatever the others do."""
        about = [
            armed
            for armed in self._armed
            if armed.left != 0 and armed.fault.kind in kinds and armed.fault.is_about(wallet, operation)
        ]
        for armed in about:
            armed.calls += 1
        self._keep(about)
        return [armed for armed in about if armed.fault.strikes(armed.calls)]

    def hit(self, armed: Armed) -> bool:
        """Counts the fault as done; False if its times were used up, or the list replaced, meanwhile."""
        if armed.left == 0 or armed not in self._armed:
            return False
        armed.hits += 1
        self._keep([armed])
        return True

    def _keep(self, counted: list[Armed]) -> None:
        if counted:
            with self._books.transaction() as connection:
                connection.executemany(
                    "UPDATE fault SET calls = ?, hits = ? WHERE place = ?",
                    [(armed.calls, armed.hits, armed.place) for armed in counted],
                )


def read_faults(asked: object, operations: Mapping[str, frozenset[str]]) -> list[Fault]:
    """The list out of its JSON. Raises ControlError with the field at fault."""
    if not isinstance(asked, list):
        raise ControlError("the body is not a list of faults")
    if len(asked) > MAX_FAULTS:
        raise ControlError(f"more than {MAX_FAULTS} faults")
    faults: list[Fault] = []
    for number, row in enumerate(asked, 1):
        try:
            faults.append(_read_fault(row, operations))
        except ControlError as refused:
            raise ControlError(f"fault {number}: {refused.message}", refused.field) from None
    return faults


def _read_fault(row: object, operations: Mapping[str, frozenset[str]]) -> Fault:
    if not isinstance(row, dict):
        raise ControlError("not an object")
    for field in row:
        if field not in FIELDS:
            raise ControlError("no such field", field)
    wallet, kind = _one_of(row, "wallet", operations), _one_of(row, "kind", KINDS)
    return Fault(
        wallet,
        _operation(row, wallet, kind, operations[wallet]),
        kind,
        _number(row, "times", None, _is_count),
        _number(row, "probability", 1, _is_share),
        _number(row, "seed", 0, _is_seed),
        _seconds(row, "delay_s", kind, DEFAULT_DELAY_S, MAX_HOLD_S if kind == "slow" else MAX_DELAY_S),
        _seconds(row, "hold_s", kind, DEFAULT_HOLD_S, MAX_HOLD_S),
    )


def _one_of(row: Row, field: str, words: Mapping[str, object] | tuple[str, ...]) -> str:
    value = row.get(field)
    if not isinstance(value, str) or value not in words:
        raise ControlError(f"{field} is one of {', '.join(words)}", field)
    return value


def _operation(row: Row, wallet: str, kind: str, known: frozenset[str]) -> str:
    value = row.get("operation")
    if value in (None, "", EVERY):
        return EVERY
    if kind in NOTICE_KINDS and value != NOTICE:
        raise ControlError(f"{kind} is about no operation but {NOTICE!r}", "operation")
    if kind not in TAMPERING_KINDS + NOTICE_KINDS and value == NOTICE:
        raise ControlError(f"a notice cannot have {kind}", "operation")
    if not isinstance(value, str) or value not in known | {NOTICE}:
        raise ControlError(f"{wallet} has no operation {value!r}", "operation")
    return value


def _number(row: Row, field: str, absent: Any, is_right: Callable[[int | float], bool]) -> Any:
    value = row.get(field)
    if value is None:
        return absent
    if isinstance(value, bool) or not isinstance(value, int | float) or not is_right(value):
        raise ControlError(f"{field} cannot be {str(value)[:40]!r}", field)
    return value


def _is_count(value: int | float) -> bool:
    return isinstance(value, int) and 1 <= value <= MAX_TIMES


def _is_share(value: int | float) -> bool:
    return 0 <= value <= 1  # also false for NaN


def _is_seed(value: int | float) -> bool:
    return isinstance(value, int) and abs(value) <= MAX_SEED


def _seconds(
    row: Row, field: str, kind: str, defaults: Mapping[str, float], longest_s: float
) -> float | None:
    if row.get(field) is not None and kind not in defaults:
        raise ControlError(f"{kind} takes no {field}", field)
    seconds: float | None = _number(row, field, defaults.get(kind), lambda value: 0 < value <= longest_s)
    return seconds
