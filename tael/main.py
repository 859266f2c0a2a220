"""Joins services to an application or to jobs.

A function imports what it joins, so that a process loads only its own part: a worker no API.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from tael.base.admission import Admission
from tael.base.serial import cell_of
from tael.db.cells import FIRST, PerCell, only
from tael.incidents.store.incidents import Incidents
from tael.services import CellServices, Services, reconciliation_over

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.routing import BaseRoute

    from tael.api.app import Application
    from tael.api.exchange import Endpoint
    from tael.jobs.app_slots import AppSlotTable
    from tael.jobs.runner import Job
    from tael.payments.context import PaymentContext


def application(
    services: CellServices,
    max_form_bytes: int | None = None,
    max_per_second_of_address: int = 0,
    admission: Admission | None = None,
    *,
    serves_health: bool = True,
) -> "Application":
    """The application of an API process, over one cell or several. `max_per_second_of_address` 0 is no limit."""
    from tael.api import (
        checkout,
        notices,
        oauth,
        openids,
        settlements,
        sign_up,
        trade,
        trade_bill,
        users,
    )
    from tael.api.address_guard import AddressGuard
    from tael.api.app import Application
    from tael.api.cells import in_cells
    from tael.api.exchange import Access
    from tael.api.request_body import MAX_FORM_BYTES
    from tael.cashier import pages as cashier
    from tael.cashier.context import CashierContext
    from tael.merchants.sign_up import SignUpContext
    from tael.oauth.context import OAuthContext

    cells = services if isinstance(services, PerCell) else only(services, services.store.cell)
    first = cells.first
    store, payments, links = first.store, first.payments, first.links
    credentials = payments.wallets.credentials
    permitting = OAuthContext(store.users, store.grants, store.sign_in_attempts, credentials, payments.clock)
    admission = admission or Admission()
    limiters = cells.map(lambda each: each.rate_limiter)
    access = Access(
        credentials,
        payments.clock,
        store.database.limits.call_s,
        max_form_bytes or MAX_FORM_BYTES,
        AddressGuard(max_per_second_of_address, payments.clock),
        limiters,
        permitting,
        admission,
    )
    applying = SignUpContext(store.merchants, store.applications, store.document_files, credentials)
    bills = trade_bill.BillContext(cells.map(lambda each: trade_bill.tables_of(each.store)), payments.clock)

    def calls_in(each: Services) -> "tuple[Endpoint[Any], ...]":
        return (
            *trade.calls(each.payments, each.links, each.store.settlements),
            *settlements.calls(each.store.settlements),
            *users.calls(each.payments),
            checkout.opening(each.payments, each.links.site),
        )

    async def context_of(mchid: str) -> "PaymentContext":
        merchant = await credentials.merchant(mchid)
        return (await cells.of(merchant.cell)).payments if merchant else payments

    async def context_of_payment(syssn: str) -> "PaymentContext":
        return (await cells.of(cell_of(syssn) or FIRST)).payments

    return Application(
        (
            *in_cells(cells.map(calls_in)),
            *trade_bill.calls(bills),
            *sign_up.calls(applying),
            *openids.calls(payments.wallets),
        ),
        access,
        [
            *sign_up.routes(),
            *oauth.routes(permitting, access),
            *notices.routes(payments, context_of),
            *(health_routes(cells, admission) if serves_health else ()),
            *cashier.routes(CashierContext(payments, links, permitting, context_of_payment, context_of)),
        ],
    )


def ops_application(
    services: CellServices, is_stopping: Callable[[], bool], admission: Admission | None = None
) -> "Starlette":
    """The application of a process's operations port. `admission` is that of its merchants' calls, if it serves any."""
    from starlette.applications import Starlette

    app = Starlette(routes=health_routes(services, admission, is_stopping))
    app.router.redirect_slashes = False
    return app


def health_routes(
    services: CellServices,
    admission: Admission | None,
    is_stopping: Callable[[], bool] = lambda: False,
) -> "list[BaseRoute]":
    """/healthz, /readyz and /metrics of this process."""
    from tael.api import health

    cells = services if isinstance(services, PerCell) else only(services, services.store.cell)
    return health.routes(
        cells.map(lambda each: each.store),
        cells.first.rate_limiter.totals,
        admission,
        cells.first.payments.clock,
        is_stopping,
    )


def all_jobs(services: Services, apps: "AppSlotTable | None" = None) -> "list[Job[Any]]":
    """The jobs of a worker process in one cell. `apps` are the slots of webhooks that cells share."""
    from tael.jobs.daily_close import daily_close_job
    from tael.jobs.polling import polling_jobs
    from tael.jobs.reconciliation import reconciliation_jobs
    from tael.jobs.statements import statement_jobs
    from tael.jobs.webhooks import webhook_job
    from tael.statements.schedule import ScheduleContext

    store, clock = services.store, services.payments.clock
    scheduled = ScheduleContext(
        store.statements,
        store.statements_due,
        store.accounts,
        store.incidents,
        services.payments.wallets.channels,
        clock,
    )
    return [
        *polling_jobs(services.unmatched),
        webhook_job(services.deliveries, apps),
        daily_close_job(store.ledger_digests, clock),
        *statement_jobs(scheduled),
        *reconciliation_jobs(reconciliation_over(store, services.payments), store.statements.due),
    ]


def directory_jobs(cells: PerCell[Services]) -> "list[Job[Any]]":
    """The jobs of a worker process in the directory."""
    from tael.jobs.certificates import certificate_job
    from tael.jobs.oauth_removal import oauth_removal_job

    first = cells.first
    store, clock, credentials = first.store, first.payments.clock, first.payments.wallets.credentials

    async def incidents_of(mchid: str) -> Incidents:
        merchant = await credentials.merchant(mchid)
        return (await cells.of(FIRST if merchant is None else merchant.cell)).store.incidents

    return [
        certificate_job(store.accounts, incidents_of, clock),
        oauth_removal_job(store.oauth_removals, clock),
    ]


async def work_until(
    stop: asyncio.Event, services: CellServices, chosen: Collection[int] | None = None
) -> None:
    """Run every job until `stop` is set, in the directory and in the `chosen` cells, or in all.

    Cells that are added meanwhile are found.
    """
    from tael.base.exposition import register
    from tael.jobs.cells import run_in_cells
    from tael.jobs.runner import run_for_ever
    from tael.jobs.webhooks import app_slots_of_process

    register()
    cells = services if isinstance(services, PerCell) else only(services, services.store.cell)
    clock, directory = cells.first.payments.clock, cells.first.store.due_in_directory

    async def work_in(each: Services, number_of_cells: Callable[[], int]) -> None:
        await run_for_ever(all_jobs(each, apps), clock, stop, each.store.due_work.queues, number_of_cells)

    apps = app_slots_of_process()

    async with asyncio.TaskGroup() as group:
        group.create_task(run_for_ever(directory_jobs(cells), clock, stop, directory.queues))
        group.create_task(run_in_cells(cells, work_in, stop, chosen))
