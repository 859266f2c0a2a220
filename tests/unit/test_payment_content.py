"""What a repeat must agree in: digests that lie in databases stay what they were."""

from dataclasses import replace
from typing import Final

from tael.merchants.credential_cache import AppContext
from tael.payments.opening import PaymentRequest, content_of
from tests.support.values import AMOUNT, ONLINE, a_merchant, an_app

ASK: Final = PaymentRequest(
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


def test_a_payment_without_a_limit_has_the_digest_that_it_had_before_limits_were_known() -> None:
    # sha256sum of the pay type, 100, HKD, an empty code and o-1, with a NUL between them
    assert content_of(ASK) == "912fff11bc46e596c64707c6c4194b56e29f33f68b02062896c8ad34fd41f356"
    assert content_of(replace(ASK, forbid_credit=True)) != content_of(ASK)
