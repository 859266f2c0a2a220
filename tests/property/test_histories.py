"""Any history of a payment, with repeated, late and contradictory events: the sums hold at every moment.

Pure: what the store does in its statements (reserving, and moving sums when a refund is decided) is done here by hand.
"""

from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tael.base.money import Money
from tael.base.pay_types import PAY_TYPES, PayType
from tael.channels.outcomes import (
    Again,
    AwaitingPayer,
    Closed,
    NotSent,
    Outcome,
    Paid,
    Refunded,
    RefundOutcome,
    RefundPending,
    RefundStuck,
    Refusal,
    Refused,
    ReversalAction,
    ReversalOutcome,
    Reversed,
    Unknown,
)
from tael.ledger.domain.entries import Entry, EntryKind
from tael.payments.domain.payment import (
    ALLOWED,
    Payment,
    State,
    apply_outcome,
    reschedule,
)
from tael.payments.domain.refund import (
    Refund,
    RefundRules,
    RefundState,
    apply_refund_outcome,
    refusal_to_refund,
    reschedule_refund,
)
from tael.payments.domain.reversal import (
    Reversal,
    ReversalState,
    apply_reversal_outcome,
    refusal_to_reverse,
    reschedule_reversal,
)
from tael.payments.outcomes import consequences, refund_consequences
from tael.payments.reversals import reversal_consequences
from tael.qfpay.codes import TABLE
from tael.qfpay.shown import shown_cancel, shown_respcd
from tests.support.values import AMOUNT, NOW, a_payment, a_refund, a_reversal, marked_for

WINDOW = timedelta(days=365)
REFUSALS = st.builds(Refused, st.sampled_from(list(Refusal)), st.just("THEIRS"))
MONEYS = st.sampled_from([None, AMOUNT, AMOUNT, Money(1, "HKD"), Money(100, "CNY")])
OUTCOMES: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Paid, MONEYS, st.sampled_from(["", "w1", "w2"]), st.just("payer"), st.just(NOW)),
    st.sampled_from([AwaitingPayer(), Closed(), NotSent(""), Unknown("")]),
    REFUSALS,
)
REFUND_OUTCOMES: st.SearchStrategy[RefundOutcome] = st.one_of(
    st.builds(Refunded, st.sampled_from([None, Money(7, "USD")]), st.just("wr"), st.just(NOW)),
    st.sampled_from([RefundPending("wr"), RefundStuck("CHANGE"), NotSent(""), Unknown("")]),
    REFUSALS,
)
REVERSALS: st.SearchStrategy[ReversalOutcome] = st.one_of(
    st.builds(Reversed, st.sampled_from(list(ReversalAction))),
    st.sampled_from([Again(""), NotSent(""), Unknown("")]),
    REFUSALS,
)


class History(RuleBasedStateMachine):
    """One payment and all its possible events, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.payment: Payment = a_payment()
        self.refunds: list[Refund] = []
        self.reversals: list[Reversal] = []
        self.entries: list[Entry] = []
        self.webhooks = 0

    @initialize(pay_type=st.sampled_from(list(PAY_TYPES.values())))
    def open(self, pay_type: PayType) -> None:
        self.payment = a_payment(pay_type)

    @rule(seconds=st.integers(1, 5_000))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(outcome=OUTCOMES, is_first=st.booleans(), times=st.integers(1, 3))
    def the_wallet_reports_the_payment(self, outcome: Outcome, is_first: bool, times: int) -> None:
        for _ in range(times):
            after = reschedule(apply_outcome(self.payment, outcome, at=self.now, is_first=is_first), self.now)
            change = consequences(self.payment, after)
            self.write(after, change.entries)
            self.webhooks += len(change.webhooks)

    @precondition(lambda self: self.payment.pay_type.is_online and self.payment.state is State.PENDING)
    @rule()
    def the_merchant_closes(self) -> None:
        self.payment = self.payment.replace(close_syssn="close")

    @rule(amount_minor=st.integers(1, 120))
    def the_merchant_refunds(self, amount_minor: int) -> None:
        if refusal_to_refund(self.payment, amount_minor, self.now, RefundRules(WINDOW)) is not None:
            return
        self.refunds.append(a_refund(self.payment, amount=Money(amount_minor, "HKD")))
        self.payment = self.payment.replace(
            reserved_minor=self.payment.reserved_minor + amount_minor,
            refund_count=self.payment.refund_count + 1,
        )

    @precondition(lambda self: self.refunds)
    @rule(which=st.integers(0), outcome=REFUND_OUTCOMES, is_first=st.booleans())
    def the_wallet_reports_a_refund(self, which: int, outcome: RefundOutcome, is_first: bool) -> None:
        place = which % len(self.refunds)
        before = self.refunds[place]
        after = reschedule_refund(
            apply_refund_outcome(before, outcome, at=self.now, is_first=is_first), self.now
        )
        change = refund_consequences(self.payment, before, after)
        self.refunds[place] = after
        if change.is_decided:
            is_done = after.state is RefundState.DONE
            moved = self.payment.replace(
                reserved_minor=self.payment.reserved_minor - after.amount.amount_minor,
                refunded_minor=self.payment.refunded_minor + (after.amount.amount_minor if is_done else 0),
                refund_count=self.payment.refund_count - (0 if is_done else 1),
            )
            self.write(moved, change.entries)

    @precondition(lambda self: not self.payment.reversal_syssn)
    @rule()
    def the_merchant_reverses(self) -> None:
        if refusal_to_reverse(self.payment) is not None:
            return
        self.reversals.append(a_reversal(self.payment))
        self.payment = marked_for(self.payment, self.reversals[-1])

    @precondition(lambda self: self.reversals)
    @rule(which=st.integers(0), outcome=REVERSALS, is_first=st.booleans())
    def the_wallet_reports_a_reversal(self, which: int, outcome: ReversalOutcome, is_first: bool) -> None:
        place = which % len(self.reversals)
        before = self.reversals[place]
        decided, after = apply_reversal_outcome(before, self.payment, outcome, at=self.now, is_first=is_first)
        self.reversals[place] = reschedule_reversal(decided, self.now)
        self.write(after, reversal_consequences(self.payment, after, decided).entries)

    def write(self, after: Payment, entries: tuple[Entry, ...]) -> None:
        assert after.state is self.payment.state or after.state in ALLOWED[self.payment.state]
        assert not (self.payment.is_reversed and not after.is_reversed)
        self.payment = after
        self.entries += entries

    @invariant()
    def refunds_never_exceed_the_payment(self) -> None:
        came = self.payment.amount.amount_minor if self.payment.state is State.PAID else 0
        assert min(self.payment.refunded_minor, self.payment.reserved_minor, self.payment.refund_count) >= 0
        assert self.payment.refunded_minor + self.payment.reserved_minor <= came

    @invariant()
    def the_ledger_is_the_payment_less_its_refunds(self) -> None:
        came = self.payment.amount.amount_minor if self.payment.state is State.PAID else 0
        net = sum(
            entry.amount.amount_minor * (1 if entry.kind is EntryKind.PAYMENT else -1)
            for entry in self.entries
        )
        assert net == came - self.payment.refunded_minor

    @invariant()
    def one_cause_moves_money_once(self) -> None:
        causes = [(entry.cause, entry.kind) for entry in self.entries]
        assert len(set(causes)) == len(causes)
        assert self.webhooks <= 1

    @invariant()
    def the_reserved_amount_is_the_undecided_amount(self) -> None:
        refunds = [r.amount.amount_minor for r in self.refunds if r.state is RefundState.PROCESSING]
        reversals = [r.amount_minor for r in self.reversals if r.state is ReversalState.PENDING]
        assert self.payment.reserved_minor == sum(refunds) + sum(reversals)
        assert len(reversals) <= 1

    @invariant()
    def undecided_rows_are_polled(self) -> None:
        if self.payment.state is State.PENDING:
            assert self.payment.check_at is not None
        assert all((r.check_at is not None) == (r.state is RefundState.PROCESSING) for r in self.refunds)
        assert all((r.check_at is not None) == (r.state is ReversalState.PENDING) for r in self.reversals)

    @invariant()
    def every_state_has_a_query_response(self) -> None:
        assert TABLE[shown_respcd(self.payment)].emitted
        assert shown_cancel(self.payment) in ("0", "1", "2")


TestHistories = History.TestCase
TestHistories.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
