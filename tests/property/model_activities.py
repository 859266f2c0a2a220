"""The eight activities around one order, each cut into its atomic steps: a commit, a wallet's decision, a record.

A step is a function of the scene and of what its activity has in hand. Between two steps of one activity anything else
may happen, so what a wallet said early may be recorded after newer news.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from tael.base import respcd
from tael.base.pay_types import PayType
from tael.channels.outcomes import Closed, Outcome, Paid, RefundOutcome, ReversalOutcome, Unknown
from tael.payments.closes import refusal_to_close
from tael.payments.domain.payment import Payment, State
from tael.payments.outcomes import without_verdict
from tests.property.model_books import (
    Books,
    Rules,
    hear,
    hear_of_refund,
    hear_of_reversal,
    intend_reversal,
    reserve,
)
from tests.support.values import NOW, a_payment
from tests.support.verdict import FEE_RATE_PPM
from tests.support.wallet_rules import Trade, WalletRules, refund, rules_of

#: Old enough for WeChat to reverse it, and young enough that the first question may still be on its way.
EARLY: Final = NOW + timedelta(seconds=20)
#: Nothing that was sent is on its way for longer.
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
class Hand:
    """What an activity holds between two steps: where it goes on, what it has read, and what a wallet said."""

    place: str  #: "" once it is over
    number: str = ""  #: of the reversal or refund
    seen: Payment | None = None
    said: Outcome | None = None
    said_of_refund: RefundOutcome | None = None
    said_of_reversal: ReversalOutcome | None = None


OVER: Final = Hand("")
After = tuple[Scene, Hand]
Step = Callable[[Scene, Hand], After | None]  #: None while it cannot happen yet


def later(scene: Scene, at: datetime, wallet: WalletRules) -> Scene:
    """The scene once it is past the expiry."""
    return replace(scene, trade=wallet.expire(scene.trade), at=max(scene.at, at))


@dataclass(frozen=True)
class Activities:
    """The steps of every activity, for one pay type. `refunds` is what each of them asks for, by its number.

    `settles` names the jobs that ask about the payment: two, where one has outlived its lease on the row.
    """

    pay_type: PayType
    rules: Rules = field(default_factory=Rules)
    refunds: tuple[tuple[str, int], ...] = (("refund", 30),)
    settles: tuple[str, ...] = ("settle",)
    wallet: WalletRules = field(init=False)
    steps: Mapping[str, Step] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "wallet", rules_of(self.pay_type))
        object.__setattr__(self, "steps", self._by_place())

    def first_scene(self) -> Scene:
        fee = {"fee_rate_ppm": FEE_RATE_PPM}
        payment = a_payment(self.pay_type, syssn="payment", reference="payment", **fee)
        return Scene(Books(payment), Trade())

    def first_hands(self) -> dict[str, Hand]:
        """Every activity before its first step; a wallet that sends no notices has no such activity."""
        hands = {name: Hand(name) for name in ("open", "close", "expire")}
        hands["payer"] = Hand("log in" if self.wallet.has_log_in else "pay")
        hands["reversal"] = Hand("reversal", "reversal")
        hands |= {number: Hand("refund", number) for number, _ in self.refunds}
        hands |= {name: Hand("settle") for name in self.settles}
        return hands | ({"notice": Hand("notice")} if self.wallet.has_notices else {})

    def _by_place(self) -> Mapping[str, Step]:
        return {
            "open": self._commit,
            "open there": self._open_there,
            "opened": self._record_opened,
            "log in": self._log_in,
            "pay": self._pay,
            "close": self._wish_to_close,
            "close there": self._close_there,
            "reversal": self._intend_reversal,
            "ask": self._ask,
            "hear": self._hear,
            "undo there": self._undo_there,
            "undone": self._record_undone,
            "expire": self._expire,
            "notice": self._send_notice,
            "told": self._be_told,
            "refund": self._reserve,
            "refund there": self._refund_there,
            "refunded": self._record_refunded,
            "settle": self._claim,
            "query": self._query,
            "close expired": self._close_there,
            "abandon": self._abandon,
            "answered": self._record_answer,
        }

    # ---- open, payer, time ---------------------------------------------------------------------------------------

    def _commit(self, scene: Scene, hand: Hand) -> After:
        committed = replace(scene.books, is_committed=True)
        return replace(scene, books=committed), replace(hand, place="open there")

    def _open_there(self, scene: Scene, hand: Hand) -> After:
        trade, said = self.wallet.open(scene.trade, scene.at)
        return replace(scene, trade=trade), replace(hand, place="opened", said=said)

    def _record_opened(self, scene: Scene, hand: Hand) -> After:
        assert hand.said is not None
        return self._heard(scene, hand.said, is_first=True), OVER

    def _log_in(self, scene: Scene, hand: Hand) -> After | None:
        if not scene.books.is_committed:
            return None  # nobody has shown the payer anything yet
        trade = self.wallet.log_in(scene.trade, scene.is_late)
        return replace(scene, trade=trade), replace(hand, place="pay")

    def _pay(self, scene: Scene, hand: Hand) -> After | None:
        if not scene.books.is_committed:
            return None
        return replace(scene, trade=self.wallet.pay(scene.trade, scene.at, scene.is_late)), OVER

    def _expire(self, scene: Scene, hand: Hand) -> After:
        """The expiry is later than anything that was sent early is on its way; `explore` sees to that."""
        return later(scene, scene.books.payment.expires_at + timedelta(seconds=1), self.wallet), OVER

    # ---- close ---------------------------------------------------------------------------------------------------

    def _wish_to_close(self, scene: Scene, hand: Hand) -> After:
        payment = scene.books.payment
        is_refused = not scene.books.is_committed or refusal_to_close(payment) is not None
        if is_refused or payment.state is State.CLOSED:
            return scene, OVER
        wished = replace(scene.books, payment=replace(payment, close_syssn="close"))
        return replace(scene, books=wished), replace(hand, place="close there")

    def _close_there(self, scene: Scene, hand: Hand) -> After:
        trade, said = self.wallet.close(scene.trade)
        missing = isinstance(said, Unknown) and said.no_such_order
        if missing and hand.place == "close expired":
            has_arrived = scene.at > scene.books.payment.expires_at + MAX_REQUEST_TRANSIT
            said = Closed() if has_arrived else said
        return replace(scene, trade=trade), replace(hand, place="answered", said=said)

    # ---- reversal ------------------------------------------------------------------------------------------------

    def _intend_reversal(self, scene: Scene, hand: Hand) -> After:
        books = intend_reversal(scene.books, hand.number, "", scene.at) if scene.books.is_committed else None
        return (scene, OVER) if books is None else (replace(scene, books=books), replace(hand, place="ask"))

    def _ask(self, scene: Scene, hand: Hand) -> After:
        seen = scene.books.payment
        if seen.state is not State.PENDING or scene.books.reversal(hand.number).fails_with:
            return scene, replace(hand, place="undo there", seen=seen)
        return scene, replace(hand, place="hear", seen=seen, said=self.wallet.query(scene.trade))

    def _hear(self, scene: Scene, hand: Hand) -> After:
        if not isinstance(hand.said, Paid):
            return scene, replace(hand, place="undo there")
        scene = self._heard(scene, hand.said)
        return scene, replace(hand, place="undo there", seen=scene.books.payment)

    def _undo_there(self, scene: Scene, hand: Hand) -> After:
        assert hand.seen is not None
        trade, said = self.wallet.reverse(scene.trade, hand.seen.wallet_ref)
        final = self.rules.final_outcome(said, hand.seen, hand.said, requested_at=scene.at)
        return replace(scene, trade=trade), Hand("undone", hand.number, said_of_reversal=final)

    def _record_undone(self, scene: Scene, hand: Hand) -> After:
        assert hand.said_of_reversal is not None
        return replace(
            scene, books=hear_of_reversal(scene.books, hand.number, hand.said_of_reversal, scene.at)
        ), OVER

    # ---- notice --------------------------------------------------------------------------------------------------

    def _send_notice(self, scene: Scene, hand: Hand) -> After | None:
        """A wallet tells of money that came. It may tell it twice, and later than anybody else."""
        news = self.wallet.query(scene.trade)
        if not isinstance(news, Paid):
            return None
        return scene, replace(hand, place="told", said=news)

    def _be_told(self, scene: Scene, hand: Hand) -> After:
        assert hand.said is not None
        return self._heard(scene, hand.said), replace(hand, place="answered")

    # ---- refund --------------------------------------------------------------------------------------------------

    def _reserve(self, scene: Scene, hand: Hand) -> After:
        amount_minor = dict(self.refunds)[hand.number]
        books = reserve(scene.books, hand.number, amount_minor, self.rules, scene.at)
        if books is None:
            return scene, OVER
        return replace(scene, books=books), replace(hand, place="refund there")

    def _refund_there(self, scene: Scene, hand: Hand) -> After:
        amount_minor = scene.books.refund(hand.number).amount.amount_minor
        trade, said = refund(self.wallet, scene.trade, hand.number, amount_minor)
        return replace(scene, trade=trade), replace(hand, place="refunded", said_of_refund=said)

    def _record_refunded(self, scene: Scene, hand: Hand) -> After:
        assert hand.said_of_refund is not None
        books = hear_of_refund(scene.books, hand.number, hand.said_of_refund, scene.at, is_first=True)
        return replace(scene, books=books), OVER

    # ---- settle --------------------------------------------------------------------------------------------------

    def _claim(self, scene: Scene, hand: Hand) -> After | None:
        """Only what may still change is due, and a reversal that is under way decides by itself."""
        payment = scene.books.payment
        if not scene.books.is_committed:
            return None
        is_watched = payment.state in (State.CLOSED, State.EXPIRED) and payment.pay_type.is_online
        is_due = payment.state is State.PENDING and not payment.reversal_syssn
        return (scene, replace(hand, place="query", seen=payment)) if is_due or is_watched else (scene, OVER)

    def _query(self, scene: Scene, hand: Hand) -> After:
        seen, said = hand.seen, self.wallet.query(scene.trade)
        assert seen is not None
        place = "answered"
        if seen.state is State.PENDING and not isinstance(said, Paid | Closed):
            failed_halfway = isinstance(said, Unknown) and said.needs_reversal
            if seen.pay_type.is_online:
                place = "close expired" if seen.close_syssn or scene.is_late else place
            else:
                place = "abandon" if failed_halfway or scene.is_late else place
        return scene, Hand(place, said=said)

    def _abandon(self, scene: Scene, hand: Hand) -> After:
        """A barcode that nobody waits for any more: a reversal of our own, which asks the wallet nothing first."""
        number = f"undoing {len(scene.books.reversals)}"
        code = respcd.CODE_EXPIRED if scene.is_late else respcd.SWIPE_FAILED
        books = intend_reversal(scene.books, number, code, scene.at)
        if books is None:
            return scene, OVER
        return replace(scene, books=books), Hand("undo there", number, seen=books.payment)

    def _record_answer(self, scene: Scene, hand: Hand) -> After:
        """Of a question that was not the first: that it was refused says nothing of the payment."""
        assert hand.said is not None
        return self._heard(scene, without_verdict(hand.said)), OVER

    def _heard(self, scene: Scene, said: Outcome, *, is_first: bool = False) -> Scene:
        return replace(scene, books=hear(scene.books, said, self.rules, scene.at, is_first=is_first))
