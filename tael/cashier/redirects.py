"""The merchant's page to which a payer is redirected after a payment, with the payment's unsigned numbers."""

from typing import Final
from urllib.parse import urlencode

from tael.base.pay_types import Presentment
from tael.merchants.domain.merchant import App, Style
from tael.payments.checkout import Checkout
from tael.payments.domain.payment import Payment, State
from tael.qfpay.shown import shown_respcd
from tael.qfpay.webhook_bodies import payment_members

#: Pages of the wallet, from which the payer returns to us.
WALLET_PAGES: Final = (Presentment.WEB_PAGE, Presentment.WAP_PAGE)


def base_url(payment: Payment, state: State, app: App | None, checkout: Checkout | None) -> str:
    """The merchant's address for a payment in `state`; "" if there is none."""
    if state is State.PENDING:
        return ""
    if checkout is not None:
        return checkout.link.return_url if state is State.PAID else checkout.link.failed_url
    if state is not State.PAID or payment.pay_type.presentment not in WALLET_PAGES:
        return ""
    return payment.return_url or (app.return_url if app is not None else "") or ""


def onward_url(payment: Payment, app: App | None, checkout: Checkout | None) -> str:
    """The complete address for `payment` in its current state; "" if there is none."""
    url = base_url(payment, payment.state, app, checkout)
    return with_payment(url, payment) if url else ""


def with_payment(url: str, payment: Payment) -> str:
    """`url`, otherwise unchanged, with the members of an old-style webhook at the end of its query."""
    address, mark, fragment = url.partition("#")
    members = payment_members(payment, Style.OLD) | {"respcd": shown_respcd(payment)}
    separator = "?" if "?" not in address else "" if address.endswith(("?", "&")) else "&"
    return f"{address}{separator}{urlencode(members)}{mark}{fragment}"
