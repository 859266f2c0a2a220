"""The same first day by `tael-client`, which signs, proves, repeats where that is safe, and waits as one should.

Amounts are `Money` in minor units. Run it while the demo runs, by a Python that has `tael-client` installed.
"""

import json
import os
import sys
import time
import urllib.request

from tael_client import Client, Credentials, Money, Paid, PaymentOrder, TaelClientError

GATEWAY = os.environ.get("GATEWAY", "http://127.0.0.1:8000")
SANDBOX = os.environ.get("SANDBOX", "http://127.0.0.1:8001")
CREDENTIALS = Credentials(
    appcode=os.environ.get("APPCODE", "123456"),
    key=os.environ.get("KEY", "123456"),
    mchid=os.environ.get("MCHID", "eqqmYMn0Zj6pncw5ZDxjgMqbzV"),
)
TIMEOUT_S = 30


def payer(name: str, **asked: str) -> dict[str, str]:
    """The payer's hand: a control call of the sandbox, which a merchant in real life does not have."""
    request = urllib.request.Request(f"{SANDBOX}/control/{name}", json.dumps(asked).encode())
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        done: dict[str, str] = json.load(answer)
    return done


def live_through(client: Client, day: str) -> None:
    code = payer("codes", wallet="alipay")["auth_code"]
    lemon_tea = PaymentOrder.alipay_barcode(
        f"{day}-till", Money(1250, "HKD"), code, product_name="凍檸茶 Lemon tea"
    )
    result = client.pay_and_wait(lemon_tea, on_deadline="reverse")
    if not isinstance(result, Paid):
        raise SystemExit(f"with_tael_client: not paid: {result}")
    print("paid at the till")
    client.refund(result.syssn, f"{day}-back", Money(450, "HKD"))
    print("4.50 refunded")

    order = client.payment(PaymentOrder.wechat_qr(f"{day}-web", Money(2500, "HKD")))
    print("order with a QR code", order.qr_code)
    client.close(reference=f"{day}-web")
    print("closed")


def main() -> int:
    try:
        with Client(GATEWAY, CREDENTIALS) as client:
            live_through(client, f"sdk-{time.time_ns()}")
    except (TaelClientError, OSError) as problem:
        print(f"with_tael_client: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
