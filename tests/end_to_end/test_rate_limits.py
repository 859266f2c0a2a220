"""A merchant's limits of requests, at two API processes: what counts, what is refused, and who is not affected.

The limits here are below 40, so no process has a share of its own, and the counts are exact.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.end_to_end.merchant import Merchant, digest, send
from tests.support.http_calls import Answer

LIMIT: Final = 6
MINUTE_S: Final = 60


@contextmanager
def limited(shop: Merchant, *options: str) -> Iterator[None]:
    """The merchant has these limits, from the beginning of a minute."""
    shop.demo.set_merchant(shop.mchid, *options)
    now = shop.demo.now()
    shop.demo.advance(MINUTE_S - now.second - now.microsecond / 1e6)
    try:
        yield
    finally:
        shop.demo.set_merchant(shop.mchid, "--default-rates")


def mixed_calls(shop: Merchant, how_many: int) -> list[Answer]:
    """Payments and queries in turn, over new connections, so that both processes get some."""
    payment = {"pay_type": "800201", "txamt": "1000"}
    return [
        shop.post("query") if number % 2 else shop.post("payment", **payment) for number in range(how_many)
    ]


def test_all_calls_and_both_processes_share_a_merchants_limit(shop: Merchant, direct: Merchant) -> None:
    with limited(shop, "--max-per-minute", str(LIMIT)):
        wrong = digest(b"another key")
        forged = [
            send(shop.demo.gateway, "POST", "/trade/v1/query", b"mchid=" + shop.mchid.encode(), headers)
            for headers in [shop.headers(wrong)] * LIMIT
        ]
        answers = mixed_calls(shop, 3 * LIMIT)
        others = [direct.call("query") for _ in range(LIMIT + 1)]
        shop.demo.advance(MINUTE_S)
        afterwards = shop.call("query")

    assert {answer.respcd for answer in forged} == {"1108"}
    admitted, refused = answers[:LIMIT], answers[LIMIT:]
    for answer in admitted:
        shop.proven(answer)
    for answer in refused:
        assert answer.status == 429
        assert 1 <= int(answer.headers["retry-after"]) <= MINUTE_S
        assert answer.sign is None
        assert (answer.respcd, answer["respmsg"]) == (
            "1112",
            f"Too Many Requests: at most {LIMIT} in a minute",
        )
    assert {answer.respcd for answer in (*others, afterwards)} == {"0000"}


def test_zero_is_no_limit(shop: Merchant) -> None:
    with limited(shop, "--max-per-second", "0", "--max-per-minute", "0"):
        assert {answer.status for answer in mixed_calls(shop, 5 * LIMIT)} == {200}
