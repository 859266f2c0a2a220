"""A small client that behaves correctly, or with one mistake: `DEFECTS` names them. `main` is a command."""

import hashlib
import http.client
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

DEFECTS = (
    "new number without a response",
    "new number for an over-refund",
    "believes unsigned responses",
    "1143 is a failure",
    "an outer 0000 is paid",
    "HTTP 500 is a failure",
    "believes any row",
    "believes any amount",
    "pending is a success",
    "never queries",
    "an unlisted code is a failure",
    "an unsigned query",
    "refunds without txdtm",
)
PENDING = ("1143", "1145", "2999")
FINAL = ("1201", "1125", "1142", "1269", "1272", "2005")
SUCCESS = {"payment": "paid", "refund": "refunded"}
FAILURE = {"payment": "unpaid", "refund": "refused"}
QUERIES = 4


class PlainClient:
    def __init__(self, environment: Mapping[str, str], defect: str = "") -> None:
        self.environment = environment
        self.defect = defect
        self.queries = 0

    def run(self, arguments: Sequence[str]) -> str:
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        if arguments[0] == "pay":
            _, number, amount, code = arguments
            params = {"out_trade_no": number, "txamt": amount, "auth_code": code, "pay_type": "800208"}
            return self.move("payment", {**params, "txdtm": now})
        _, syssn, number, amount = arguments
        params = {"syssn": syssn, "out_trade_no": number, "txamt": amount}
        return self.move(
            "refund", params if self.defect == "refunds without txdtm" else {**params, "txdtm": now}
        )

    def move(self, name: str, params: dict[str, str]) -> str:
        answer = self.call(name, params)
        if answer is None and self.defect == "new number without a response":
            return self.move_again(name, params)
        if answer is not None and self.is_about(answer, params):
            code = answer["respcd"]
            if code == "0000" or (code in PENDING and self.defect == "pending is a success"):
                return SUCCESS[name]
            if code == "1272" and self.defect == "new number for an over-refund":
                return self.move_again(name, params)
            if self.is_failure(code):
                return FAILURE[name]
        if answer is not None and answer["respcd"] == "HTTP 500":
            return FAILURE[name]
        return "unknown" if self.defect == "never queries" else self.queried(name, params)

    def move_again(self, name: str, params: dict[str, str]) -> str:
        again = self.call(name, {**params, "out_trade_no": params["out_trade_no"] + "-2"})
        return SUCCESS[name] if again and again["respcd"] == "0000" else "unknown"

    def is_failure(self, code: str) -> bool:
        if code == "1143":
            return self.defect == "1143 is a failure"
        return code in FINAL or (code not in PENDING and self.defect == "an unlisted code is a failure")

    def is_about(
        self, found: Mapping[str, Any], params: Mapping[str, str], defect: str = "believes any amount"
    ) -> bool:
        names = ("out_trade_no", "txamt")
        return self.defect == defect or all(found.get(name, params[name]) == params[name] for name in names)

    def queried(self, name: str, params: dict[str, str]) -> str:
        has_repeated = False
        for _ in range(QUERIES):
            answer = self.call("query", {"out_trade_no": params["out_trade_no"]})
            if answer is None:
                continue
            if self.defect == "an outer 0000 is paid":
                return SUCCESS[name]
            if not answer["data"] and not has_repeated:
                has_repeated = True
                self.call(name, params)
            for row in answer["data"]:
                if self.is_about(row, params, "believes any row"):
                    if row["respcd"] == "0000":
                        return SUCCESS[name]
                    if self.is_failure(row["respcd"]):
                        return FAILURE[name]
        return "unknown"

    def call(self, name: str, params: Mapping[str, str]) -> dict[str, Any] | None:
        """The members of a verified response; None without one."""
        sent = {**params, "mchid": self.environment["QFPAY_MCHID"]}
        headers = {
            "X-QF-APPCODE": self.environment["QFPAY_APPCODE"],
            "X-QF-SIGN": self.digest("&".join(f"{each}={sent[each]}" for each in sorted(sent)).encode()),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        if name == "query":
            self.queries += 1
            if self.queries == 1 and self.defect == "an unsigned query":
                del headers["X-QF-SIGN"]
        connection = http.client.HTTPConnection(urlsplit(self.environment["QFPAY_URL"]).netloc, timeout=10)
        try:
            connection.request("POST", f"/trade/v1/{name}", urlencode(sent), headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        if response.status == 500 and self.defect == "HTTP 500 is a failure":
            return {"respcd": "HTTP 500"}
        is_proven = response.headers.get("X-QF-SIGN") == self.digest(body)
        if not is_proven and self.defect != "believes unsigned responses":
            return None
        try:
            members: dict[str, Any] = json.loads(body)
        except ValueError:
            return None
        return members

    def digest(self, text: bytes) -> str:
        return hashlib.md5(text + self.environment["QFPAY_KEY"].encode()).hexdigest().upper()


def main(arguments: Sequence[str]) -> None:
    print("some progress")
    print(PlainClient(os.environ, os.environ.get("PLAIN_CLIENT_DEFECT", "")).run(arguments))


if __name__ == "__main__":
    main(sys.argv[1:])
