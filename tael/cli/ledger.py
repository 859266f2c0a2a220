"""`tael ledger`: verifies the ledger against the orders, the daily digests and, on request, the simulated wallets."""

from collections import defaultdict
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any, Final

import aiohttp
import msgspec
import typer

from tael.audit.domain.audit import Disagreement
from tael.audit.domain.wallet_book import WalletBook, WalletTrade
from tael.audit.verification import Audit, audit_cell
from tael.base.money import Money
from tael.cli.cell_answers import Answers, in_every_cell
from tael.cli.finding import DataOption, with_stores
from tael.cli.showing import IMPOSSIBLE, UNUSABLE, JsonOption, refused, show_json, show_members, show_rows
from tael.operations.store import Store
from tael.stores import Stores

ledger: Final = typer.Typer(help="Verify the ledger.", no_args_is_help=True)

TIMEOUT: Final = aiohttp.ClientTimeout(total=60)


class _Trade(msgspec.Struct):
    """A row of the sandbox's book."""

    wallet: str
    order: str
    trade: str
    state: str
    amount: int
    currency: str
    refunded: int


class _Book(msgspec.Struct):
    trades: list[_Trade]


@dataclass(frozen=True, slots=True)
class _Verified:
    """The sum over all cells that can be reached."""

    audit: Audit
    cell: int | None  #: of the first mismatch, if there are several cells
    of_cells: Answers[Audit]


class _BookUnreadable(Exception):
    """The sandbox's book could not be read."""


@ledger.callback()
def group() -> None:
    """Verify the ledger."""


@ledger.command("verify")
def verify(
    data: DataOption = None,
    sandbox: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Compare with the simulated wallets of this sandbox, too."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Verify every order against its ledger entries and every ledger digest against its day. Exit 1 on a mismatch."""

    async def work(stores: Stores, now: datetime) -> _Verified:
        # `now` is by the gateway's clock, like the times in its rows, and is taken before the book is read.
        return await _verify(stores, now, await _book_at(sandbox, now) if sandbox else None)

    try:
        verified = with_stores(data, work)
    except _BookUnreadable as error:
        raise refused(f"--sandbox: {error}", UNUSABLE) from error
    audit = verified.audit
    if as_json:
        show_json(_members(verified))
    elif audit.first is None:
        _print(audit, with_wallets=sandbox is not None)
    else:
        refused(_sentence(audit.disagreements, audit.first, verified.cell))
    verified.of_cells.finish()
    if audit.first is not None:
        raise typer.Exit(IMPOSSIBLE)


async def _verify(stores: Stores, now: datetime, book: WalletBook | None) -> _Verified:
    merchants = await stores.first.merchants.all()

    async def audit(store: Store, _: datetime) -> Audit:
        mchids = [each.mchid for each in merchants if each.cell == store.cell]
        return await audit_cell(store.database, book, mchids)

    of_cells = await in_every_cell(audit)(stores, now)
    total = Audit()
    for each in of_cells:
        total.add(each)
    wrong = [number for number, each in of_cells.by_cell.items() if each.first is not None]
    has_several = len(of_cells.by_cell) + len(of_cells.down) > 1
    if book is not None and not of_cells.down:  # an unknown order may belong to a cell that is down
        total.note_unknown_orders(book)
    return _Verified(total, wrong[0] if wrong and has_several else None, of_cells)


async def _book_at(url: str, now: datetime) -> WalletBook:
    address = f"{url.rstrip('/')}/control/book"
    try:
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session, session.get(address) as answer:
            if answer.status != 200:
                raise _BookUnreadable(f"{address} returned HTTP {answer.status}")
            book = msgspec.json.decode(await answer.read(), type=_Book)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise _BookUnreadable(f"{address} cannot be read ({type(error).__name__})") from error
    trades: dict[str, list[WalletTrade]] = defaultdict(list)
    for row in book.trades:
        trades[row.order].append(
            WalletTrade(row.wallet, row.order, row.trade, row.state, row.amount, row.currency, row.refunded)
        )
    return WalletBook(dict(trades), now)


def _members(verified: _Verified) -> dict[str, Any]:
    audit = verified.audit
    return {
        "ok": audit.first is None and not verified.of_cells.down,
        "orders": audit.orders,
        "entries": audit.entries,
        "digests": audit.digests,
        "payouts": audit.payouts,
        "compared": audit.compared,
        "balances": _balances(audit),
        "disagreements": audit.disagreements,
        "cell": verified.cell,
        "first": None if audit.first is None else asdict(audit.first),
    }


def _balances(audit: Audit) -> list[dict[str, Any]]:
    """By kind of account and currency. Positive balances are owed to us."""
    return [
        {"account": kind, "currency": currency, "balance_minor": minor}
        for (kind, currency), minor in sorted(audit.balances.minor.items())
    ]


def _print(audit: Audit, *, with_wallets: bool) -> None:
    counts = {
        "orders": audit.orders,
        "entries": audit.entries,
        "digests": audit.digests,
        "payouts": audit.payouts,
    }
    if with_wallets:
        counts["orders compared with the wallets"] = audit.compared
    show_members(counts, "ledger verified, no mismatch")
    rows = [
        {"account": row["account"], "balance": _amount(row["balance_minor"], row["currency"])}
        for row in _balances(audit)
    ]
    if rows:
        show_rows(rows, ("account", "balance"), "balances")


def _amount(minor: int, currency: str) -> str:
    return f"-{Money(-minor, currency)}" if minor < 0 else str(Money(minor, currency))


def _sentence(count: int, first: Disagreement, cell: int | None) -> str:
    rows = "1 mismatch" if count == 1 else f"{count} mismatches, the first"
    whose = f" of merchant {first.mchid}" if first.mchid else ""
    whose += "" if cell is None else f" in cell {cell}"
    return (
        f"{rows}: {first.table} {first.syssn}{whose}: {first.what}: "
        f"expected {first.expected}, found {first.found}"
    )
