"""The services of one process around a gateway that a test has made."""

from tael.base.transport import Transport
from tael.merchants.domain.rate_limits import NO_LIMITS, RateLimits
from tael.operations.store import Store
from tael.payments.context import PaymentContext
from tael.payments.page_links import PageLinks
from tael.qfpay.webhook_bodies import WebhookRenderer
from tael.services import Services, rate_limiter_over
from tael.unmatched.advance import UnmatchedContext
from tael.webhooks.delivery import DeliveryContext
from tests.support.rate_limits import PATIENT_S


def services_of(
    gateway: PaymentContext, transport: Transport, rate_limits: RateLimits = NO_LIMITS
) -> Services:
    """`gateway.store` must be a whole `Store`; `transport` is the one to merchants."""
    store = gateway.store
    assert isinstance(store, Store)
    renderer = WebhookRenderer(store.payments, store.refunds)
    return Services(
        store=store,
        payments=gateway,
        links=PageLinks(gateway.wallets.public_url, store.link_keys, gateway.clock, 0),
        unmatched=UnmatchedContext(gateway, store.unmatched_payments),
        deliveries=DeliveryContext(
            store.webhooks, gateway.wallets.credentials, renderer, transport, gateway.clock
        ),
        rate_limiter=rate_limiter_over(store, gateway.clock, rate_limits, PATIENT_S),
    )
