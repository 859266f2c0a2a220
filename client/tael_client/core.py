"""The operations of both clients, as scripts. `Client` and `AsyncClient` only run their steps."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from tael_client import calls
from tael_client.answers import Close, Payment, QueryPage, Refund, Reversal, RowKind, Settlement
from tael_client.codes import NOT_FOUND
from tael_client.errors import Refused, Verdict
from tael_client.exchange import Call, Rules, exchange
from tael_client.money import Money
from tael_client.orders import Filters, PaymentOrder
from tael_client.steps import Script


@dataclass(frozen=True, slots=True)
class Core:
    """`now` returns the time for `txdtm`, aware. With `date_queries` queries have it too."""

    rules: Rules
    now: Callable[[], datetime]
    date_queries: bool = False

    @property
    def mchid(self) -> str:
        return self.rules.credentials.mchid

    def payment_call(self, order: PaymentOrder) -> Call[Payment]:
        return calls.payment(order, self.mchid, self.now())

    def close_call(self, syssn: str, reference: str, amount: Money | None) -> Call[Close]:
        return calls.close(syssn, reference, self.mchid, self.now(), amount)

    def reversal_call(self, syssn: str, reference: str, amount: Money) -> Call[Reversal]:
        return calls.reversal(syssn, reference, amount, self.mchid, self.now())

    def payment(self, order: PaymentOrder) -> Script[Payment]:
        return exchange(self.payment_call(order), self.rules)

    def close(self, syssn: str, reference: str, amount: Money | None) -> Script[Close]:
        return exchange(self.close_call(syssn, reference, amount), self.rules)

    def refund(self, payment_syssn: str, reference: str, amount: Money) -> Script[Refund]:
        return exchange(calls.refund(payment_syssn, reference, amount, self.mchid, self.now()), self.rules)

    def reversal(self, syssn: str, reference: str, amount: Money | None) -> Script[Reversal]:
        if amount is None:
            amount = yield from self._payment_amount(syssn, reference)
        return (yield from exchange(self.reversal_call(syssn, reference, amount), self.rules))

    def _payment_amount(self, syssn: str, reference: str) -> Script[Money]:
        """The amount of the newest payment with these numbers. Raises Refused (1136) if there is none."""
        page = yield from self.query(calls.payment_filters(syssn, reference), 1, calls.MAX_ROWS)
        for row in page.rows:
            has_numbers = syssn in ("", row.syssn) and reference in ("", row.reference)
            if row.kind is RowKind.PAYMENT and has_numbers:
                return row.amount
        raise Refused(
            Verdict(NOT_FOUND, respmsg="a query found no such payment", reference=reference, orig_syssn=syssn)
        )

    def settlements(
        self, first: date, last: date, wallet: calls.WalletName | None
    ) -> Script[tuple[Settlement, ...]]:
        at = self.now() if self.date_queries else None
        return exchange(calls.settlements(first, last, wallet, self.mchid, at), self.rules)

    def trade_bill(self, day: date, of_mchid: str) -> Script[bytes]:
        at = self.now() if self.date_queries else None
        return exchange(calls.trade_bill(day, of_mchid, at), self.rules)

    def query(self, filters: Filters, page: int, page_size: int) -> Script[QueryPage]:
        at = self.now() if self.date_queries else None
        return exchange(calls.query(filters, page, page_size, self.mchid, at), self.rules)
