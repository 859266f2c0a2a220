"""Closes the days of a month at both wallets and plants errors in their statements, by the sandbox's control calls."""

import json
import random
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any, Final

KINDS: Final = ("missing_here", "missing_there", "amount", "fee", "state", "duplicate", "wrong_day")
WALLETS: Final = ("alipay", "wechat")
CALL_LIMIT_S: Final = 60.0
#: Draws for one error. A small plan has days without a line that fits.
MAX_DRAWS: Final = 200

Row = dict[str, Any]
Control = Callable[[str, Row], Any]


def control_of(sandbox_url: str) -> Control:
    """POSTs to `/control/<name>`. Raises ControlRefused."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(name: str, members: Row) -> Any:
        body = json.dumps(members).encode()
        request = urllib.request.Request(f"{sandbox_url}/control/{name}", body)  # noqa: S310 - on loopback
        try:
            with opener.open(request, timeout=CALL_LIMIT_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise ControlRefused(error.read().decode("utf-8", "replace")) from None

    return call


class ControlRefused(Exception):
    """The control API refused a call; the message is its response."""


def days_between(first: date, last: date) -> list[date]:
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def close_days(control: Control, days: Sequence[date], on_closed: Callable[[], None]) -> None:
    for day in days:
        for wallet in WALLETS:
            control("statements", {"wallet": wallet, "day": day.isoformat()})
            on_closed()


def plant(
    control: Control, days: Sequence[date], errors: int, seed: int, on_planted: Callable[[], None]
) -> list[Row]:
    """Plants this many errors, of all kinds in turn, on random days of both wallets. Returns what was planted."""
    drawing = random.Random(f"planting {seed}")
    planted: list[Row] = []
    for number in range(errors):
        planted += _plant_one(control, days, KINDS[number % len(KINDS)], seed + number, drawing)
        on_planted()
    return planted


def _plant_one(
    control: Control, days: Sequence[date], kind: str, seed: int, drawing: random.Random
) -> list[Row]:
    for _ in range(MAX_DRAWS):
        wallet, day = drawing.choice(WALLETS), drawing.choice(days)
        members = {"wallet": wallet, "day": day.isoformat(), "kind": kind, "count": 1, "seed": seed}
        try:
            rows: list[Row] = control("statement-errors", members)
        except ControlRefused:  # no line of this day fits
            continue
        return rows
    raise ControlRefused(f"no line found for an error of kind {kind}")
