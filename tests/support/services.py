"""The services of one process around a gateway that a test has made."""

from tael.base.transport import Transport
from tael.main import Services
from tael.operations.store import Store
from tael.payments.gateway import Gateway
from tael.qfpay.webhook_bodies import WebhookRenderer
from tael.unmatched.advance import UnmatchedContext
from tael.webhooks.delivery import DeliveryContext


def services_of(gateway: Gateway, transport: Transport) -> Services:
    """`gateway.store` must be a whole `Store`; `transport` is the one to merchants."""
    store = gateway.store
    assert isinstance(store, Store)
    renderer = WebhookRenderer(store.payments, store.refunds)
    return Services(
        store=store,
        gateway=gateway,
        unmatched=UnmatchedContext(gateway, store.unmatched_payments),
        deliveries=DeliveryContext(store.webhooks, gateway.credentials, renderer, transport, gateway.clock),
    )
