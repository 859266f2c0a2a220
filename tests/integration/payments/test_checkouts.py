"""Checkout links in the database: added once; an order replaces the one that the caller had read, and no other."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tael.base import errors
from tael.operations.store import Store
from tael.payments.checkout import choose, find_checkout
from tael.payments.domain.checkout import CheckoutLink
from tael.payments.domain.payment import PayersSite, Payment, State
from tests.integration.payments.test_recording import gateway_over
from tests.support.scene import scene_of
from tests.support.values import MCHID, NOW, ONLINE, a_link, a_payment

LINK = a_link(
    openid="o1", device="terminal", cancel_url="https://shop.example/c", order_s=600, forbid_credit=True
)


@pytest.fixture
async def link(store: Store) -> CheckoutLink:
    await store.checkouts.add(LINK)
    return LINK


def an_order(reference: str = "L") -> Payment:
    return a_payment(reference=reference)


async def current(store: Store) -> CheckoutLink:
    found = await store.checkouts.by_reference(MCHID, "L")
    assert found is not None
    return found


async def test_a_link_is_read_back_unchanged_and_the_first_under_a_number_stays(
    store: Store, link: CheckoutLink
) -> None:
    await store.checkouts.add(replace(link, link_id="m" * 24, subject="other"))

    assert await current(store) == link
    assert await store.checkouts.by_id(MCHID, link.link_id) == link
    assert await store.checkouts.by_id(MCHID, "m" * 24) is None
    assert await store.checkouts.by_id("other", link.link_id) is None


async def test_an_order_replaces_the_one_that_the_caller_had_read(store: Store, link: CheckoutLink) -> None:
    first, second, third = an_order(), an_order(), an_order()
    assert await store.checkouts.open_order(link, first)
    assert not await store.checkouts.open_order(link, second)  # decided on a link without an order
    known = await current(store)
    assert (known.payment_syssn, known.orders) == (first.syssn, 1)

    assert await store.checkouts.open_order(known, third)
    named = await store.payments.by_reference(MCHID, "L")
    assert named is not None
    assert named.syssn == third.syssn
    assert await store.payments.by_syssn(MCHID, second.syssn) is None
    assert (await current(store)).orders == 2


async def test_no_order_is_opened_under_a_link_that_has_ended_meanwhile(
    store: Store, link: CheckoutLink
) -> None:
    await store.checkouts.end(MCHID, "L", NOW)
    await store.checkouts.end(MCHID, "L", NOW + timedelta(hours=1))

    assert not await store.checkouts.open_order(link, an_order())
    assert await store.payments.by_reference(MCHID, "L") is None
    assert (await current(store)).ended_at == NOW


async def test_the_merchants_own_payment_keeps_its_number(store: Store, link: CheckoutLink) -> None:
    first, own = an_order(), an_order()
    assert await store.checkouts.open_order(link, first)
    known = await current(store)
    assert await store.payments.open_again(own, first.syssn)

    assert not await store.checkouts.open_order(known, an_order())
    named = await store.payments.by_reference(MCHID, "L")
    assert named is not None
    assert named.syssn == own.syssn
    assert (await current(store)) == known


async def test_every_request_of_an_order_without_credit_cards_has_the_limit(
    store: Store, link: CheckoutLink
) -> None:
    scene = scene_of(store)
    checkout = await find_checkout(MCHID, link.link_id, scene.gateway)
    assert checkout is not None

    order = await choose(checkout, ONLINE, scene.gateway)
    assert scene.wallet.trades[order.syssn].order.forbid_credit
    written = await store.payments.by_syssn(MCHID, order.syssn)
    assert written is not None
    assert (await scene.gateway.wallets.order(written)).forbid_credit


async def test_an_order_for_one_address_makes_room_for_a_payer_at_another(
    store: Store, link: CheckoutLink
) -> None:
    scene = scene_of(store)
    orders = []
    for ip in ("203.0.113.7", "203.0.113.7", "2001:db8::1"):
        checkout = await find_checkout(MCHID, link.link_id, scene.gateway)
        assert checkout is not None
        orders.append(await choose(checkout, ONLINE, scene.gateway, PayersSite(ip, "{}")))
    first, same, other = orders
    assert same.syssn == first.syssn != other.syssn
    assert (other.payer_ip, other.scene_info) == ("2001:db8::1", "{}")
    closed = await store.payments.by_syssn(MCHID, first.syssn)
    assert closed is not None
    assert closed.state is State.CLOSED


@pytest.mark.parametrize(
    ("state", "refusal"), [("disabled", errors.MerchantDisabled), ("waiting", errors.MerchantNotAudited)]
)
async def test_a_merchant_who_may_not_accept_payments_accepts_none_with_an_open_link(
    store: Store, link: CheckoutLink, state: str, refusal: type[errors.TaelError]
) -> None:
    await store.directory.execute("UPDATE merchant SET state = $1", state)
    gateway = gateway_over(store)
    checkout = await find_checkout(MCHID, link.link_id, gateway)
    assert checkout is not None

    with pytest.raises(refusal):
        await choose(checkout, ONLINE, gateway)
    assert await store.payments.by_reference(MCHID, "L") is None
