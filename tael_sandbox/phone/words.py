"""What the phone says: the words of a person for behaviours, states, faults and amounts."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from tael_sandbox import rates
from tael_sandbox.clock import bjt, from_stamp
from tael_sandbox.fault_injection.faults import NOTICE_KINDS
from tael_sandbox.wallet import Entry, Row

WALLET_NAMES: Final = {"alipay": "Alipay", "wechat": "WeChat Pay", "wechat_hk": "WeChat Pay HK"}

#: By behaviour of a code: the choice, and what to expect once a shop has scanned it.
BEHAVIOURS: Final[Mapping[str, tuple[str, str]]] = {
    "pays": ("Pays at once", "It is paid as soon as a shop scans it."),
    "password": ("Asks me for the password", "The shop's request appears on this phone and waits for you."),
    "password_then_pays": (
        "Password typed after 3 seconds",
        "The shop waits about 3 seconds, then it is paid.",
    ),
    "refuses": ("Payer declines", "The shop is told that the payer declined."),
    "insufficient": ("Not enough money", "The shop is told that the balance is too small."),
    "expired": ("Code is too old", "The shop is told that the code has expired."),
    "used": ("Code was used before", "The shop is told that the code was used before."),
    "unknown_then_paid": (
        "Paid, but the wallet stumbles",
        "The shop gets a system error, and yet it is paid.",
    ),
    "unknown_then_nothing": (
        "Not paid, and the wallet stumbles",
        "The shop gets a system error; nothing is paid.",
    ),
}

SCENARIOS: Final[Mapping[str, str]] = {
    "waiting": "Waiting for you",
    "paid": "Paid",
    "refunded": "Refunded",
    "reversed": "Reversed, money returned",
    "not paid": "Not paid",
    "giving back": "Refund under way",
    "given back": "Refund",
}

#: The faults that the panel offers, each once.
FAULTS: Final[Mapping[str, str]] = {
    "timeout_after": "Done, but the answer is lost",
    "timeout_before": "Not done, and no answer comes",
    "refuse_connection": "The connection is reset",
    "http_500": "HTTP 500",
    "system_error": "The wallet's own system error",
    "slow": "The answer takes 3 seconds",
    "bad_signature": "Wrong signature",
    "wrong_amount": "Wrong amount",
    "drop_notice": "A notice is lost",
    "delay_notice": "A notice is a minute late",
    "duplicate_notice": "A notice comes twice",
    "reorder_notices": "A notice is overtaken by the next",
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
    """How far the clock is ahead: its two largest units."""
    units = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
    left, told = int(seconds), []
    for name, size in units:
        count, left = divmod(left, size)
        if count:
            told.append(f"{count} {name}{'' if count == 1 else 's'}")
    return " ".join(told[:2])


def grouped(digits: str) -> str:
    """A code as it is read aloud: in fours."""
    return " ".join(digits[place : place + 4] for place in range(0, len(digits), 4))


def scenario(entry: Entry) -> str:
    if entry.scenario == "paid" and entry.refunded_minor:
        return f"Paid, {money(entry.refunded_minor, entry.currency)} refunded"
    return SCENARIOS[entry.scenario]


def fault(row: Row) -> str:
    """A fault of the list, with what is left of it."""
    times = "until switched off" if row["left"] is None else f"{row['left']} to come"
    where = "" if row["operation"] == "*" or row["kind"] in NOTICE_KINDS else f", {row['operation']}"
    return f"{WALLET_NAMES[row['wallet']]}{where}: {times}"


def news(entry: Entry) -> str:
    """One sentence for an entry that is new or has another fate; of a payment that is given back the refund tells."""
    amount = money(entry.amount_minor, entry.currency)
    match entry.scenario:
        case "waiting":
            return f"{entry.payee} asks you for {amount}."
        case "paid":
            return f"Paid {amount} to {entry.payee}."
        case "refunded":
            return ""
        case "reversed":
            return f"{SCENARIOS[entry.scenario]}: {amount}, {entry.payee}."
        case "not paid":
            return f"Not paid: {amount}, {entry.payee}."
        case "giving back":
            return f"{entry.payee} is giving back {amount}."
        case "given back":
            return f"{entry.payee} gave back {amount}."


def sentence(message: str) -> str:
    """An error's text as a person reads it."""
    return f"{message[:1].upper()}{message[1:]}."
