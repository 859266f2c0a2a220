"""The gateway's rows of one payment as a value, changed by the domain's own decisions; a record is one commit.

What the store does in its statements (reserving, and moving sums when a refund is decided) is done here by hand.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from tael.domain import respcd
from tael.domain.errors import TaelError
from tael.domain.incident import IncidentKind, incidents_in, refund_incidents_in, reversal_incidents_in
from tael.domain.ledger import Entry
from tael.domain.outcome import Outcome, RefundOutcome, Reversal
from tael.domain.payment import Payment, State, settle
from tael.domain.refund import Refund, RefundState, refusal_to_refund, settle_refund
from tael.domain.reversal import ReversalOrder, ReversalState, refusal_to_reverse, settle_reversal
from tael.service.closes import refusal_to_close
from tael.service.outcomes import consequences, refund_consequences
from tael.service.reversals import reversal_consequences
from tael.store.payments import Change
from tests.property.pure_wallet import PART

WINDOW: Final = timedelta(days=365)
MERCHANTS, JOBS, CLOSE, REFUND = "R-merchant", "R-job", "C-1", "F-1"


@dataclass(frozen=True, slots=True)
class PureGateway:
    """`entries` and `webhooks` are by cause and kind, as often as they were written."""

    payment: Payment
    refund: Refund | None = None
    reversals: tuple[ReversalOrder, ...] = ()
    entries: tuple[Entry, ...] = ()
    webhooks: tuple[tuple[str, str], ...] = ()
    incidents: frozenset[IncidentKind] = frozenset()

    def told(self, outcome: Outcome, at: datetime, *, is_first: bool = False) -> "PureGateway":
        """The one door."""
        before = self.payment
        after = settle(before, outcome, at=at, is_first=is_first)
        return self._with(consequences(before, after, incidents_in(before, outcome, at=at)))

    # ---- refund --------------------------------------------------------------------------------------------------

    def refund_promised(self, at: datetime, *, reserves: bool = True) -> "PureGateway":
        """With the refund and its reservation, or unchanged where it is refused. `reserves` is for a planted bug."""
        payment = self.payment
        if self.refund is not None or refusal_to_refund(payment, PART.amount_minor, at, WINDOW) is not None:
            return self
        refund = Refund(payment.mchid, REFUND, payment.syssn, "ref-F", PART, "", "", at, at, at)
        reserved_minor = payment.reserved_minor + (PART.amount_minor if reserves else 0)
        promised = replace(payment, reserved_minor=reserved_minor, refund_count=payment.refund_count + 1)
        return replace(self, payment=promised, refund=refund)

    def refund_told(self, outcome: RefundOutcome, at: datetime) -> "PureGateway":
        before = self.refund
        if before is None:
            return self
        after = settle_refund(before, outcome, at=at)
        found = refund_incidents_in(self.payment, before, outcome, at=at)
        change = refund_consequences(self.payment, before, after, found)
        payment = self.payment
        if change.is_decided:
            is_done = after.state is RefundState.DONE
            payment = replace(
                payment,
                reserved_minor=payment.reserved_minor - PART.amount_minor,
                refunded_minor=payment.refunded_minor + (PART.amount_minor if is_done else 0),
                refund_count=payment.refund_count - (0 if is_done else 1),
            )
        written = Change(payment, change.entries, change.webhooks, change.incidents)
        return replace(self._with(written), refund=after)

    # ---- close and reversal --------------------------------------------------------------------------------------

    def close_wished(self) -> "PureGateway":
        """With the wish, or unchanged where a close is refused or was wished for."""
        payment = self.payment
        if refusal_to_close(payment) is not None or payment.state is not State.PENDING or payment.close_syssn:
            return self
        return replace(self, payment=replace(payment, close_syssn=CLOSE))

    def reversal_intended(self, syssn: str, at: datetime) -> "PureGateway":
        """With a reversal of the merchant's, or of our own job, or unchanged where it is refused."""
        payment = self.payment
        is_ours = syssn == JOBS
        if payment.reversal_syssn or (is_ours and payment.state is not State.PENDING):
            return self
        refusal: TaelError | None = refusal_to_reverse(payment)
        if refusal is not None:
            return self
        amount_minor = payment.left_minor if payment.state is State.PAID else 0
        fails_with = respcd.CODE_EXPIRED if is_ours else ""
        reversal = ReversalOrder(
            payment.mchid, syssn, payment.syssn, amount_minor, "", fails_with, at, at, at
        )
        marked = replace(payment, reversal_syssn=syssn, reserved_minor=payment.reserved_minor + amount_minor)
        return replace(self, payment=marked, reversals=(*self.reversals, reversal))

    def reversal_of(self, syssn: str) -> ReversalOrder | None:
        """The reversal under this number, while it is not decided."""
        return next(
            (r for r in self.reversals if r.syssn == syssn and r.state is ReversalState.PENDING), None
        )

    def reversal_told(self, syssn: str, outcome: Reversal, at: datetime) -> "PureGateway":
        before = self.reversal_of(syssn)
        if before is None:
            return self
        found = reversal_incidents_in(self.payment, syssn, outcome, at=at)
        after, payment = settle_reversal(before, self.payment, outcome, at=at)
        written = self._with(reversal_consequences(self.payment, payment, after, found))
        return replace(written, reversals=tuple(after if one is before else one for one in self.reversals))

    def _with(self, change: Change) -> "PureGateway":
        return replace(
            self,
            payment=change.after,
            entries=(*self.entries, *change.entries),
            webhooks=(*self.webhooks, *((w.cause, w.kind.value) for w in change.webhooks)),
            incidents=self.incidents | {incident.kind for incident in change.incidents},
        )
