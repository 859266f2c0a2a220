"""Certificates that end soon: an incident each, a log event once a day over all workers, and figures for /metrics."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from structlog.testing import capture_logs

from tael.channels.settings import certificate_of
from tael.channels.wechat_v2.account import WECHAT_V2, WeChatAccount
from tael.incidents.certificates import check_certificates
from tael.incidents.domain.incident import IncidentKind
from tael.jobs.certificates import certificate_job
from tael.jobs.runner import run_once
from tael.merchants.domain.account import Account, AccountCertificate
from tael.merchants.store.accounts import CertificateFigure
from tael.operations.store import Store
from tests.support.alipay import TestClock
from tests.support.store import incidents_of
from tests.support.values import ORIGIN, a_wechat_account
from tests.support.wechat import key_and_certificate

DAY = timedelta(days=1)
SOON = timedelta(days=30)
MOMENT = timedelta(microseconds=1)


async def with_certificate(store: Store, days: int = 40) -> AccountCertificate:
    """Gives the WeChat Pay account a new certificate that is valid for `days`."""
    _, pem = key_and_certificate("1900000109", days=(-1, days))

    def changed(account: Account) -> Account:
        assert isinstance(account, WeChatAccount)
        return replace(account, certificate=pem)

    (account,) = await store.accounts.change(lambda each: each.protocol == "wechat_v2", changed, ORIGIN)
    (certificate,) = WECHAT_V2.certificates_of(account)
    assert certificate.expires_at == certificate_of(pem).not_valid_after_utc
    return certificate


async def run(store: Store, at: datetime) -> list[tuple[str, str]]:
    """What the job logs at `at`: each event with its level."""
    with capture_logs() as logs:
        await run_once(
            certificate_job(store.accounts, incidents_of(store.incidents), TestClock(at)), TestClock(at)
        )
    return [(line["event"], line["log_level"]) for line in logs]


async def open_details(store: Store) -> list[str]:
    found = await store.incidents.newest(None, with_resolved=False, limit=10)
    assert {incident.kind for incident in found} <= {IncidentKind.CERTIFICATE_EXPIRES}
    return [incident.detail for incident in found]


async def test_a_certificate_is_reported_daily_from_30_days_before_it_ends_and_is_one_incident(
    store: Store,
) -> None:
    certificate = await with_certificate(store)
    begins = certificate.expires_at - SOON
    expires = ("certificate.expires", "warning")
    assert await run(store, begins - MOMENT) == []
    assert await open_details(store) == []
    assert await run(store, begins) == [("incident", "error"), expires]
    assert await run(store, begins + DAY - MOMENT) == []
    assert await run(store, begins + DAY) == [expires]
    assert await run(store, begins + 5 * DAY) == [expires]  # once, although four days were missed
    assert await run(store, begins + 6 * DAY - MOMENT) == []
    assert await run(store, certificate.expires_at) == [("certificate.expired", "error")]
    detail = f"certificate {certificate.serial} expires on {certificate.expires_at:%Y-%m-%d}"
    assert await open_details(store) == [detail]


async def test_a_certificate_that_has_expired_before_it_is_first_looked_at_says_so(store: Store) -> None:
    certificate = await with_certificate(store)
    late = certificate.expires_at + DAY
    assert await run(store, late) == [("incident", "error"), ("certificate.expired", "error")]
    (detail,) = await open_details(store)
    assert " expired on " in detail


async def test_a_resolved_incident_stays_resolved_and_a_new_certificate_raises_its_own(store: Store) -> None:
    old = await with_certificate(store)
    await run(store, old.expires_at - SOON)
    (incident,) = await store.incidents.newest(None, with_resolved=False, limit=10)
    assert await store.incidents.resolve(incident.incident_id, "ordered", ORIGIN)
    assert await run(store, old.expires_at - SOON + DAY) == [("certificate.expires", "warning")]
    assert await open_details(store) == []
    new = await with_certificate(store, 400)
    assert await run(store, old.expires_at) == []
    assert ("incident", "error") in await run(store, new.expires_at - SOON)
    assert [new.serial in detail for detail in await open_details(store)] == [True]


async def test_several_workers_report_a_certificate_once_a_day(store: Store, other_store: Store) -> None:
    certificate = await with_certificate(store)
    clock = TestClock(certificate.expires_at - SOON)
    jobs = [
        certificate_job(each.accounts, incidents_of(each.incidents), clock) for each in (store, other_store)
    ]
    with capture_logs() as logs:
        await asyncio.gather(*(run_once(job, clock) for job in jobs * 2))
    assert [line["event"] for line in logs] == ["incident", "certificate.expires"]


async def test_a_worker_whose_lease_has_ended_reports_nothing_again(store: Store, other_store: Store) -> None:
    certificate = await with_certificate(store)
    clock, real_now = TestClock(certificate.expires_at - SOON), datetime.now(UTC)
    claims = [
        await each.accounts.due_certificates.claim(clock.at, real_now + later, real_now + later + DAY / 2, 10)
        for each, later in ((store, timedelta(0)), (other_store, DAY))
    ]
    with capture_logs() as logs:
        for (row,), each in zip(claims, (store, other_store), strict=True):
            await check_certificates(row, each.accounts, incidents_of(each.incidents), clock)
    assert [line["event"] for line in logs] == ["incident", "certificate.expires"]


async def test_an_account_of_a_protocol_that_is_not_installed_waits_for_the_next_day(store: Store) -> None:
    certificate = await with_certificate(store)
    await store.directory.execute("UPDATE wallet_account SET protocol = 'gone' WHERE protocol = 'wechat_v2'")
    assert await run(store, certificate.expires_at - SOON) == []
    await store.directory.execute("UPDATE wallet_account SET protocol = 'wechat_v2' WHERE protocol = 'gone'")
    assert await run(store, certificate.expires_at - SOON + DAY - MOMENT) == []
    assert ("incident", "error") in await run(store, certificate.expires_at - SOON + DAY)


async def test_figures_count_accounts_by_protocol(store: Store) -> None:
    assert await store.accounts.certificate_figures(datetime.now(UTC)) == []  # no account has a readable one
    certificate = await with_certificate(store)
    for at, expiring in ((certificate.expires_at - SOON - MOMENT, 0), (certificate.expires_at - SOON, 1)):
        figure = CertificateFigure("wechat_v2", certificate.expires_at, expiring)
        assert await store.accounts.certificate_figures(at) == [figure]


def test_a_protocol_may_declare_several_certificates_and_an_unreadable_one_is_left_out() -> None:
    names = ("certificate", "sub_appid", "mini_appid")
    protocol = replace(WECHAT_V2, certificates=names)
    (_, late), (_, early) = (key_and_certificate("x", days=(-1, days)) for days in (9, 2))
    values: dict[str, Any] = dict(zip(names, (late, early, "none"), strict=True))
    found = protocol.certificates_of(replace(a_wechat_account(), **values))
    assert [certificate.setting for certificate in found] == ["sub_appid", "certificate"]
