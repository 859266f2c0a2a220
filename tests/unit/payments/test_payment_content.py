"""The content that a repeat must match: digests stored in databases stay valid."""

from typing import Final

from msgspec import structs

from tael.merchants.credential_cache import AppContext
from tael.payments.opening import PaymentRequest, content_of
from tests.support.values import AMOUNT, ONLINE, a_merchant, an_app

REQUEST: Final = PaymentRequest(
    context=AppContext(an_app(), {}, ()),
    merchant=a_merchant(),
    pay_type=ONLINE,
    reference="A",
    amount=AMOUNT,
    auth_code="",
    openid="o-1",
    subject="",
    client_time="",
    device="",
    expires_after_s=None,
)


def test_a_payment_without_a_limit_keeps_its_old_digest() -> None:
    # sha256sum of the pay type, 100, HKD, an empty code and o-1, with a NUL between them
    assert content_of(REQUEST) == "912fff11bc46e596c64707c6c4194b56e29f33f68b02062896c8ad34fd41f356"
    assert content_of(structs.replace(REQUEST, forbid_credit=True)) != content_of(REQUEST)
