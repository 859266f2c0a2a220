"""A stub of WeChat Pay, as a function and as a process behind HTTP. It takes every barcode payment and no online order.

It does no more than the gateway's adapter needs for a verified answer, so that it costs little beside the gateway.
"""

import asyncio
import hashlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

import uvloop

from tael.base.moments import UTC8
from tael.base.secret import Secret
from tael.base.transport import Answer, Result, Transport
from tael.channels.wechat_v2.account import WeChatAccount

KEY: Final = "bench-wechat-v2-key-of-32-letters"
FIELD: Final = re.compile(rb"<(\w+)><!\[CDATA\[(.*?)\]\]></\1>", re.DOTALL)
LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n"


#: The account of this merchant is answered after so many seconds, by the process only.
SLOW_SUB_MCH_ID: Final = "1900000199"
SLOW_S: Final = 10.0
SLOW: Final = f"<sub_mch_id><![CDATA[{SLOW_SUB_MCH_ID}]]></sub_mch_id>".encode()


def account(mchid: str, account_id: str, sub_mch_id: str = "1900000110") -> WeChatAccount:
    """The account of a merchant at this wallet."""
    return WeChatAccount(
        account_id=account_id,
        mchid=mchid,
        currency="HKD",
        mch_id="1900000109",
        appid="wx1111111111111111",
        key=Secret(KEY),
        certificate="",
        certificate_key=Secret(""),
        sign_type="MD5",
        sub_mch_id=sub_mch_id,
        sub_appid="wx2222222222222222",
        supports_wechat_hk=True,
    )


def answer(request: bytes) -> bytes:
    """The answer to a `micropay`: paid, now; to an `orderquery`: not paid yet."""
    sent = {name.decode(): value.decode() for name, value in FIELD.findall(request)}
    return _signed(_paid(sent) if "auth_code" in sent else _not_paid(sent))


def _not_paid(sent: Mapping[str, str]) -> dict[str, str]:
    echoed = ("appid", "mch_id", "sub_mch_id", "nonce_str", "out_trade_no")
    return {
        "return_code": "SUCCESS",
        "result_code": "SUCCESS",
        "trade_state": "NOTPAY",
        **{name: sent[name] for name in echoed},
    }


def _paid(sent: Mapping[str, str]) -> dict[str, str]:
    number = sent["out_trade_no"]
    return {
        "return_code": "SUCCESS",
        "result_code": "SUCCESS",
        "appid": sent["appid"],
        "mch_id": sent["mch_id"],
        "sub_mch_id": sent["sub_mch_id"],
        "nonce_str": sent["nonce_str"],
        "openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o",
        "trade_type": "MICROPAY",
        "bank_type": "CMC",
        "total_fee": sent["total_fee"],
        "fee_type": sent["fee_type"],
        "transaction_id": "4200" + number[-24:],
        "out_trade_no": number,
        "time_end": datetime.now(UTC8).strftime("%Y%m%d%H%M%S"),
    }


def _signed(fields: dict[str, str]) -> bytes:
    text = "&".join(f"{name}={fields[name]}" for name in sorted(fields)) + f"&key={KEY}"
    fields["sign"] = hashlib.md5(text.encode()).hexdigest().upper()
    body = "".join(f"<{name}><![CDATA[{value}]]></{name}>" for name, value in fields.items())
    return f"<xml>{body}</xml>".encode()


@dataclass(slots=True)
class StubTransport(Transport):
    """The gateway's transport port, answered without a connection. `delay_s` is how long an answer takes."""

    delay_s: float = 0.0

    async def call(self, method: str, url: str, *, body: bytes = b"", **_: Any) -> Result:
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        return Answer(200, {"content-type": "text/xml"}, answer(body))


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with a body of known length, kept alive."""

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            found = LENGTH.search(self._received, 0, end + 2)
            size = int(found.group(1)) if found else 0
            if len(self._received) < end + 4 + size:
                return
            request = self._received[end + 4 : end + 4 + size]
            self._received = self._received[end + 4 + size :]
            body = answer(request)
            response = HEAD % len(body) + body
            if SLOW in request:
                asyncio.get_running_loop().call_later(SLOW_S, self._transport.write, response)
            else:
                self._transport.write(response)


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", port, backlog=1024)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
