"""The first row of an unmatched payment: written by areas below `unmatched`, in their own commit."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from tael.db.tables import MONEY, Home, Table
from tael.incidents.domain.evidence import Evidence

if TYPE_CHECKING:
    from tael.db.database import Connection

#: The columns of its progress, in `unmatched/store/unmatched.py`, get the defaults of the schema.
EVIDENCE: Final = Table(
    "unmatched_payment",
    Home.CELL,
    Evidence,
    ("mchid", "unmatched_id"),
    codecs={"amount": MONEY},
    internal={"lease_until": "timestamptz"},
)
#: A repeated report changes nothing.
WRITE: Final = (
    f"{EVIDENCE.insert()} ORDER BY w.mchid, w.unmatched_id ON CONFLICT (mchid, unmatched_id) DO NOTHING"
)


async def write_evidence(connection: "Connection", evidence: Sequence[Evidence]) -> None:
    """Write `evidence` in the caller's transaction; existing rows stay unchanged."""
    if evidence:
        await connection.execute(WRITE, *EVIDENCE.arrays(evidence, EVIDENCE.columns))
