"""The dependencies of the payers' pages."""

from dataclasses import dataclass
from datetime import datetime

from tael.oauth.context import OAuthContext
from tael.payments.context import PaymentContext
from tael.payments.domain.page_urls import Pages


@dataclass(frozen=True, slots=True)
class CashierContext:
    """Created once per process."""

    payments: PaymentContext
    pages: Pages  #: the addresses below the public URL
    oauth: OAuthContext

    def now(self) -> datetime:
        return self.payments.clock.now()
