"""Checks of what is stored in a deployment's database. They need a migrated schema and the right to read it."""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

from tael.base.clock import RealClock
from tael.db.due_work import DueWork
from tael.merchants.domain.merchant import PUBLISHED_KEY
from tael.operations.problem import Problem
from tael.operations.store import Store

#: A worker takes a row within seconds after it is due, so one that is still there has no worker, or too few.
MAX_OVERDUE: Final = timedelta(minutes=10)


async def check_encryption_keys(store: Store, _: datetime) -> AsyncIterator[Problem]:
    """Of columns. Documents have their own heads, which `tael keys list` reads."""
    found = {key_id for column in store.ciphertexts for key_id in await column.counts()}
    if missing := sorted(found - set(store.keys.current().key_ids)):
        yield Problem(
            f"what is encrypted with the key {', '.join(missing)} cannot be read",
            "add the missing key to the encryption keys; `tael keys list` shows what is under which key",
        )


async def check_published_key(store: Store, _: datetime) -> AsyncIterator[Problem]:
    """Raises DecryptionFailed if an app's key cannot be read."""
    for app in await store.merchants.apps():
        if app.key.reveal() == PUBLISHED_KEY:
            yield Problem(
                f"app {app.appcode} has the key that QFPay publishes, so anyone can sign for it",
                f"run `tael app rotate-key {app.appcode} --overlap-hours 0`",
            )


async def check_certificates(store: Store, now: datetime) -> AsyncIterator[Problem]:
    for figure in await store.accounts.certificate_figures(now):
        if figure.earliest <= now:
            yield Problem(
                f"a certificate of a {figure.protocol} account expired on {figure.earliest:%Y-%m-%d}",
                "find the account with `tael account list`, and replace its certificate with `tael account set`",
            )


async def check_queues(store: Store, now: datetime) -> AsyncIterator[Problem]:
    """Those of the directory."""
    async for problem in _overdue(store.due_in_directory, now):
        yield problem


async def check_queues_of_cell(store: Store, now: datetime) -> AsyncIterator[Problem]:
    async for problem in _overdue(store.due_work, now):
        yield problem


async def _overdue(due_work: DueWork, now: datetime) -> AsyncIterator[Problem]:
    overdue = await due_work.queues(now - MAX_OVERDUE, RealClock().now())
    if overdue:
        minutes = MAX_OVERDUE // timedelta(minutes=1)
        yield Problem(
            f"rows of these queues have been due for more than {minutes} minutes: {', '.join(sorted(overdue))}",
            "start `tael work`, or more of them, and look for errors in its log",
        )


RowCheck = Callable[[Store, datetime], AsyncIterator[Problem]]

#: Of the directory.
ROW_CHECKS: Final[Mapping[str, RowCheck]] = {
    "encryption-keys": check_encryption_keys,
    "published-key": check_published_key,
    "certificates": check_certificates,
    "queues": check_queues,
}
#: Of each cell.
CELL_ROW_CHECKS: Final[Mapping[str, RowCheck]] = {"queues": check_queues_of_cell}
