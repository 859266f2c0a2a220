"""Receives webhooks: verifies each, prints it, and responds with SUCCESS, or with 400 if the signature is wrong.

Needs only Python's standard library. Set the address with
`tael app set 123456 --notify-url http://127.0.0.1:8080/webhook`. STYLE in the environment is your app's style, "old" or
"new": app 123456 of the demo has the old style, apps added with `tael app add` have the new one. A webhook is verified
in this style only. Amounts are in minor units: 1250 of HKD is 12.50.
"""

import hashlib
import hmac
import json
import os
import re
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

PORT = int(os.environ.get("PORT", "8080"))
KEY = os.environ.get("KEY", "123456")
STYLE = os.environ.get("STYLE", "old")
MAX_BYTES = 64 * 1024
DONE = "0000"
#: All members that an old-style webhook can have, and the form of each. The signed text does not escape `&` and `=`, so
#: only these forms prevent a signed request or link from being split into a webhook.
FORMS = {
    "mchid": r"[A-Za-z0-9_-]{1,64}",
    "syssn": r"[0-9]{1,40}",
    "pay_type": r"[0-9]{6}",
    "out_trade_no": r"[!#$(-*\--<>-\[\]-~]{1,128}",  # ASCII without spaces , & = % + quotes and backslash
    "txamt": r"[1-9][0-9]{0,10}",
    "respcd": r"[0-9]{4}",
    "txdtm": r"([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2})?",
    "respmsg": r"[^&=]*",
    "respmesg": r"[^&=]*",
    "udid": r"[^&]*(&(?!\w+=)[^&]*)*",
}
REQUIRED = {"mchid", "syssn", "pay_type", "out_trade_no", "txamt", "respcd"}
MESSAGES = {"respmsg", "respmesg"}  # at least one of them; no request has either


def verified(body: bytes, sign: str) -> dict[str, Any]:
    """The members of a webhook signed with our key. Raises ValueError otherwise."""
    if not body.startswith(b"{"):
        raise ValueError("not a JSON object")
    members: dict[str, Any] = json.loads(body, parse_int=str, object_pairs_hook=without_duplicates)
    text = body if STYLE == "new" else old_text(members)
    if STYLE == "new" and "notify_type" not in members:
        raise ValueError("not a webhook of the new style")  # responses are signed in the same way
    expected = hashlib.md5(text + KEY.encode()).hexdigest()
    if not hmac.compare_digest(expected.encode(), sign.lower().encode()):
        raise ValueError("not signed with our key")
    return members


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member occurs twice")
    return members


def old_text(members: dict[str, Any]) -> bytes:
    """The signed text of the old style: `name=value` sorted by name, joined with `&`, numbers as written."""
    is_whole = REQUIRED <= members.keys() <= FORMS.keys() and not MESSAGES.isdisjoint(members)
    if not is_whole or not all(has_form(name, value) for name, value in members.items()):
        raise ValueError("not a webhook of the old style")
    return "&".join(f"{name}={members[name]}" for name in sorted(members)).encode()


def has_form(name: str, value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(FORMS[name], value) is not None


def book(members: dict[str, Any]) -> None:
    """Replace this with your own code: compare `txamt` (and `txcurrcd`) with your order, and record each `syssn` once,
    since webhooks can be repeated. This example only prints it.
    """
    kind = members.get("notify_type", "payment")  # the old style has payments only
    what = {"payment": "paid", "refund": "refunded"}.get(kind) if members.get("respcd") == DONE else None
    what = what or f"{kind} {members.get('respcd')}"
    print(f"{what}: order {members.get('out_trade_no')}, {members.get('txamt')} minor units", flush=True)


class Receiver(BaseHTTPRequestHandler):
    """Responds quickly: the gateway waits ten seconds, and repeats after anything but a 200 with SUCCESS."""

    def do_POST(self) -> None:
        try:
            body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), MAX_BYTES))
            members = verified(body, self.headers.get("X-QF-SIGN", ""))
        except (ValueError, RecursionError):
            self._answer(400, b"not a webhook of ours")
            return
        book(members)
        self._answer(200, b"SUCCESS")

    def _answer(self, status: int, text: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Log nothing: `book` prints what matters."""


def main() -> int:
    if STYLE not in ("old", "new"):
        print("receive_webhook: STYLE must be old or new", file=sys.stderr)
        return 1
    with HTTPServer(("127.0.0.1", PORT), Receiver) as server:
        print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
