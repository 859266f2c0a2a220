"""Correct books for tests of the soak's checks, and functions that change one row in them."""

from dataclasses import replace
from typing import Any, Final

from tests.soak.books import Books
from tests.soak.rows import (
    EntryRow,
    MerchantResponse,
    OurBook,
    PaymentRow,
    ReceivedWebhook,
    RefundRow,
    ReversalRow,
    UnmatchedRow,
    WalletBook,
    WalletRefund,
    WalletTrade,
    WebhookRow,
)

NEW, OLD = "app-new", "app-old"
RATE_PPM: Final = 6_000


def payment(syssn: str, pay_type: str, state: str, amount_minor: int, **changes: Any) -> PaymentRow:
    """Of merchant m1, whose app is of the new style; the reference is the syssn in lower case."""
    row = PaymentRow(
        mchid="m1",
        syssn=syssn,
        appcode=NEW,
        account_id="acc",
        reference=syssn.lower(),
        pay_type=pay_type,
        state=state,
        amount_minor=amount_minor,
        currency="HKD",
        fee_rate_ppm=RATE_PPM,
    )
    return replace(row, **changes)


def came(cause: str, amount_minor: int, fee_minor: int, mchid: str = "m1") -> list[EntryRow]:
    merchant = f"merchant:HKD:{mchid}"
    return [
        EntryRow(cause, "payment", "wallet:HKD:acc", merchant, amount_minor, "HKD"),
        EntryRow(cause, "fee", merchant, "fee:HKD:acc", fee_minor, "HKD"),
    ]


def went(cause: str, kind: str, amount_minor: int, fee_minor: int, mchid: str = "m1") -> list[EntryRow]:
    merchant = f"merchant:HKD:{mchid}"
    return [
        EntryRow(cause, kind, merchant, "wallet:HKD:acc", amount_minor, "HKD"),
        EntryRow(cause, "fee_back", "fee:HKD:acc", merchant, fee_minor, "HKD"),
    ]


def received(
    syssn: str, kind: str, amount_minor: int, appcode: str = NEW, *, was_acknowledged: bool = True
) -> ReceivedWebhook:
    body = f"{kind} {syssn}".encode()
    return ReceivedWebhook(appcode, syssn, syssn.lower(), kind, amount_minor, body, True, was_acknowledged)


OURS: Final = OurBook(
    payments=[
        payment("P1", "800201", "PAID", 1000, refunded_minor=300),
        payment("P2", "800208", "PAID", 500, refunded_minor=500, is_reversed=True),
        # Failed although the payer's money came: it was returned, and the reference was used again.
        payment("P3", "800108", "FAILED", 1000, reference="twice"),
        payment("P4", "800108", "PAID", 250, reference="twice", notify_merchant=False),
        payment("P5", "800201", "CLOSED", 1000),
        payment("P6", "800151", "EXPIRED", 1000),
        # Paid and undone between two queries, too late for a reversal: by a refund.
        payment("P7", "800108", "PAID", 400, refunded_minor=400, is_reversed=True),
        # Not confirmed in time, so it was reversed at the wallet.
        payment("P8", "800228", "FAILED", 600),
        payment("P9", "800151", "PAID", 100, refunded_minor=100, mchid="m2", appcode=OLD),
        # Paid after it had been closed.
        payment("P10", "800201", "PAID", 100),
        # Failed although the payer's money came: it is held, first with a false amount.
        payment("P20", "800108", "FAILED", 700),
    ],
    refunds=[
        RefundRow("R1", "P1", "r1", "DONE", 300, "0000"),
        RefundRow("R2", "P1", "again", "FAILED", 200, "merchant_balance"),
        RefundRow("R3", "P9", "p9", "DONE", 100, "0000"),
        RefundRow("R4", "P1", "again", "FAILED", 200, "merchant_balance"),
    ],
    reversals=[
        ReversalRow("V1", "P2", "DONE"),
        ReversalRow("V2", "P7", "DONE"),
        ReversalRow("V3", "P8", "DONE"),
        ReversalRow("V4", "P4", "FAILED"),
    ],
    # 0.6 %, half a cent rounded up: 6 of 1000 and 4 of 700; 3 of 500; 2 of 250; 2 of 400; 1 of 100.
    entries=[
        *came("P1", 1000, 6),
        *went("R1", "refund", 300, 2),
        *came("P2", 500, 3),
        *went("V1", "reversal", 500, 3),
        *came("P4", 250, 2),
        *came("P7", 400, 2),
        *went("V2", "reversal", 400, 2),
        *came("P9", 100, 1, "m2"),
        *went("R3", "refund", 100, 1, "m2"),
        *came("P10", 100, 1),
        EntryRow("S1", "unmatched_received", "wallet:HKD:acc", "unmatched:HKD:acc", 1000, "HKD"),
        EntryRow("S1", "unmatched_returned", "unmatched:HKD:acc", "wallet:HKD:acc", 1000, "HKD"),
        EntryRow("S2", "unmatched_received", "wallet:HKD:acc", "unmatched:HKD:acc", 700, "HKD"),
        EntryRow("S3", "unmatched_received", "wallet:HKD:acc", "unmatched:HKD:acc", 701, "HKD"),
        EntryRow("S3", "unmatched_returned", "unmatched:HKD:acc", "wallet:HKD:acc", 701, "HKD"),
        EntryRow("S4", "unmatched_received", "wallet:HKD:acc", "unmatched:HKD:acc", 40, "HKD"),
    ],
    webhooks=[
        WebhookRow("P1", "payment", "DELIVERED"),
        WebhookRow("R1", "refund", "DELIVERED"),
        WebhookRow("P2", "payment", "DELIVERED"),
        WebhookRow("P9", "payment", "DELIVERED"),
        WebhookRow("R3", "refund", "NOT_WANTED"),
        WebhookRow("P10", "payment", "DELIVERED"),
    ],
    unmatched=[
        UnmatchedRow("S1", "P3", "RETURNED", 1000),
        UnmatchedRow("S2", "P20", "HELD", 700),
        UnmatchedRow("S3", "P20", "VOIDED", 701),
        UnmatchedRow("S4", "unknown-1", "HELD", 40),
    ],
    new_style_apps=frozenset({NEW}),
)
WALLETS: Final = WalletBook(
    trades=[
        WalletTrade("P1", "REFUND", 1000, "HKD", 300),
        WalletTrade("P2", "REVOKED", 500, "HKD", 500),
        WalletTrade("P3", "TRADE_CLOSED", 1000, "HKD", 1000),
        WalletTrade("P4", "TRADE_SUCCESS", 250, "HKD", 0),
        WalletTrade("P5", "CLOSED", 1000, "HKD", 0),
        WalletTrade("P7", "TRADE_CLOSED", 400, "HKD", 400),
        WalletTrade("P8", "REVOKED", 600, "HKD", 0),
        WalletTrade("P9", "TRADE_CLOSED", 100, "HKD", 100),
        WalletTrade("P10", "SUCCESS", 100, "HKD", 0),
        WalletTrade("P20", "TRADE_SUCCESS", 700, "HKD", 0),
        WalletTrade("unknown-1", "SUCCESS", 40, "HKD", 0),
    ],
    refunds=[
        WalletRefund("P1", "R1", "SUCCESS", 300),
        WalletRefund("P1", "R2", "REFUNDCLOSE", 200),
        WalletRefund("P3", "S1", "SUCCESS", 1000),
        WalletRefund("P7", "V2", "SUCCESS", 400),
        WalletRefund("P9", "R3", "SUCCESS", 100),
    ],
)
RECEIVED: Final = [
    received("P1", "payment", 1000, was_acknowledged=False),
    received("P1", "payment", 1000),
    received("R1", "refund", 300),
    received("P2", "payment", 500),
    received("P9", "payment", 100, OLD),
    received("P10", "payment", 100),
]
RESPONSES: Final = [
    MerchantResponse("payment", "p1", "1112", ""),
    MerchantResponse("payment", "p1", "0000", "P1", amount_minor=1000),
    MerchantResponse("payment", "p1", "1102", "", "P1"),
    MerchantResponse("payment", "p2", "1145", "P2", amount_minor=500),
    MerchantResponse("payment", "twice", "1131", "P3", amount_minor=1000),
    MerchantResponse("payment", "twice", "0000", "P4", amount_minor=250),
    # An accepted online order is answered 0000, whatever its final state.
    MerchantResponse("payment", "p5", "0000", "P5", amount_minor=1000),
    MerchantResponse("payment", "p6", "0000", "P6", amount_minor=1000),
    MerchantResponse("row", "p1", "1145", "P1", amount_minor=1000),
    MerchantResponse("row", "p1", "0000", "P1", amount_minor=1000),
    MerchantResponse("row", "p5", "1142", "P5", amount_minor=1000),
    MerchantResponse("row", "p6", "1181", "P6", amount_minor=1000),
    MerchantResponse("row", "p8", "2005", "P8", amount_minor=600),
    MerchantResponse("row", "r1", "2999", "R1", amount_minor=300),
    MerchantResponse("row", "r1", "0000", "R1", amount_minor=300),
    MerchantResponse("refund", "r1", "2999", "R1", "P1", 300),
    MerchantResponse("refund", "again", "1269", "R2", "P1", 200),
    MerchantResponse("refund", "too much", "1272", "", "P1"),
    MerchantResponse("reversal", "", "0000", "V1", "P2"),
    MerchantResponse("reversal", "", "1145", "V2", "P7"),
    MerchantResponse("reversal", "", "1155", "V4", "P4"),
    MerchantResponse("reversal", "", "1124", "", "P1"),
    MerchantResponse("close", "", "0000", "C5", "P5"),
    MerchantResponse("close", "", "0000", "C10", "P10"),
    MerchantResponse("row", "p10", "1142", "P10", amount_minor=100),
    MerchantResponse("close", "", "1124", "", "P1"),
]
BOOKS: Final = Books(OURS, WALLETS, RECEIVED, RESPONSES)


# ---- changing one row --------------------------------------------------------------------------------------------


def name_of(row: Any) -> str:
    """The name of a row in these tests: P1, R1, or "P1 payment" for a row with a kind."""
    match row:
        case EntryRow() | WebhookRow():
            return f"{row.cause} {row.kind}"
        case ReceivedWebhook():
            return f"{row.syssn} {row.kind}"
        case WalletTrade():
            return row.order
        case WalletRefund():
            return row.number
        case _:
            return str(row.syssn)


def with_rows(table: str, rows: list[Any]) -> Books:
    """The correct books with one table's rows replaced."""
    changes: dict[str, Any] = {"refunds" if table == "returns" else table: rows}
    match table:
        case "received" | "responses":
            return replace(BOOKS, **changes)
        case "trades" | "returns":
            return replace(BOOKS, wallets=replace(WALLETS, **changes))
        case _:
            return replace(BOOKS, ours=replace(OURS, **changes))


#: `returns` are the wallets' refunds.
TABLES: Final[dict[str, Any]] = {
    "payments": OURS.payments,
    "refunds": OURS.refunds,
    "reversals": OURS.reversals,
    "entries": OURS.entries,
    "webhooks": OURS.webhooks,
    "trades": WALLETS.trades,
    "returns": WALLETS.refunds,
    "received": RECEIVED,
    "responses": RESPONSES,
}


def change(table: str, name: str, **changes: Any) -> Books:
    """The books with the last row of this name changed."""
    rows = list(TABLES[table])
    place = max(place for place, row in enumerate(rows) if name_of(row) == name)
    rows[place] = replace(rows[place], **changes)
    return with_rows(table, rows)


def lose(table: str, name: str) -> Books:
    rows = [row for row in TABLES[table] if name_of(row) != name]
    assert len(rows) < len(TABLES[table])
    return with_rows(table, rows)


def add(table: str, row: Any) -> Books:
    return with_rows(table, [*TABLES[table], row])


def respond(call: str, reference: str, respcd: str, syssn: str, *more: Any) -> Books:
    return add("responses", MerchantResponse(call, reference, respcd, syssn, *more))
