"""The services of one process around a gateway that a test has made."""

from tael.base.transport import Transport
from tael.main import Services
from tael.operations.store import Store
from tael.payments.context import PaymentContext
from tael.payments.domain.page_urls import pages_below
from tael.qfpay.webhook_bodies import WebhookRenderer
from tael.unmatched.advance import UnmatchedContext
from tael.webhooks.delivery import DeliveryContext
from tests.support.store import ENCRYPTION_KEY


def services_of(gateway: PaymentContext, transport: Transport) -> Services:
    """`gateway.store` must be a whole `Store`; `transport` is the one to merchants."""
    store = gateway.store
    assert isinstance(store, Store)
    renderer = WebhookRenderer(store.payments, store.refunds)
    return Services(
        store=store,
        payments=gateway,
        pages=pages_below(gateway.wallets.public_url, ENCRYPTION_KEY),
        unmatched=UnmatchedContext(gateway, store.unmatched_payments),
        deliveries=DeliveryContext(
            store.webhooks, gateway.wallets.credentials, renderer, transport, gateway.clock
        ),
    )
