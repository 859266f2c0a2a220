"""The eight activities of one order, each split into its atomic steps: a commit, a wallet's decision, a record.

A step is a function of the scene and of its activity's local state. Between two steps any other activity may run, so
an early response of a wallet may be recorded after a newer one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from tael.base.pay_types import PayType
from tael.base.reasons import Reason
from tael.channels.outcomes import Closed, Outcome, Paid, RefundOutcome, ReversalOutcome, Unknown
from tael.payments.closes import refusal_to_close
from tael.payments.domain.payment import Payment, State
from tael.payments.outcomes import without_verdict
from tests.property.model_books import (
    Books,
    Rules,
    intend_reversal,
    record_outcome,
    record_refund_outcome,
    record_reversal_outcome,
    reserve,
)
from tests.support.values import NOW, a_payment
from tests.support.verdict import FEE_RATE_PPM
from tests.support.wallet_rules import Trade, WalletRules, refund, rules_of

#: Old enough for WeChat to reverse it, and young enough that the initial request may still be in flight.
EARLY: Final = NOW + timedelta(seconds=20)
#: No request is in flight for longer.
MAX_REQUEST_TRANSIT: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Scene:
    """Our books, the wallet's row and the time."""

    books: Books
    trade: Trade
    at: datetime = EARLY

    @property
    def is_late(self) -> bool:
        return self.at >= self.books.payment.expires_at


@dataclass(frozen=True, slots=True)
class LocalState:
    """An activity's state between two steps: its next step, the row it has read, and a wallet's outcome."""

    place: str  #: "" once it is over
    number: str = ""  #: of the reversal or refund
    seen: Payment | None = None
    outcome: Outcome | None = None
    refund_outcome: RefundOutcome | None = None
    reversal_outcome: ReversalOutcome | None = None


OVER: Final = LocalState("")
After = tuple[Scene, LocalState]
Step = Callable[[Scene, LocalState], After | None]  #: None while it is not possible


def later(scene: Scene, at: datetime, wallet: WalletRules) -> Scene:
    """The scene after the expiry."""
    return replace(scene, trade=wallet.expire(scene.trade), at=max(scene.at, at))


@dataclass(frozen=True)
class Activities:
    """The steps of every activity, for one pay type. `refunds`: the amount of each by its number.

    `polls` names the jobs that poll the payment: two, if one has outlived its lease on the row.
    """

    pay_type: PayType
    rules: Rules = field(default_factory=Rules)
    refunds: tuple[tuple[str, int], ...] = (("refund", 30),)
    polls: tuple[str, ...] = ("poll",)
    wallet: WalletRules = field(init=False)
    steps: Mapping[str, Step] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "wallet", rules_of(self.pay_type))
        object.__setattr__(self, "steps", self._by_place())

    def first_scene(self) -> Scene:
        fee = {"fee_rate_ppm": FEE_RATE_PPM}
        payment = a_payment(self.pay_type, syssn="payment", reference="payment", **fee)
        return Scene(Books(payment), Trade())

    def initial_states(self) -> dict[str, LocalState]:
        """Every activity before its first step; there is no notice activity for a wallet without notices."""
        local_states = {name: LocalState(name) for name in ("open", "close", "expire")}
        local_states["payer"] = LocalState("log in" if self.wallet.has_log_in else "pay")
        local_states["reversal"] = LocalState("reversal", "reversal")
        local_states |= {number: LocalState("refund", number) for number, _ in self.refunds}
        local_states |= {name: LocalState("poll") for name in self.polls}
        return local_states | ({"notice": LocalState("notice")} if self.wallet.has_notices else {})

    def _by_place(self) -> Mapping[str, Step]:
        return {
            "open": self._commit,
            "open there": self._open_there,
            "opened": self._record_opened,
            "log in": self._log_in,
            "pay": self._pay,
            "close": self._request_close,
            "close there": self._close_there,
            "reversal": self._intend_reversal,
            "ask": self._ask,
            "record": self._record_query,
            "undo there": self._undo_there,
            "undone": self._record_undone,
            "expire": self._expire,
            "notice": self._send_notice,
            "notified": self._receive_notice,
            "refund": self._reserve,
            "refund there": self._refund_there,
            "refunded": self._record_refunded,
            "poll": self._claim,
            "query": self._query,
            "close expired": self._close_there,
            "abandon": self._abandon,
            "answered": self._record_response,
        }

    # ---- open, payer, time ---------------------------------------------------------------------------------------

    def _commit(self, scene: Scene, local: LocalState) -> After:
        committed = replace(scene.books, is_committed=True)
        return replace(scene, books=committed), replace(local, place="open there")

    def _open_there(self, scene: Scene, local: LocalState) -> After:
        trade, outcome = self.wallet.open(scene.trade, scene.at)
        return replace(scene, trade=trade), replace(local, place="opened", outcome=outcome)

    def _record_opened(self, scene: Scene, local: LocalState) -> After:
        assert local.outcome is not None
        return self._with_outcome(scene, local.outcome, is_first=True), OVER

    def _log_in(self, scene: Scene, local: LocalState) -> After | None:
        if not scene.books.is_committed:
            return None  # the payer has nothing to pay with yet
        trade = self.wallet.log_in(scene.trade, scene.is_late)
        return replace(scene, trade=trade), replace(local, place="pay")

    def _pay(self, scene: Scene, local: LocalState) -> After | None:
        if not scene.books.is_committed:
            return None
        return replace(scene, trade=self.wallet.pay(scene.trade, scene.at, scene.is_late)), OVER

    def _expire(self, scene: Scene, local: LocalState) -> After:
        """The expiry is later than any request in flight; `explore` ensures that."""
        return later(scene, scene.books.payment.expires_at + timedelta(seconds=1), self.wallet), OVER

    # ---- close ---------------------------------------------------------------------------------------------------

    def _request_close(self, scene: Scene, local: LocalState) -> After:
        payment = scene.books.payment
        is_refused = not scene.books.is_committed or refusal_to_close(payment) is not None
        if is_refused or payment.state is State.CLOSED:
            return scene, OVER
        requested = replace(scene.books, payment=payment.replace(close_syssn="close"))
        return replace(scene, books=requested), replace(local, place="close there")

    def _close_there(self, scene: Scene, local: LocalState) -> After:
        trade, outcome = self.wallet.close(scene.trade)
        missing = isinstance(outcome, Unknown) and outcome.no_such_order
        if missing and local.place == "close expired":
            has_arrived = scene.at > scene.books.payment.expires_at + MAX_REQUEST_TRANSIT
            outcome = Closed() if has_arrived else outcome
        return replace(scene, trade=trade), replace(local, place="answered", outcome=outcome)

    # ---- reversal ------------------------------------------------------------------------------------------------

    def _intend_reversal(self, scene: Scene, local: LocalState) -> After:
        books = (
            intend_reversal(scene.books, local.number, None, scene.at) if scene.books.is_committed else None
        )
        return (scene, OVER) if books is None else (replace(scene, books=books), replace(local, place="ask"))

    def _ask(self, scene: Scene, local: LocalState) -> After:
        seen = scene.books.payment
        if seen.state is not State.PENDING or scene.books.reversal(local.number).fails_with:
            return scene, replace(local, place="undo there", seen=seen)
        return scene, replace(local, place="record", seen=seen, outcome=self.wallet.query(scene.trade))

    def _record_query(self, scene: Scene, local: LocalState) -> After:
        if not isinstance(local.outcome, Paid):
            return scene, replace(local, place="undo there")
        scene = self._with_outcome(scene, local.outcome)
        return scene, replace(local, place="undo there", seen=scene.books.payment)

    def _undo_there(self, scene: Scene, local: LocalState) -> After:
        assert local.seen is not None
        trade, outcome = self.wallet.reverse(scene.trade, local.seen.wallet_ref)
        final = self.rules.final_outcome(outcome, local.seen, local.outcome, requested_at=scene.at)
        return replace(scene, trade=trade), LocalState("undone", local.number, reversal_outcome=final)

    def _record_undone(self, scene: Scene, local: LocalState) -> After:
        assert local.reversal_outcome is not None
        return replace(
            scene, books=record_reversal_outcome(scene.books, local.number, local.reversal_outcome, scene.at)
        ), OVER

    # ---- notice --------------------------------------------------------------------------------------------------

    def _send_notice(self, scene: Scene, local: LocalState) -> After | None:
        """A wallet notifies us of a payment, perhaps twice, and perhaps after every other event."""
        outcome = self.wallet.query(scene.trade)
        if not isinstance(outcome, Paid):
            return None
        return scene, replace(local, place="notified", outcome=outcome)

    def _receive_notice(self, scene: Scene, local: LocalState) -> After:
        assert local.outcome is not None
        return self._with_outcome(scene, local.outcome), replace(local, place="answered")

    # ---- refund --------------------------------------------------------------------------------------------------

    def _reserve(self, scene: Scene, local: LocalState) -> After:
        amount_minor = dict(self.refunds)[local.number]
        books = reserve(scene.books, local.number, amount_minor, self.rules, scene.at)
        if books is None:
            return scene, OVER
        return replace(scene, books=books), replace(local, place="refund there")

    def _refund_there(self, scene: Scene, local: LocalState) -> After:
        amount_minor = scene.books.refund(local.number).amount.amount_minor
        trade, outcome = refund(self.wallet, scene.trade, local.number, amount_minor)
        return replace(scene, trade=trade), replace(local, place="refunded", refund_outcome=outcome)

    def _record_refunded(self, scene: Scene, local: LocalState) -> After:
        assert local.refund_outcome is not None
        books = record_refund_outcome(
            scene.books, local.number, local.refund_outcome, scene.at, is_first=True
        )
        return replace(scene, books=books), OVER

    # ---- poll ----------------------------------------------------------------------------------------------------

    def _claim(self, scene: Scene, local: LocalState) -> After | None:
        """Only a payment that may still change is due, and not while a reversal is in progress."""
        payment = scene.books.payment
        if not scene.books.is_committed:
            return None
        is_watched = payment.state in (State.CLOSED, State.EXPIRED) and payment.pay_type.is_online
        is_due = payment.state is State.PENDING and not payment.reversal_syssn
        return (scene, replace(local, place="query", seen=payment)) if is_due or is_watched else (scene, OVER)

    def _query(self, scene: Scene, local: LocalState) -> After:
        seen, outcome = local.seen, self.wallet.query(scene.trade)
        assert seen is not None
        place = "answered"
        if seen.state is State.PENDING and not isinstance(outcome, Paid | Closed):
            failed_halfway = isinstance(outcome, Unknown) and outcome.needs_reversal
            if seen.pay_type.is_online:
                place = "close expired" if seen.close_syssn or scene.is_late else place
            else:
                place = "abandon" if failed_halfway or scene.is_late else place
        return scene, LocalState(place, outcome=outcome)

    def _abandon(self, scene: Scene, local: LocalState) -> After:
        """An abandoned barcode payment: a reversal of our own, without a query first."""
        number = f"undoing {len(scene.books.reversals)}"
        reason = Reason.PAYER_CODE_EXPIRED if scene.is_late else Reason.SWIPE_FAILED
        books = intend_reversal(scene.books, number, reason, scene.at)
        if books is None:
            return scene, OVER
        return replace(scene, books=books), LocalState("undo there", number, seen=books.payment)

    def _record_response(self, scene: Scene, local: LocalState) -> After:
        """The response to a later request: its refusal decides nothing about the payment."""
        assert local.outcome is not None
        return self._with_outcome(scene, without_verdict(local.outcome)), OVER

    def _with_outcome(self, scene: Scene, outcome: Outcome, *, is_first: bool = False) -> Scene:
        return replace(
            scene, books=record_outcome(scene.books, outcome, self.rules, scene.at, is_first=is_first)
        )
