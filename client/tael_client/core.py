"""What both clients can do, as scripts. `Client` and `AsyncClient` add nothing but how a step is taken."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from tael_client import calls
from tael_client.answers import Close, Payment, QueryPage, Refund, Reversal
from tael_client.exchange import Call, Rules, exchange
from tael_client.money import Money
from tael_client.orders import Filters, PaymentOrder
from tael_client.steps import Script


@dataclass(frozen=True, slots=True)
class Core:
    """`now` gives the time for `txdtm`, aware."""

    rules: Rules
    now: Callable[[], datetime]

    @property
    def mchid(self) -> str:
        return self.rules.credentials.mchid

    def payment_call(self, order: PaymentOrder) -> Call[Payment]:
        return calls.payment(order, self.mchid, self.now())

    def close_call(self, syssn: str, reference: str) -> Call[Close]:
        return calls.close(syssn, reference, self.mchid, self.now())

    def reversal_call(self, syssn: str, reference: str, amount: Money | None) -> Call[Reversal]:
        return calls.reversal(syssn, reference, amount, self.mchid, self.now())

    def payment(self, order: PaymentOrder) -> Script[Payment]:
        return exchange(self.payment_call(order), self.rules)

    def close(self, syssn: str, reference: str) -> Script[Close]:
        return exchange(self.close_call(syssn, reference), self.rules)

    def refund(self, payment_syssn: str, reference: str, amount: Money) -> Script[Refund]:
        return exchange(calls.refund(payment_syssn, reference, amount, self.mchid, self.now()), self.rules)

    def reversal(self, syssn: str, reference: str, amount: Money | None) -> Script[Reversal]:
        return exchange(self.reversal_call(syssn, reference, amount), self.rules)

    def query(self, filters: Filters, page: int, page_size: int) -> Script[QueryPage]:
        return exchange(calls.query(filters, page, page_size, self.mchid), self.rules)
