"""First payments with `tael-client`, which signs requests, verifies responses, repeats safely and waits for results.

Amounts are `Money` in minor units. Start the demo first, and use a Python that has `tael-client` installed.
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


def payer(name: str, **members: str) -> dict[str, str]:
    """Acts as the payer with a control call of the sandbox. A live gateway has no such calls."""
    request = urllib.request.Request(f"{SANDBOX}/control/{name}", json.dumps(members).encode())
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        result: dict[str, str] = json.load(response)
    return result


def make_payments(client: Client, day: str) -> None:
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
            make_payments(client, f"sdk-{time.time_ns()}")
    except (TaelClientError, OSError) as problem:
        print(f"with_tael_client: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
