"""A merchant's client as a command, written with `tael_client`: `pay` or `refund`, and the result as the last line.

Its clock moves only when it waits, so a run takes no longer than its calls.
"""

import os
import sys

from tael_client import (
    Client,
    Credentials,
    Filters,
    Money,
    Paid,
    PaymentOrder,
    Refused,
    RowKind,
    Undecided,
    Undone,
)

QUERIES = 20


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def pay(client: Client, number: str, amount: str, auth_code: str) -> str:
    order = PaymentOrder.wechat_barcode(number, Money(int(amount), "HKD"), auth_code)
    try:
        result = client.pay_and_wait(order)
    except Refused:
        return "unpaid"
    except Undecided:
        return "unknown"
    if isinstance(result, Paid):
        return "paid"
    return "unpaid" if isinstance(result, Undone) else "unknown"


def refund(client: Client, syssn: str, number: str, amount: str) -> str:
    money = Money(int(amount), "HKD")
    try:
        client.refund(syssn, number, money)
    except Refused:
        return "refused"
    except Undecided:
        return queried(client, number, money)
    return "refunded"


def queried(client: Client, number: str, money: Money) -> str:
    """The result of a refund whose response did not decide it."""
    for _ in range(QUERIES):
        try:
            rows = client.query(Filters(references=[number])).rows
        except Undecided:
            continue
        for row in rows:
            if row.kind is RowKind.REFUND and row.reference == number and row.amount == money:
                if row.respcd == "0000":
                    return "refunded"
                if row.respcd not in ("1143", "1145", "2999"):
                    return "refused"
    return "unknown"


def main(arguments: list[str]) -> None:
    credentials = Credentials(os.environ["QFPAY_APPCODE"], os.environ["QFPAY_KEY"], os.environ["QFPAY_MCHID"])
    clock = Clock()
    url = os.environ["QFPAY_URL"]
    with Client(url, credentials, monotonic=clock.monotonic, sleep=clock.sleep) as client:
        action = {"pay": pay, "refund": refund}[arguments[0]]
        print(action(client, *arguments[1:]))


if __name__ == "__main__":
    main(sys.argv[1:])
