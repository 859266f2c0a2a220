"""The texts of the phone: names of behaviours, states and faults, and formats of amounts and times."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from tael_sandbox import rates
from tael_sandbox.clock import bjt, from_stamp
from tael_sandbox.fault_injection.faults import NOTICE_KINDS
from tael_sandbox.wallet import Entry, Row

WALLET_NAMES: Final = {
    "alipay": "Alipay",
    "alipay_hk": "AlipayHK",
    "wechat": "WeChat Pay",
    "wechat_hk": "WeChat Pay HK",
}

#: For each behaviour of a code: its name, and what happens once a shop scans it.
BEHAVIOURS: Final[Mapping[str, tuple[str, str]]] = {
    "pays": ("Pays at once", "It is paid as soon as a shop scans it."),
    "password": ("Asks for the password", "The shop's request appears on this phone and waits for you."),
    "password_then_pays": (
        "Password entered after 3 seconds",
        "The shop waits about 3 seconds, then it is paid.",
    ),
    "refuses": ("Payer declines", "The shop gets the error that the payer declined."),
    "insufficient": ("Not enough money", "The shop gets the error that the balance is too low."),
    "expired": ("Code has expired", "The shop gets the error that the code has expired."),
    "used": ("Code already used", "The shop gets the error that the code was used before."),
    "unknown_then_paid": (
        "System error, but paid",
        "The shop gets a system error, although it is paid.",
    ),
    "unknown_then_nothing": (
        "System error, and not paid",
        "The shop gets a system error; nothing is paid.",
    ),
}

SCENARIOS: Final[Mapping[str, str]] = {
    "waiting": "Waiting for you",
    "paid": "Paid",
    "refunded": "Refunded",
    "reversed": "Reversed, money returned",
    "not paid": "Not paid",
    "giving back": "Refund in progress",
    "given back": "Refund",
}

#: The faults that the panel offers.
FAULTS: Final[Mapping[str, str]] = {
    "timeout_after": "Done, but the response is lost",
    "timeout_before": "Not done, and no response",
    "refuse_connection": "Connection reset",
    "http_500": "HTTP 500",
    "system_error": "System error of the wallet",
    "slow": "Response after 3 seconds",
    "bad_signature": "Wrong signature",
    "wrong_amount": "Wrong amount",
    "drop_notice": "Notice lost",
    "delay_notice": "Notice delayed by a minute",
    "duplicate_notice": "Notice sent twice",
    "reorder_notices": "Notice overtaken by the next one",
}

CLOCK_STEPS: Final[Mapping[int, str]] = {60: "1 minute", 3600: "1 hour", 86_400: "1 day"}


def money(amount_minor: int, currency: str) -> str:
    """`HKD 1,250.00`; the space does not break."""
    whole, _, part = rates.in_units(amount_minor, currency).partition(".")
    return f"{currency}\N{NO-BREAK SPACE}{int(whole):,}{'.' if part else ''}{part}"


def moment(stamp: float) -> str:
    return f"{bjt(from_stamp(stamp)):%d %b %Y, %H:%M}"


def clock_time(now: datetime) -> str:
    return f"{bjt(now):%d %b %Y, %H:%M:%S}"


def span(seconds: float) -> str:
    """A duration in its two largest units."""
    units = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
    remaining, parts = int(seconds), []
    for name, size in units:
        count, remaining = divmod(remaining, size)
        if count:
            parts.append(f"{count} {name}{'' if count == 1 else 's'}")
    return " ".join(parts[:2])


def grouped(digits: str) -> str:
    """A code in groups of four digits."""
    return " ".join(digits[place : place + 4] for place in range(0, len(digits), 4))


def scenario(entry: Entry) -> str:
    if entry.scenario == "paid" and entry.refunded_minor:
        return f"Paid, {money(entry.refunded_minor, entry.currency)} refunded"
    return SCENARIOS[entry.scenario]


def fault(row: Row) -> str:
    """A fault of the list, with its wallet, operation and remaining times."""
    times = "until switched off" if row["left"] is None else f"{row['left']} remaining"
    where = "" if row["operation"] == "*" or row["kind"] in NOTICE_KINDS else f", {row['operation']}"
    return f"{WALLET_NAMES[row['wallet']]}{where}: {times}"


def announcement(entry: Entry) -> str:
    """The sentence that announces a new or changed entry. Empty for a refunded payment: its refund is announced."""
    amount = money(entry.amount_minor, entry.currency)
    match entry.scenario:
        case "waiting":
            return f"{entry.payee} requests {amount}."
        case "paid":
            return f"Paid {amount} to {entry.payee}."
        case "refunded":
            return ""
        case "reversed":
            return f"{SCENARIOS[entry.scenario]}: {amount}, {entry.payee}."
        case "not paid":
            return f"Not paid: {amount}, {entry.payee}."
        case "giving back":
            return f"{entry.payee} is refunding {amount}."
        case "given back":
            return f"{entry.payee} refunded {amount}."


def sentence(message: str) -> str:
    """The text of an error as a sentence."""
    return f"{message[:1].upper()}{message[1:]}."
