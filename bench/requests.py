"""Signed payments, made before a measurement and kept in a file: one in a line, its signature before its body."""

import hashlib
from collections.abc import Iterator
from datetime import datetime
from itertools import count, islice
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from tael.base.moments import UTC8

APPCODE: Final = "BENCHAPPCODE0000000000000000000A"
KEY: Final = "bench-app-key-of-thirty-two-char"
PATH: Final = "/trade/v1/payment"
_numbers = count(1)
_run = f"{datetime.now(UTC8):%m%d%H%M%S}"


def payments(mchids: list[str]) -> Iterator[tuple[str, bytes]]:
    """Signature and body of barcode payments, each with a number of its own, without an end."""
    time = f"{datetime.now(UTC8):%Y-%m-%d %H:%M:%S}"
    for number in _numbers:
        params = {
            "auth_code": f"13{number:016d}",
            "goods_name": "Oolong tea",
            "mchid": mchids[number % len(mchids)],
            "out_trade_no": f"{_run}-{number}",
            "pay_type": "800208",
            "txamt": str(100 + number % 9900),
            "txcurrcd": "HKD",
            "txdtm": time,
        }
        yield signed(params)


def signed(params: dict[str, str]) -> tuple[str, bytes]:
    """Signature and body of a call."""
    text = "&".join(f"{name}={params[name]}" for name in sorted(params))
    return hashlib.md5(f"{text}{KEY}".encode()).hexdigest().upper(), urlencode(params).encode()


def write_payments(path: Path, mchids: list[str], number: int) -> None:
    with path.open("wb") as file:
        for sign, body in islice(payments(mchids), number):
            file.write(sign.encode() + b" " + body + b"\n")
