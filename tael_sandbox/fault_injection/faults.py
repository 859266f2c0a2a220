"""The list of faults behind `/control/faults`: validation, random draws and counts.

Whether a fault triggers on its nth matching call follows from a hash of its seed and n, so the same calls meet the
same faults in every run. The list and its counts are stored in the books and survive a restart in mid-sequence.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from tael_sandbox.books import Books
from tael_sandbox.wallet import ControlError, Row

#: Instead of the wallet's work: nothing is done.
BEFORE_KINDS: Final = ("refuse_connection", "timeout_before", "http_500", "system_error")
#: After the wallet's work: the response is lost or late.
AFTER_KINDS: Final = ("timeout_after", "slow")
#: Well-formed responses and notices with wrong content.
TAMPERING_KINDS: Final = ("bad_signature", "wrong_amount")
NOTICE_KINDS: Final = ("drop_notice", "delay_notice", "duplicate_notice", "reorder_notices")
ANSWER_KINDS: Final = BEFORE_KINDS + AFTER_KINDS + TAMPERING_KINDS
KINDS: Final = ANSWER_KINDS + NOTICE_KINDS

EVERY: Final = "*"
#: The operation of a notice, which has no service name or path.
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
    operation: str  #: `*` matches every operation
    kind: str
    times: int | None  #: None: no limit
    probability: float
    seed: int
    delay_s: float | None
    hold_s: float | None

    def matches(self, wallet: str, operation: str) -> bool:
        return self.wallet == wallet and self.operation in (EVERY, operation)

    def triggers_on(self, call: int) -> bool:
        """Whether the fault triggers on its `call`-th matching call. Deterministic for the same fault."""
        text = f"{self.seed}/{self.wallet}/{self.operation}/{self.kind}/{call}"
        drawn = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 11
        return drawn / 2**53 < self.probability


@dataclass(slots=True, eq=False)
class ArmedFault:
    """A fault of the list, with how many calls matched it and how many it was applied to."""

    place: int
    fault: Fault
    calls: int = 0
    hits: int = 0

    @property
    def remaining(self) -> int | None:
        return None if self.fault.times is None else self.fault.times - self.hits


class Faults:
    """The list in force. `operations` has the names of each wallet's operations."""

    def __init__(self, books: Books, operations: Mapping[str, frozenset[str]]) -> None:
        self._books = books
        self._operations = operations
        books.script(TABLE)
        rows = books.reader.execute("SELECT * FROM fault ORDER BY place")
        self._armed = [
            ArmedFault(row["place"], Fault(**json.loads(row["fault"])), row["calls"], row["hits"])
            for row in rows
        ]

    @property
    def is_empty(self) -> bool:
        return not self._armed

    def as_rows(self) -> list[Row]:
        return [{**asdict(armed.fault), "hits": armed.hits, "left": armed.remaining} for armed in self._armed]

    def replace(self, value: object) -> None:
        """Replaces the whole list. Raises ControlError and keeps the old list if a fault is invalid."""
        faults = read_faults(value, self._operations)
        with self._books.transaction() as connection:
            connection.execute("DELETE FROM fault")
            connection.executemany(
                "INSERT INTO fault (place, fault) VALUES (?, ?)",
                [(place, json.dumps(asdict(fault))) for place, fault in enumerate(faults)],
            )
        self._armed = [ArmedFault(place, fault) for place, fault in enumerate(faults)]

    def add(self, value: Row) -> None:
        """Appends a fault; the others keep their counts. Raises ControlError."""
        if len(self._armed) >= MAX_FAULTS:
            raise ControlError(f"more than {MAX_FAULTS} faults")
        fault = _read_fault(value, self._operations)
        place = max((armed.place for armed in self._armed), default=-1) + 1
        with self._books.transaction() as connection:
            connection.execute(
                "INSERT INTO fault (place, fault) VALUES (?, ?)", (place, json.dumps(asdict(fault)))
            )
        self._armed.append(ArmedFault(place, fault))

    def triggered(self, wallet: str, operation: str, kinds: tuple[str, ...]) -> list[ArmedFault]:
        """The faults that trigger on this call, in the list's order. Each draws independently of the others."""
        matching = [
            armed
            for armed in self._armed
            if armed.remaining != 0 and armed.fault.kind in kinds and armed.fault.matches(wallet, operation)
        ]
        for armed in matching:
            armed.calls += 1
        self._store_counts(matching)
        return [armed for armed in matching if armed.fault.triggers_on(armed.calls)]

    def record_hit(self, armed: ArmedFault) -> bool:
        """Counts one application of the fault. False if `times` is used up or the list was replaced meanwhile."""
        if armed.remaining == 0 or armed not in self._armed:
            return False
        armed.hits += 1
        self._store_counts([armed])
        return True

    def _store_counts(self, counted: list[ArmedFault]) -> None:
        if counted:
            with self._books.transaction() as connection:
                connection.executemany(
                    "UPDATE fault SET calls = ?, hits = ? WHERE place = ?",
                    [(armed.calls, armed.hits, armed.place) for armed in counted],
                )


def read_faults(value: object, operations: Mapping[str, frozenset[str]]) -> list[Fault]:
    """Reads the list from its JSON. Raises ControlError with the invalid field."""
    if not isinstance(value, list):
        raise ControlError("the body is not a list of faults")
    if len(value) > MAX_FAULTS:
        raise ControlError(f"more than {MAX_FAULTS} faults")
    faults: list[Fault] = []
    for number, row in enumerate(value, 1):
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
        _number(row, "probability", 1, _is_probability),
        _number(row, "seed", 0, _is_seed),
        _seconds(row, "delay_s", kind, DEFAULT_DELAY_S, MAX_HOLD_S if kind == "slow" else MAX_DELAY_S),
        _seconds(row, "hold_s", kind, DEFAULT_HOLD_S, MAX_HOLD_S),
    )


def _one_of(row: Row, field: str, allowed: Mapping[str, object] | tuple[str, ...]) -> str:
    value = row.get(field)
    if not isinstance(value, str) or value not in allowed:
        raise ControlError(f"{field} is one of {', '.join(allowed)}", field)
    return value


def _operation(row: Row, wallet: str, kind: str, known: frozenset[str]) -> str:
    value = row.get("operation")
    if value in (None, "", EVERY):
        return EVERY
    if kind in NOTICE_KINDS and value != NOTICE:
        raise ControlError(f"{kind} has no operation but {NOTICE!r}", "operation")
    if kind not in TAMPERING_KINDS + NOTICE_KINDS and value == NOTICE:
        raise ControlError(f"a notice cannot have {kind}", "operation")
    if not isinstance(value, str) or value not in known | {NOTICE}:
        raise ControlError(f"{wallet} has no operation {value!r}", "operation")
    return value


def _number(row: Row, field: str, default: Any, is_valid: Callable[[int | float], bool]) -> Any:
    value = row.get(field)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not is_valid(value):
        raise ControlError(f"{field} cannot be {str(value)[:40]!r}", field)
    return value


def _is_count(value: int | float) -> bool:
    return isinstance(value, int) and 1 <= value <= MAX_TIMES


def _is_probability(value: int | float) -> bool:
    return 0 <= value <= 1  # also false for NaN


def _is_seed(value: int | float) -> bool:
    return isinstance(value, int) and abs(value) <= MAX_SEED


def _seconds(row: Row, field: str, kind: str, defaults: Mapping[str, float], max_s: float) -> float | None:
    if row.get(field) is not None and kind not in defaults:
        raise ControlError(f"{kind} takes no {field}", field)
    seconds: float | None = _number(row, field, defaults.get(kind), lambda value: 0 < value <= max_s)
    return seconds
