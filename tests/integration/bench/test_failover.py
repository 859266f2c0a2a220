"""`make failover` notices a lost payment, and for how long none was accepted."""

from bench import failover
from tael.operations.store import Store
from tests.support.store import opened, paid
from tests.support.values import MCHID, a_payment


def test_the_longest_pause_is_measured_from_the_event_on() -> None:
    load = failover.Load(
        "http://127.0.0.1:9", acknowledged={"1": 5.0, "2": 10.5, "3": 11.0, "4": 19.0, "5": 19.5}
    )
    assert load.longest_pause_s(10.0) == 8.0
    assert load.longest_pause_s(11.5) == 7.5


async def test_a_payment_is_missing_if_it_is_not_paid_or_has_no_entry(
    store: Store, database_url: str
) -> None:
    kept = await paid(store, a_payment())
    pending = await opened(store, a_payment())
    acknowledged = frozenset({kept.reference, pending.reference, "never-seen"})
    assert failover.missing(database_url, MCHID, acknowledged) == {pending.reference, "never-seen"}
