"""Consecutive unverified responses are one incident of the account; a verified one resets the count."""

from tael.db.database import Database
from tael.incidents.domain.incident import IncidentKind
from tael.operations.store import Store, store_over
from tael.payments.verification import MAX_UNVERIFIED, AnswerChecks
from tests.support.alipay import TestClock
from tests.support.store import CIPHER, NODE, incidents_of
from tests.support.values import NOW, ORIGIN, a_wechat_account, an_alipay_account

ALIPAY, WECHAT = an_alipay_account("alipay-online"), a_wechat_account()


async def causes(store: Store) -> list[str]:
    found = await store.incidents.newest(None, with_resolved=False, limit=10)
    assert {incident.kind for incident in found} <= {IncidentKind.ANSWERS_UNVERIFIED}
    return [incident.subject_id for incident in found]


async def test_three_in_a_row_are_one_incident_across_processes(store: Store) -> None:
    assert MAX_UNVERIFIED == 3
    for checks in (
        AnswerChecks(incidents_of(store.incidents), TestClock(NOW)),
        AnswerChecks(incidents_of(store.incidents), TestClock(NOW)),
    ):
        for answer in range(7):
            assert await causes(store) in ([], [ALIPAY.account_id])
            await checks.note(ALIPAY, None)
            await checks.note(WECHAT, None if answer % 2 else WECHAT)
    assert await causes(store) == [ALIPAY.account_id]


async def test_a_verified_response_resets_the_count(store: Store) -> None:
    checks = AnswerChecks(incidents_of(store.incidents), TestClock(NOW))
    for verifier in (None, None, ALIPAY, None, None):
        await checks.note(ALIPAY, verifier)
    assert await causes(store) == []
    await checks.note(ALIPAY, None)
    assert await causes(store) == [ALIPAY.account_id]


async def test_further_responses_after_the_resolution_raise_it_again(store: Store) -> None:
    checks = AnswerChecks(incidents_of(store.incidents), TestClock(NOW))
    for _ in range(3):
        await checks.note(ALIPAY, None)
    (found,) = await store.incidents.newest(None, with_resolved=False, limit=10)
    assert await store.incidents.resolve(found.incident_id, "corrected", ORIGIN)
    await checks.note(ALIPAY, None)
    await checks.note(ALIPAY, None)
    assert await causes(store) == []
    await checks.note(ALIPAY, None)
    assert await causes(store) == [ALIPAY.account_id]


async def test_an_unreachable_database_delays_no_response(store: Store) -> None:
    async with Database("postgresql://tael:x@127.0.0.1:1/tael") as away:
        checks = AnswerChecks(incidents_of(store_over(away, away, CIPHER, NODE).incidents), TestClock(NOW))
        for _ in range(4):
            await checks.note(ALIPAY, None)
    assert await causes(store) == []
