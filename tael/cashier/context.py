"""The dependencies of the payers' pages."""

from dataclasses import dataclass, replace
from datetime import datetime

from tael.oauth.context import OAuthContext
from tael.payments.context import ContextOf, PaymentContext
from tael.payments.page_links import PageLinks


@dataclass(frozen=True, slots=True)
class CashierContext:
    """What all cells share, and with `payments` one of them."""

    payments: PaymentContext
    links: PageLinks
    oauth: OAuthContext
    of_payment: ContextOf  #: by syssn
    of_merchant: ContextOf  #: by mchid

    async def for_payment(self, syssn: str) -> "CashierContext":
        """The same in the cell of a payment. Raises StoreUnavailable."""
        return replace(self, payments=await self.of_payment(syssn))

    async def for_merchant(self, mchid: str) -> "CashierContext":
        """The same in the cell of a merchant. Raises StoreUnavailable."""
        return replace(self, payments=await self.of_merchant(mchid))

    def now(self) -> datetime:
        return self.payments.clock.now()
