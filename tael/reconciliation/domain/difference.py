"""A difference between a wallet's statement and our records. Pure.

It is one row however often a day is reconciled, and however many files contain it: its id is a digest of what it is
about. One whose cause is gone is resolved by the next run, and opened again if the cause returns. An operator's
resolution stands.
"""

import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final

from tael.channels.statements import LineType, StatementKind

DIFFERENCE_ID_DIGITS: Final = 16
#: Who resolved a difference whose cause is gone.
RECONCILIATION: Final = "reconciliation"


class DifferenceKind(StrEnum):
    MISSING_HERE = "missing_here"  #: we have no movement with the number of the line
    MISSING_THERE = "missing_there"  #: no current statement has our movement
    AMOUNT = "amount"
    FEE = "fee"  #: the wallet's
    STATE = "state"  #: only one side has moved the money
    DUPLICATE = "duplicate"  #: a line twice, or a second trade of one order
    WRONG_DAY = "wrong_day"  #: the line is of a day on which the money did not move


class DifferenceState(StrEnum):
    OPEN = "OPEN"
    RESOLVED = "RESOLVED"


@dataclass(frozen=True, slots=True)
class LineEvidence:
    """The wallet's line as it was compared. Amounts are minor units, instants UTC."""

    statement_id: str
    line: int
    type: str
    syssn: str
    payment_syssn: str
    wallet_ref: str
    wallet_refund_ref: str
    at: datetime
    amount_minor: int
    currency: str
    fee_micros: int
    settlement_minor: int | None
    settlement_currency: str | None
    state: str


@dataclass(frozen=True, slots=True)
class RecordEvidence:
    """Our row as it was compared. Amounts are minor units, instants UTC."""

    table: str
    syssn: str
    wallet_ref: str
    amount_minor: int
    currency: str
    state: str
    from_at: datetime | None  #: the time in which the wallet moved the money
    until_at: datetime | None
    fee_micros: int | None = None  #: what the wallet's fee should be, if it was compared


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference. Instants are UTC."""

    mchid: str
    difference_id: str
    account_id: str
    kind: DifferenceKind
    type: LineType  #: of the movement
    number: str  #: ours: of the order, or of the refund
    wallet_ref: str  #: the wallet's number of the trade; "" if it is not known
    statement_id: str  #: in which it is
    statement_kind: StatementKind
    day: date  #: of that statement, UTC+8
    reconciliation_id: str  #: the run that found it last
    detail: str  #: one sentence
    theirs: LineEvidence | None
    ours: RecordEvidence | None
    found_at: datetime
    queried_at: datetime | None = None  #: when the wallet was last queried about it
    owner: str = ""  #: who works on it
    state: DifferenceState = DifferenceState.OPEN
    resolved_at: datetime | None = None
    resolved_by: str = ""  #: an operator, or `RECONCILIATION`
    resolution: str = ""


def difference_id_of(
    mchid: str, account_id: str, kind: DifferenceKind, type_: LineType, number: str, wallet_ref: str
) -> str:
    content = "\0".join((mchid, account_id, kind, type_, number, wallet_ref))
    return hashlib.sha256(content.encode()).hexdigest()[:DIFFERENCE_ID_DIGITS]


#: By kind, and by type where it matters.
NEXT_STEPS: Final = {
    (DifferenceKind.MISSING_HERE, LineType.PAYMENT): (
        "Look for the number in `tael unmatched list`: the wallet's record was queried, and money that it confirms is "
        "there. If it is not, ask the wallet which order this is."
    ),
    (DifferenceKind.MISSING_HERE, None): (
        "Ask who has access to the wallet's pages whether it was made there; otherwise ask the wallet."
    ),
    (DifferenceKind.MISSING_THERE, None): (
        "Compare with the wallet's pages. If the money is there, ask the wallet for a corrected statement and import "
        "it with --replace."
    ),
    (DifferenceKind.AMOUNT, None): (
        "Compare both amounts with the wallet's pages, and ask the wallet to correct the one that is wrong."
    ),
    (DifferenceKind.FEE, None): (
        "Compare the rate in the contract with --wallet-fee-rate-ppm of the account; claim the rest from the wallet."
    ),
    (DifferenceKind.STATE, None): (
        "The wallet was queried, see queried_at. Look at `tael payment show`; if it still differs, ask the wallet."
    ),
    (DifferenceKind.DUPLICATE, LineType.PAYMENT): (
        "A second trade is money of the payer: look for it in `tael incident list`. The same trade twice is an error "
        "of the wallet: ask for a corrected statement."
    ),
    (DifferenceKind.DUPLICATE, None): "Ask the wallet for a corrected statement.",
    (DifferenceKind.WRONG_DAY, None): (
        "Nothing is lost if the other day does not have the line too. Ask the wallet if it happens often."
    ),
}


def next_step(difference: Difference) -> str:
    """What the operator should do first."""
    of_type = NEXT_STEPS.get((difference.kind, difference.type))
    return of_type or NEXT_STEPS[difference.kind, None]
