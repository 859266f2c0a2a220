"""What webhooks report of a payment. It is read for each of them, and is a part of the row only. Pure."""

from dataclasses import dataclass
from datetime import datetime

from tael.base.money import Money
from tael.base.pay_types import PayType


@dataclass(frozen=True, slots=True)
class NotifiedPayment:
    """A payment as webhooks report it; the fields are those of `Payment`."""

    mchid: str
    syssn: str
    pay_type: PayType
    reference: str
    amount: Money
    subject: str
    is_subject_ours: bool
    client_time: str
    device: str
    wallet_ref: str
    payer_ref: str
    created_at: datetime
    changed_at: datetime
    paid_at: datetime | None

    @property
    def goods_name(self) -> str:
        """The name given by the merchant, or ""."""
        return "" if self.is_subject_ours else self.subject
