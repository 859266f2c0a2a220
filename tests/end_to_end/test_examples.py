"""The programs in `examples/`, run as a reader runs them: against a demo, judged by the wallets' own books."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.end_to_end.merchant import Merchant
from tests.end_to_end.rig import END_LIMIT_S, ROOT, Demo, Members, free_port_block

EXAMPLES: Final = ROOT / "examples"
RUN_LIMIT_S: Final = 120
#: What runs each, as the reader would type it, and what has to be installed for that.
FIRST_PAYMENTS: Final = {
    "python": ([sys.executable, "python/first_payment.py"], "python3"),
    "php": (["php", "php/first_payment.php"], "php"),
    "java": (["java", "java/FirstPayment.java"], "java"),
    "curl": (["bash", "curl/first_payment.sh"], "curl"),
}
STEPS: Final = [
    "paid at the till             0000",
    "4.50 refunded                0000",
    "the refund, asked for        0000",
    "order with a QR code         0000",
    "not paid yet                 1145",
    "paid by the payer            0000",
    "order for nobody             0000",
    "closed                       0000",
    "paid by mistake              0000",
    "reversed                     0000",
    "webhooks told apart",
]
#: A webhook that QFPay once sent, and what it was signed with: in the older style, and over the bytes.
WEBHOOK: Final = (
    b'{"pay_type": "800151", "txdtm": "2017-06-15 10:21:37", "mchid": "eqqmYMn0Zj6pncw5ZDxjgMqbzV", "txamt": 10, '
    b'"respmsg": "", "out_trade_no": "A", "syssn": 201706150902990034076180, "respcd": "0000"}'
)
WEBHOOK_SIGNS: Final = ("67A4F8CD7C48E6E1900F300D803A0F67", "E5458FD1705D723733F85F06E6101D6A")


def run(command: list[str], shop: Merchant, **settings: str) -> "subprocess.CompletedProcess[str]":
    named = {"APPCODE": shop.appcode, "KEY": shop.key, "MCHID": shop.mchid}
    places = {"GATEWAY": shop.demo.gateway, "SANDBOX": shop.demo.sandbox}
    return subprocess.run(
        command,
        cwd=EXAMPLES,
        env={"PATH": os.environ["PATH"]} | places | named | settings,
        capture_output=True,
        encoding="utf-8",
        timeout=RUN_LIMIT_S,
    )


def command_of(language: str) -> list[str]:
    command, needs = FIRST_PAYMENTS[language]
    if shutil.which(needs) is None:
        pytest.skip(f"no {needs} on this machine to run examples/{command[-1]}")
    return command


def lemon_teas(demo: Demo) -> int:
    """How often the payers' histories name it, as the wallet understood it."""
    return httpx.get(f"{demo.sandbox}/?wallet=alipay", trust_env=False).text.count("凍檸茶 Lemon tea")


@pytest.mark.parametrize("language", FIRST_PAYMENTS)
def test_a_first_payment_does_what_it_prints(language: str, shop: Merchant) -> None:
    demo = shop.demo
    command, before = command_of(language), lemon_teas(demo)

    done = run(command, shop)

    assert (done.returncode, done.stderr) == (0, "")
    first, *steps = done.stdout.splitlines()
    assert steps == STEPS
    assert lemon_teas(demo) == before + 2  # paid, and given back in part
    day = first.split()[-1]
    orders = {row["out_trade_no"].removeprefix(f"{day}-"): row for row in rows_of(shop, day)}
    assert orders.keys() == {"till", "back", "web", "left", "oops"}
    held = {name: demo.held(orders[name]["syssn"]) for name in ("till", "web", "left", "oops")}
    assert held == {"till": 800, "web": 2500, "left": 0, "oops": 0}
    assert [trade["state"] for trade in demo.trades(orders["left"]["syssn"])] == ["CLOSED"]


def rows_of(shop: Merchant, day: str) -> list[Members]:
    names = ("till", "back", "web", "left", "oops")
    return shop.rows(out_trade_no=",".join(f"{day}-{name}" for name in names))


@pytest.mark.parametrize("language", FIRST_PAYMENTS)
def test_a_first_payment_with_a_wrong_key_says_so_and_stops(language: str, shop: Merchant) -> None:
    done = run(command_of(language), shop, KEY="not the key")

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert re.fullmatch(r"first_payment: payment: 1108.*, and the answer is not signed with our key", line)


def test_the_client_s_example_pays_refunds_and_closes(shop: Merchant) -> None:
    done = run([sys.executable, "python/with_tael_client.py"], shop)

    assert (done.returncode, done.stderr) == (0, "")
    till, refunded, order, closed = done.stdout.splitlines()
    assert (till, refunded, closed) == ("paid at the till", "4.50 refunded", "closed")
    assert shop.demo.scan(order.split()[-1])["state"] == "CLOSED"


@pytest.mark.parametrize("sign", WEBHOOK_SIGNS)
def test_the_receiver_takes_a_webhook_in_either_style_and_no_forgery(sign: str) -> None:
    with receiving() as (url, process):
        honest = post(url, WEBHOOK, sign)
        forged = [
            post(url, WEBHOOK.replace(b"10,", b"99,"), sign),
            post(url, WEBHOOK, "0" * 32),
            post(url, b"[]", sign),
            post(url, b"\xff", sign),
            post(url, b"", ""),
        ]
        process.terminate()
        said, _ = process.communicate(timeout=END_LIMIT_S)

    assert (honest.status_code, honest.text) == (200, "SUCCESS")
    assert [answer.status_code for answer in forged] == [400] * 5
    assert said.splitlines() == ["paid: order A, 10 minor units"]


@contextmanager
def receiving() -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """The receiver, started, and where it listens."""
    process = subprocess.Popen(
        [sys.executable, str(Path("python", "receive_webhook.py"))],
        cwd=EXAMPLES,
        env={"PATH": os.environ["PATH"], "PORT": str(free_port_block()), "KEY": "123456"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[-1], process
    finally:
        process.kill()
        process.communicate()


def post(url: str, body: bytes, sign: str) -> httpx.Response:
    return httpx.post(url, content=body, headers={"X-QF-SIGN": sign}, trust_env=False)
