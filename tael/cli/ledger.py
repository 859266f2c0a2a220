"""`tael ledger`: verifies the ledger against the orders, the daily digests and, on request, the simulated wallets."""

from collections import defaultdict
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Final

import aiohttp
import msgspec
import typer

from tael.audit.domain.audit import Disagreement
from tael.audit.domain.wallet_book import WalletBook, WalletTrade
from tael.audit.verification import Audit, audit_books
from tael.base.money import Money
from tael.cli.finding import DataOption, with_store
from tael.cli.showing import IMPOSSIBLE, UNUSABLE, JsonOption, refused, show_json, show_members, show_rows
from tael.operations.store import Store

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

    async def work(store: Store, now: datetime) -> Audit:
        # `now` is by the gateway's clock, like the times in its rows, and is taken before the book is read.
        return await audit_books(store.database, await _book_at(sandbox, now) if sandbox else None)

    try:
        audit = with_store(data, work)
    except _BookUnreadable as error:
        raise refused(f"--sandbox: {error}", UNUSABLE) from error
    if as_json:
        show_json(_members(audit))
    elif audit.first is None:
        _print(audit, with_wallets=sandbox is not None)
    if audit.first is not None:
        if as_json:
            raise typer.Exit(IMPOSSIBLE)
        raise refused(_sentence(audit.disagreements, audit.first))


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


def _members(audit: Audit) -> dict[str, Any]:
    return {
        "ok": audit.first is None,
        "orders": audit.orders,
        "entries": audit.entries,
        "digests": audit.digests,
        "payouts": audit.payouts,
        "compared": audit.compared,
        "balances": _balances(audit),
        "disagreements": audit.disagreements,
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


def _sentence(count: int, first: Disagreement) -> str:
    rows = "1 mismatch" if count == 1 else f"{count} mismatches, the first"
    whose = f" of merchant {first.mchid}" if first.mchid else ""
    return (
        f"{rows}: {first.table} {first.syssn}{whose}: {first.what}: "
        f"expected {first.expected}, found {first.found}"
    )
