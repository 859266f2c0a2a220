"""The dependencies of the payers' pages."""

from dataclasses import dataclass
from datetime import datetime

from tael.oauth.context import OAuthContext
from tael.payments.context import PaymentContext
from tael.payments.page_links import PageLinks


@dataclass(frozen=True, slots=True)
class CashierContext:
    """Created once per process."""

    payments: PaymentContext
    links: PageLinks
    oauth: OAuthContext

    def now(self) -> datetime:
        return self.payments.clock.now()
