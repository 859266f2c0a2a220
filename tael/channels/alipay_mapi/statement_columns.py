"""The headings of Alipay's files, online and in shops, and of its list of settlement batches; their days. Pure."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Final

from tael.channels.statements import MAX_SHOWN, Cells, LineType

#: The fields of a file without a heading.
NINE: Final = (
    *("number", "amount", "currency", "paid_at", "settled_at"),
    *("type", "fee", "status", "remarks"),
)
#: The headings of the fields that are read, in the files with 13, 17 and 22 columns, and in those of shops.
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "number": ("Partner_transaction_id",),
    "original": ("Original_partner_transaction_ID",),
    "transaction_id": ("Transaction_ID",),
    "amount": ("Amount", "Gross_amount", "Transaction_amount"),
    "currency": ("Currency",),
    "fee": ("Fee", "Service_charge", "Charge_amount"),
    "settlement": ("Settlement",),
    "rate": ("Rate",),
    "paid_at": ("Payment_time", "Time"),
    "settled_at": ("Settlement_time",),
    "type": ("Type", "Transaction_type"),
    "status": ("Status",),
}
#: Headings of documented columns that are not read.
UNREAD: Final = (
    *("Rmb_amount", "Rmb_settlement", "Remarks", "Remark", "Rmb_Gross_amount", "Distribute_amount"),
    *("Rmb_Distribute_amount", "Distribute_rmb_amount", "Rmb_fee", "M_Discount_amount"),
    *("M_Discount_RMB_amount", "Goods_title", "Product", "Liquidation", "Issue"),
)
#: The beginning of further ones: industry, name, id and so on.
UNREAD_PREFIX: Final = "secondary_merchant_"
REQUIRED: Final = ("number", "amount", "currency", "paid_at", "type")
#: Files of shops with this heading have no status.
WITHOUT_STATUS: Final = "transaction_type"
TYPES: Final[Mapping[str, LineType]] = {
    "p": LineType.PAYMENT,
    "payment": LineType.PAYMENT,
    "r": LineType.REFUND,
    "refund": LineType.REFUND,
    "reversal": LineType.REVERSAL,
    "cancel": LineType.REVERSAL,
}
#: The leading lines of a shop's file of transactions: names, and their values.
LEADING: Final = ("partner", "payment_time", "total_count")
#: The list of a day's settlement batches.
BATCH_COLUMNS: Final[Mapping[str, str]] = {
    "batch_no": "Settle_batch_no",
    "settled_on": "Settle_date",
    "amount": "Amount",
    "fee": "Fee",
    "settlement": "Settlement",
    "currency": "Currency",
}

FIELDS: Final = {heading.casefold(): field for field, names in COLUMNS.items() for heading in names}
_KNOWN: Final = FIELDS.keys() | {heading.casefold() for heading in UNREAD}


def is_known(heading: str) -> bool:
    """Whether the documents have it."""
    name = heading.casefold()
    return name in _KNOWN or name.startswith(UNREAD_PREFIX)


def places_of(headings: list[str], fields: Mapping[str, str]) -> tuple[dict[str, int], list[str]]:
    """The place of each field, whose headings in lower case are given, and the headings that are there twice."""
    places: dict[str, int] = {}
    twice: list[str] = []
    for place, heading in enumerate(headings):
        field = fields.get(heading.casefold())
        if field in places:
            twice.append(heading)
        elif field is not None:
            places[field] = place
    return places, twice


#: `20260102` or `2026-01-02`, also with a time.
DAY: Final = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?:[ T]?\d\d:?\d\d:?\d\d)?", re.ASCII)


def read_day(text: str) -> date | None:
    """None if it is not a day."""
    match = DAY.fullmatch(text)
    try:
        return date(int(match[1]), int(match[2]), int(match[3])) if match else None
    except ValueError:
        return None


def day_of(cells: Cells, field: str) -> date:
    """Raises StatementRefused."""
    text = cells.required(field)
    day = read_day(text)
    if day is None:
        raise cells.refused(field, f"not a day: {text[:MAX_SHOWN]!r}")
    return day
