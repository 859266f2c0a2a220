"""Fetches the statements of scheduled accounts: each day's, once the wallet has made it.

A row is a day of an account and kind. Its first attempt adds the row of the next day, so a statement that is missing
does not delay the next one. A row is removed after its statement is stored: after a crash in between, the statement is
found and nothing is fetched.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, assert_never

import structlog

from tael.audit_log.domain.entry import Origin
from tael.base.clock import Clock
from tael.base.moments import UTC8
from tael.channels.base import Channel, StatementSource
from tael.channels.registry import installed_protocols
from tael.channels.statements import DownloadFailed, DownloadRefused, NotReady, StatementRefused
from tael.incidents.domain.incident import Incident, IncidentKind, incident_id_of
from tael.incidents.log import log_incidents
from tael.incidents.store.incidents import Incidents
from tael.merchants.domain.account import Account, UnknownProtocol
from tael.merchants.store.accounts import Accounts
from tael.statements.domain.due import GIVE_UP_AFTER, MISSING_AFTER, StatementDue, next_attempt
from tael.statements.downloads import fetch_statement
from tael.statements.imports import AnotherIsCurrent, Imported
from tael.statements.store.due import StatementsDue
from tael.statements.store.statements import Statements

log = structlog.get_logger()

DAY: Final = timedelta(days=1)
ACTOR: Final = "tael work"


@dataclass(frozen=True, slots=True)
class ScheduleContext:
    """What the job depends on."""

    statements: Statements
    due: StatementsDue
    accounts: Accounts
    incidents: Incidents
    channels: Mapping[str, Channel]  #: by protocol
    clock: Clock


async def schedule_account(
    due: StatementsDue, account: Account, source: StatementSource, origin: Origin
) -> list[StatementDue]:
    """Fetch the account's statements from today's on (UTC+8); what is scheduled then."""
    today = origin.at.astimezone(UTC8).date()
    first = [
        StatementDue(
            mchid=account.mchid,
            account_id=account.account_id,
            kind=kind,
            day=today,
            protocol=account.protocol,
            check_at=source.available_at(today, kind),
            attempts=0,
        )
        for kind in sorted(source.kinds)
    ]
    await due.schedule(first, origin)
    return await due.of_account(account.mchid, account.account_id)


async def fetch_due(row: StatementDue, context: ScheduleContext) -> None:
    """One attempt for a row that is due. Raises StoreUnavailable."""
    try:
        account = await context.accounts.by_id(row.account_id)
    except UnknownProtocol:
        account = None
    source = context.channels[row.protocol].statements
    now = context.clock.now()
    if account is None or source is None or row.kind not in source.kinds:
        await context.due.reschedule(row, now + DAY)
        return
    if row.attempts == 0:
        following = row.day + DAY
        at = source.available_at(following, row.kind)
        await context.due.add_next(row, replace(row, day=following, check_at=at))
    reason = await _attempt(row, account, source, context, now)
    if not reason:
        await context.due.remove(row)
        return
    late = now - source.available_at(row.day, row.kind)
    if late >= MISSING_AFTER:
        await _report(context.incidents, missing(row, reason, at=now))
    if late >= GIVE_UP_AFTER:
        await context.due.remove(row)
    else:
        await context.due.reschedule(row, next_attempt(row, now))


async def _attempt(
    row: StatementDue, account: Account, source: StatementSource, context: ScheduleContext, now: datetime
) -> str:
    """Why the statement is not stored; "" if it is."""
    if await context.statements.current(row.mchid, row.account_id, row.kind, row.day) is not None:
        return ""
    form = installed_protocols().named(account.protocol).statements
    if form is None:
        return "the format is not known"
    try:
        outcome = await fetch_statement(
            context.statements,
            source,
            account,
            form,
            row.kind,
            row.day,
            is_replacing=False,
            origin=Origin(ACTOR, "", ACTOR, now),
        )
    except AnotherIsCurrent:  # imported meanwhile
        return ""
    except StatementRefused as error:
        return str(error)
    match outcome:
        case Imported(statement, is_new):
            if is_new:
                log.info(
                    "statement.fetched",
                    account_id=row.account_id,
                    mchid=row.mchid,
                    kind=row.kind.value,
                    day=row.day.isoformat(),
                    lines=statement.lines,
                )
            return ""
        case NotReady():
            return "the wallet has not made the file"
        case DownloadRefused(reason) | DownloadFailed(reason):
            return reason
        case _:
            assert_never(outcome)


def missing(row: StatementDue, reason: str, *, at: datetime) -> Incident:
    """One for each account, kind and day."""
    kind = IncidentKind.STATEMENT_MISSING
    return Incident(
        mchid=row.mchid,
        subject_id=row.account_id,
        kind=kind,
        incident_id=incident_id_of(row.mchid, row.account_id, kind, f"{row.kind}/{row.day}"),
        account_id=row.account_id,
        detail=f"{row.kind} of {row.day}: {reason}",
        at=at,
    )


async def _report(incidents: Incidents, incident: Incident) -> None:
    known = await incidents.of_subjects(incident.mchid, [incident.subject_id])
    if incident.incident_id not in {each.incident_id for each in known}:
        await incidents.note([incident])
        log_incidents([incident])
