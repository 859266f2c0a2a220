"""Receives webhooks: verifies each, says what it tells, and answers SUCCESS, or 400 to what the gateway did not send.

Python's own library is enough. Tell the gateway where: `tael app set 123456 --notify-url http://127.0.0.1:8080/told`.
Amounts are whole minor units: 1250 of HKD is 12.50. The same webhook may come more than once: book by `syssn`, once.
"""

import hashlib
import hmac
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

PORT = int(os.environ.get("PORT", "8080"))
KEY = os.environ.get("KEY", "123456")
MOST_BYTES = 64 * 1024
PAID = "0000"


def is_genuine(body: bytes, sign: str) -> bool:
    """Whether the gateway wrote it, in whichever of the two styles the app has."""
    signatures = [hashlib.md5(text + KEY.encode()).hexdigest() for text in (body, sorted_text(body))]
    return any(hmac.compare_digest(one.encode(), sign.lower().encode()) for one in signatures)


def sorted_text(body: bytes) -> bytes:
    """The text of the older style: members by name, `name=value` joined with `&`, numbers as they are written."""
    members = json.loads(body, parse_int=str)
    return "&".join(f"{name}={members[name]}" for name in sorted(members)).encode()


class Receiver(BaseHTTPRequestHandler):
    """Answers quickly: the gateway waits ten seconds, and comes again after anything but a 200 that says SUCCESS."""

    def do_POST(self) -> None:
        body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), MOST_BYTES))
        try:
            is_known = is_genuine(body, self.headers.get("X-QF-SIGN", ""))
        except (ValueError, AttributeError, TypeError):  # no JSON, or not an object of it
            is_known = False
        if is_known:
            members = json.loads(body)
            what = "paid" if members["respcd"] == PAID else f"told {members['respcd']}"
            print(f"{what}: order {members['out_trade_no']}, {members['txamt']} minor units", flush=True)
        self._answer(200 if is_known else 400, b"SUCCESS" if is_known else b"not signed by the gateway")

    def _answer(self, status: int, text: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Nothing: what matters is printed above."""


def main() -> int:
    with HTTPServer(("127.0.0.1", PORT), Receiver) as server:
        print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
