"""First payments: a barcode payment with a refund, an online payment, a close, a reversal. Standard library only.

Amounts are in minor units: 1250 of HKD is 12.50. Times are in UTC+8, the time of Hong Kong and Beijing.
Start the demo first, or set GATEWAY, SANDBOX, APPCODE, KEY and MCHID in the environment for another server.
"""

import hashlib
import hmac
import json
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from datetime import datetime, timedelta, timezone
from typing import Any

GATEWAY = os.environ.get("GATEWAY", "http://127.0.0.1:8000")
SANDBOX = os.environ.get("SANDBOX", "http://127.0.0.1:8001")
APPCODE = os.environ.get("APPCODE", "123456")
KEY = os.environ.get("KEY", "123456")
MCHID = os.environ.get("MCHID", "eqqmYMn0Zj6pncw5ZDxjgMqbzV")

TIMEOUT_S = 30
OK, PENDING, REFUND_PENDING = "0000", "1145", "2999"
FIRST_REST_S, NEXT_REST_S, MAX_QUERIES = 5, 10, 12
#: A genuine webhook in the old style, its `X-QF-SIGN`, and the key of its app.
WEBHOOK = (
    b'{"pay_type": "800151", "txdtm": "2017-06-15 10:21:37", "mchid": "eqqmYMn0Zj6pncw5ZDxjgMqbzV", "txamt": 10, '
    b'"respmsg": "", "out_trade_no": "A", "syssn": 201706150902990034076180, "respcd": "0000"}'
)
WEBHOOK_SIGN, WEBHOOK_KEY = "67A4F8CD7C48E6E1900F300D803A0F67", "123456"
#: Forged by a payer from a checkout link that the merchant signed with the same key. The payer had entered the product
#: name `Tea&mchid=M&out_trade_no=ORDER-7&...&t=`, and split the signed text at each `&` of it. The signature is the
#: link's.
FORGED = (
    b'{"appcode": "123456", "failed_url": "https://m.example/f", "goods_name": "Tea", "mchid": "M", '
    b'"out_trade_no": "ORDER-7", "pay_type": "800201", "respcd": "0000", "respmsg": "", '
    b'"syssn": "202611280900990000000015", "t": "&out_trade_no=TEA-1&paysource=tea_checkout'
    b'&return_url=https://m.example/r&sign_type=md5", "txamt": "500000", "txdtm": "2026-11-28 09:00:00"}'
)
FORGED_SIGN = "DE8559C2A638D4839C7FE76CC89FAB10"
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


class Failed(Exception):
    """A result that this program did not expect."""


# ---- the wire --------------------------------------------------------------------------------------------------------


def signature(text: bytes, key: str = KEY) -> str:
    return hashlib.md5(text + key.encode()).hexdigest().upper()


def signed_text(parameters: dict[str, str]) -> str:
    """`name=value` sorted by name and joined with `&`, not encoded. The key follows it directly."""
    return "&".join(f"{name}={parameters[name]}" for name in sorted(parameters))


def without_ampersand(typed: str) -> str:
    """Make text from customers safe for a parameter. The signed text is not encoded: `&name=` inside a value could be
    read as a parameter of its own. The fullwidth sign looks the same and separates nothing.
    """
    return typed.replace("&", "＆")


def call(name: str, **parameters: str) -> dict[str, Any]:
    """One call of /trade/v1. Raises Failed for a response without a valid signature, and OSError."""
    parameters |= {"mchid": MCHID}
    sign = signature(signed_text(parameters).encode())
    request = urllib.request.Request(
        f"{GATEWAY}/trade/v1/{name}",
        urllib.parse.urlencode(parameters).encode(),
        {"X-QF-APPCODE": APPCODE, "X-QF-SIGN": sign},
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        body, answer_sign = answer.read(), answer.headers.get("X-QF-SIGN", "")
    members: dict[str, Any] = json.loads(body)
    if not hmac.compare_digest(signature(body).encode(), answer_sign.upper().encode()):
        raise Failed(
            f"{name}: {members['respcd']} {members['resperr']}, and the answer is not signed with our key"
        )
    return members


def payer(name: str, **members: str) -> dict[str, Any]:
    """Act as the payer with a control call of the sandbox. A live gateway has no such calls."""
    request = urllib.request.Request(f"{SANDBOX}/control/{name}", json.dumps(members).encode())
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        result: dict[str, Any] = json.load(answer)
    return result


def now() -> str:
    return datetime.now(timezone(timedelta(hours=8))).strftime("%Y-%m-%d %H:%M:%S")


# ---- what every merchant's program needs -----------------------------------------------------------------------------


def query(reference: str) -> dict[str, Any]:
    """The row of one payment or refund."""
    rows = call("query", out_trade_no=reference)["data"]
    if not rows:
        raise Failed(f"{reference} is not known to the gateway")
    row: dict[str, Any] = rows[0]
    return row


def pay(reference: str, **order: str) -> dict[str, Any]:
    """Open a payment. No response, or 1145, does not mean failed: query the payment, never just pay again."""
    try:
        answer = call("payment", out_trade_no=reference, txdtm=now(), **order)
    except TimeoutError:
        answer = {"respcd": PENDING}
    return decided(answer, reference)


def decided(answer: dict[str, Any], reference: str) -> dict[str, Any]:
    """Query until the result is final: after 5 seconds, and then every 10."""
    rest_s = FIRST_REST_S
    for _ in range(MAX_QUERIES):
        if answer["respcd"] not in (PENDING, REFUND_PENDING):
            return answer
        time.sleep(rest_s)
        rest_s = NEXT_REST_S
        answer = query(reference)
    raise Failed(f"{reference} is still not decided; at the till you would reverse it now")


def verified_webhook(body: bytes, sign: str, key: str) -> dict[str, str] | None:
    """The members of a webhook of the old style (the style of app 123456), if signed with our key, else None.

    The signed text is that of a request, with all members including empty ones, and numbers as written. Never accept
    both styles. Before you record the payment, compare `txamt` with your own order; record each `syssn` once.
    """
    try:
        members = json.loads(body, parse_int=str, object_pairs_hook=without_duplicates)
        if not is_old_webhook(members):
            return None
        expected = signature(signed_text(members).encode(), key)
    except (ValueError, RecursionError):
        return None
    return members if hmac.compare_digest(expected.encode(), sign.upper().encode()) else None


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member occurs twice")
    return members


def is_old_webhook(members: Any) -> bool:
    return (
        isinstance(members, dict)
        and REQUIRED <= members.keys() <= FORMS.keys()
        and not MESSAGES.isdisjoint(members)
        and all(
            isinstance(value, str) and re.fullmatch(FORMS[name], value) for name, value in members.items()
        )
    )


# ---- the payments ----------------------------------------------------------------------------------------------------


def expect(what: str, answer: dict[str, Any], respcd: str = OK) -> None:
    print(f"{what:<28} {answer['respcd']}")
    if answer["respcd"] != respcd:
        raise Failed(f"{what}: {respcd} was expected, not {answer['respcd']} {answer.get('errmsg', '')}")


def at_the_till(day: str) -> None:
    """Scan the barcode on the payer's phone, and refund a part later."""
    code = payer("codes", wallet="alipay")["auth_code"]
    paid = pay(
        f"{day}-till", pay_type="800108", txamt="1250", auth_code=code, product_name="凍檸茶 Lemon tea"
    )
    expect("paid at the till", paid)
    refund = call("refund", syssn=paid["syssn"], out_trade_no=f"{day}-back", txamt="450", txdtm=now())
    expect("4.50 refunded", decided(refund, f"{day}-back"))
    expect("refund queried", query(f"{day}-back"))


def on_a_web_page(day: str) -> None:
    """Show a QR code for the payer to scan. 0000 means that the order is open; a query shows when it is paid."""
    typed = "Tea & biscuits"
    order = pay(f"{day}-web", pay_type="800201", txamt="2500", product_name=without_ampersand(typed))
    expect("order with a QR code", order)
    expect("not paid yet", query(f"{day}-web"), PENDING)
    payer("confirm", url=order["qrcode"], action="pay")
    expect("paid by the payer", decided(query(f"{day}-web"), f"{day}-web"))


def undo(day: str) -> None:
    """Close an unpaid order, and reverse a barcode payment that was made by mistake."""
    expect("unpaid order", pay(f"{day}-left", pay_type="800201", txamt="990"))
    expect("closed", call("close", out_trade_no=f"{day}-left", txamt="990", txdtm=now()))
    code = payer("codes", wallet="wechat")["auth_code"]
    expect("paid by mistake", pay(f"{day}-oops", pay_type="800208", txamt="5000", auth_code=code))
    expect("reversed", call("reversal", out_trade_no=f"{day}-oops", txamt="5000", txdtm=now()))


def receive_webhooks() -> None:
    """Verify what the gateway posts to your notify URL; receive_webhook.py is a server that receives it."""
    if verified_webhook(WEBHOOK, WEBHOOK_SIGN, WEBHOOK_KEY) is None:
        raise Failed("a genuine webhook was refused")
    for body, sign in ((WEBHOOK.replace(b"10,", b"11,"), WEBHOOK_SIGN), (FORGED, FORGED_SIGN)):
        if verified_webhook(body, sign, WEBHOOK_KEY) is not None:
            raise Failed("a forged webhook was accepted")
    print("webhooks verified")


def main() -> int:
    day = f"py-{time.time_ns()}"
    print(f"{'order numbers begin with':<28} {day}")
    try:
        at_the_till(day)
        on_a_web_page(day)
        undo(day)
        receive_webhooks()
    except (Failed, OSError) as problem:
        print(f"first_payment: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
