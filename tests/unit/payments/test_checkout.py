"""Checkout links: whether they take orders, how long orders live, when pages end, and repeated openings."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tael.base.money import Money
from tael.payments.domain.checkout import link_pages_end, order_expires_after_s, takes_orders
from tael.payments.domain.payment import State, advance
from tests.support.values import NOW, a_link, a_payment

LINK = a_link()


def test_a_link_takes_orders_until_its_time_is_over() -> None:
    assert takes_orders(LINK, NOW + timedelta(minutes=59, seconds=59))
    assert not takes_orders(LINK, NOW + timedelta(minutes=60))


def test_a_link_that_the_merchant_ended_takes_no_orders() -> None:
    assert not takes_orders(replace(LINK, ended_at=NOW), NOW)


def test_a_link_takes_twenty_orders() -> None:
    assert takes_orders(replace(LINK, orders=19), NOW)
    assert not takes_orders(replace(LINK, orders=20), NOW)


@pytest.mark.parametrize(
    ("order_end_min", "link_ended_min", "expected_min"),
    [
        (None, None, 60),  # never used
        (None, 5, 5),  # closed by the merchant
        (10, None, 60),
        (90, None, 90),  # paid late
        (10, 20, 20),
        (20, 10, 20),
    ],
)
def test_the_pages_of_a_link_end_24_hours_after_it_and_its_newest_order(
    order_end_min: int | None, link_ended_min: int | None, expected_min: int
) -> None:
    ended_at = None if link_ended_min is None else NOW + timedelta(minutes=link_ended_min)
    order = (
        None
        if order_end_min is None
        else advance(a_payment(), State.PAID, NOW + timedelta(minutes=order_end_min))
    )

    assert link_pages_end(replace(LINK, ended_at=ended_at), order) == NOW + timedelta(
        hours=24, minutes=expected_min
    )


def test_an_undecided_order_keeps_the_pages_of_its_link_until_24_hours_after_its_deadline() -> None:
    order = a_payment(deadline=NOW + timedelta(hours=3))

    assert link_pages_end(LINK, order) == NOW + timedelta(hours=27)


@pytest.mark.parametrize(
    ("order_s", "after_min", "expected_s"),
    [
        (None, 0, 1800),  # the pay type's default
        (600, 0, 600),
        (7200, 0, 3600),  # not beyond the link
        (None, 50, 600),
        (None, 58, 300),  # but long enough to pay
    ],
)
def test_an_order_lives_as_long_as_requested_within_the_links_remaining_time(
    order_s: int | None, after_min: int, expected_s: int
) -> None:
    link = replace(LINK, order_s=order_s)
    assert order_expires_after_s(link, 1800, NOW + timedelta(minutes=after_min)) == expected_s


def test_a_link_without_a_limit_keeps_its_old_digest() -> None:
    # sha256 over its twelve parts with a NUL between them, by another program
    assert LINK.content == "28c798583501bf4cbaf89edcc091c802a00c84f20ac544df257758e2e163c002"


def test_a_later_opening_of_the_same_link_agrees_and_of_another_does_not() -> None:
    later = timedelta(minutes=5)
    again = replace(LINK, link_id="y", created_at=NOW + later, expires_at=LINK.expires_at + later, orders=3)
    assert again.content == LINK.content

    others = [
        replace(LINK, amount=Money(101, "HKD")),
        replace(LINK, amount=Money(100, "CNY")),
        replace(LINK, appcode="A2"),
        replace(LINK, subject="coffee"),
        replace(LINK, openid="o"),
        replace(LINK, device="terminal"),
        replace(LINK, client_time="2026-01-02 11:04:06"),
        replace(LINK, return_url="https://other.example/"),
        replace(LINK, failed_url="https://other.example/"),
        replace(LINK, cancel_url="https://other.example/"),
        replace(LINK, order_s=600),
        replace(LINK, forbid_credit=True),
        replace(LINK, expires_at=NOW + timedelta(minutes=61)),
    ]
    assert len({link.content for link in (LINK, *others)}) == len(others) + 1
