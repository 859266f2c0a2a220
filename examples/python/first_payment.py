"""A merchant's first day: paid at the till and refunded, paid online, closed, reversed. Python's own library is enough.

Amounts are whole minor units: 1250 of HKD is 12.50. Times are those of Hong Kong and Beijing, UTC+8.
Run it while the demo runs; GATEWAY, SANDBOX, APPCODE, KEY and MCHID in the environment lead it elsewhere.
"""

import hashlib
import hmac
import json
import os
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
FIRST_REST_S, NEXT_REST_S, MOST_QUERIES = 5, 10, 12
#: A webhook that once came, its `X-QF-SIGN`, and the key of its app.
WEBHOOK = (
    b'{"pay_type": "800151", "txdtm": "2017-06-15 10:21:37", "mchid": "eqqmYMn0Zj6pncw5ZDxjgMqbzV", "txamt": 10, '
    b'"respmsg": "", "out_trade_no": "A", "syssn": 201706150902990034076180, "respcd": "0000"}'
)
WEBHOOK_SIGN, WEBHOOK_KEY = "67A4F8CD7C48E6E1900F300D803A0F67", "123456"


class Failed(Exception):
    """Not what this program was told to expect; the message is for whoever runs it."""


# ---- the wire --------------------------------------------------------------------------------------------------------


def signature(text: bytes, key: str = KEY) -> str:
    return hashlib.md5(text + key.encode()).hexdigest().upper()


def signed_text(parameters: dict[str, str]) -> str:
    """`name=value`, sorted by name, joined with `&`; not encoded. The key comes straight behind it."""
    return "&".join(f"{name}={parameters[name]}" for name in sorted(parameters))


def call(name: str, **parameters: str) -> dict[str, Any]:
    """One call of /trade/v1. Believes no answer whose signature is not right. Raises Failed, OSError."""
    parameters |= {"mchid": MCHID}
    sign = signature(signed_text(parameters).encode())
    request = urllib.request.Request(
        f"{GATEWAY}/trade/v1/{name}",
        urllib.parse.urlencode(parameters).encode(),
        {"X-QF-APPCODE": APPCODE, "X-QF-SIGN": sign},
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        body, answer_sign = answer.read(), answer.headers.get("X-QF-SIGN")
    members: dict[str, Any] = json.loads(body)
    if answer_sign != signature(body):
        raise Failed(
            f"{name}: {members['respcd']} {members['resperr']}, and the answer is not signed with our key"
        )
    return members


def payer(name: str, **asked: str) -> dict[str, Any]:
    """The payer's hand: a control call of the sandbox, which a merchant in real life does not have."""
    request = urllib.request.Request(f"{SANDBOX}/control/{name}", json.dumps(asked).encode())
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        done: dict[str, Any] = json.load(answer)
    return done


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
    """Open a payment. No answer, or 1145, is not a no: we ask how it stands, and never pay again blindly."""
    try:
        answer = call("payment", out_trade_no=reference, txdtm=now(), **order)
    except TimeoutError:
        answer = {"respcd": PENDING}
    return decided(answer, reference)


def decided(answer: dict[str, Any], reference: str) -> dict[str, Any]:
    """`answer` once it is a yes or a no: after 5 seconds, and then every 10."""
    rest_s = FIRST_REST_S
    for _ in range(MOST_QUERIES):
        if answer["respcd"] not in (PENDING, REFUND_PENDING):
            return answer
        time.sleep(rest_s)
        rest_s = NEXT_REST_S
        answer = query(reference)
    raise Failed(f"{reference} is still not decided; at the till you would reverse it now")


def is_genuine_webhook(body: bytes, sign: str, key: str) -> bool:
    """Members by name, joined as in a request; numbers as they are written, empty ones too. Then the key."""
    members = json.loads(body, parse_int=str)
    return hmac.compare_digest(signature(signed_text(members).encode(), key), sign.upper())


# ---- the day ---------------------------------------------------------------------------------------------------------


def expect(what: str, answer: dict[str, Any], respcd: str = OK) -> None:
    print(f"{what:<28} {answer['respcd']}")
    if answer["respcd"] != respcd:
        raise Failed(f"{what}: {respcd} was expected, not {answer['respcd']} {answer.get('errmsg', '')}")


def at_the_till(day: str) -> None:
    """We scan the code on the payer's phone, and give a part back later."""
    code = payer("codes", wallet="alipay")["auth_code"]
    paid = pay(
        f"{day}-till", pay_type="800108", txamt="1250", auth_code=code, product_name="凍檸茶 Lemon tea"
    )
    expect("paid at the till", paid)
    refund = call("refund", syssn=paid["syssn"], out_trade_no=f"{day}-back", txamt="450", txdtm=now())
    expect("4.50 refunded", decided(refund, f"{day}-back"))
    expect("the refund, asked for", query(f"{day}-back"))


def on_a_web_page(day: str) -> None:
    """We show a QR code, the payer scans it. 0000 says that the order is open; a query says when it is paid."""
    order = pay(f"{day}-web", pay_type="800201", txamt="2500", product_name="Two cups of tea")
    expect("order with a QR code", order)
    expect("not paid yet", query(f"{day}-web"), PENDING)
    payer("confirm", url=order["qrcode"], action="pay")
    expect("paid by the payer", decided(query(f"{day}-web"), f"{day}-web"))


def given_up(day: str) -> None:
    """An order that nobody pays is closed, a payment at the till that should not have been is reversed."""
    expect("order for nobody", pay(f"{day}-left", pay_type="800201", txamt="990"))
    expect("closed", call("close", out_trade_no=f"{day}-left", txamt="990", txdtm=now()))
    code = payer("codes", wallet="wechat")["auth_code"]
    expect("paid by mistake", pay(f"{day}-oops", pay_type="800208", txamt="5000", auth_code=code))
    expect("reversed", call("reversal", out_trade_no=f"{day}-oops", txamt="5000", txdtm=now()))


def told_by_webhook() -> None:
    """What the gateway posts to your notify URL; receive_webhook.py takes it from there."""
    if not is_genuine_webhook(WEBHOOK, WEBHOOK_SIGN, WEBHOOK_KEY):
        raise Failed("an honest webhook was taken for a forged one")
    if is_genuine_webhook(WEBHOOK.replace(b"10,", b"11,"), WEBHOOK_SIGN, WEBHOOK_KEY):
        raise Failed("a forged webhook was taken for an honest one")
    print("webhooks told apart")


def main() -> int:
    day = f"py-{time.time_ns()}"
    print(f"{'order numbers begin with':<28} {day}")
    try:
        at_the_till(day)
        on_a_web_page(day)
        given_up(day)
        told_by_webhook()
    except (Failed, OSError) as problem:
        print(f"first_payment: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
