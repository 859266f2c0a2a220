"""The ledger entries of remittances and conversions, and those that undo them. Pure.

A remittance moves what the wallet holds to the bank, and its fee to an expense. A conversion moves what the wallet
holds and what is owed to the merchant from the currency of prices to that of settlement. Negative amounts move back.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Final

from tael.base.money import Money
from tael.ledger.domain.entries import Entry, EntryKind
from tael.statements.domain.conversion import Conversion
from tael.statements.domain.remittance import Remittance

BACK: Final = {
    EntryKind.REMITTED: EntryKind.REMITTED_BACK,
    EntryKind.WALLET_FEE: EntryKind.WALLET_FEE_BACK,
    EntryKind.CONVERTED_OUT: EntryKind.CONVERTED_OUT_BACK,
    EntryKind.CONVERTED_IN: EntryKind.CONVERTED_IN_BACK,
}


def remittance_entries(remittance: Remittance, at: datetime) -> list[Entry]:
    """What reached the bank, and the wallet's fee: together all that the remittance took from the wallet."""
    owner = f"{remittance.currency}:{remittance.account_id}"
    moves = (
        (EntryKind.REMITTED, f"bank:{owner}", remittance.net_minor),
        (EntryKind.WALLET_FEE, f"wallet_fee:{owner}", remittance.fee_minor),
    )
    return [
        _moved(
            remittance.mchid,
            remittance.remittance_id,
            kind,
            (debit, f"wallet:{owner}"),
            Money(minor, remittance.currency),
            at,
        )
        for kind, debit, minor in moves
        if minor
    ]


def conversion_entries(conversion: Conversion, at: datetime) -> list[Entry]:
    """Out of the currency of prices, into that of settlement."""
    price, settlement = conversion.price_currency, conversion.settlement_currency
    moves = (
        (
            EntryKind.CONVERTED_OUT,
            (f"merchant:{price}:{conversion.mchid}", f"wallet:{price}:{conversion.account_id}"),
            Money(conversion.price_minor, price),
        ),
        (
            EntryKind.CONVERTED_IN,
            (f"wallet:{settlement}:{conversion.account_id}", f"merchant:{settlement}:{conversion.mchid}"),
            Money(conversion.settlement_minor, settlement),
        ),
    )
    return [
        _moved(conversion.mchid, conversion.conversion_id, kind, accounts, amount, at)
        for kind, accounts, amount in moves
        if amount.amount_minor
    ]


def undone(entries: Iterable[Entry]) -> list[Entry]:
    """The entries that take these back, at the same instant."""
    return [
        replace(entry, kind=BACK[entry.kind], debit=entry.credit, credit=entry.debit) for entry in entries
    ]


def _moved(
    mchid: str, cause: str, kind: EntryKind, accounts: tuple[str, str], amount: Money, at: datetime
) -> Entry:
    """Debits the first account and credits the second; the other way round if `amount` is negative."""
    debit, credit = accounts if amount.amount_minor > 0 else reversed(accounts)
    return Entry(mchid, cause, kind, debit, credit, Money(abs(amount.amount_minor), amount.currency), at)
