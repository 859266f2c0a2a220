"""The programs in `examples/`, run as a reader runs them, against a demo, and checked with the wallets' books."""

import base64
import json
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
from tests.support.forged_webhooks import KEY, Posted, forgeries, over_bytes

EXAMPLES: Final = ROOT / "examples"
RUN_LIMIT_S: Final = 120
LEMON_TEA: Final = "凍檸茶 Lemon tea"
#: Entered with a plain `&`, which is replaced before signing.
BISCUITS: Final = "Tea ＆ biscuits"
#: The command of each, as a reader types it, and the program that it needs.
FIRST_PAYMENTS: Final = {
    "python": ([sys.executable, "python/first_payment.py"], "python3"),
    "php": (["php", "php/first_payment.php"], "php"),
    "java": (["java", "java/FirstPayment.java"], "java"),
    "curl": (["bash", "curl/first_payment.sh"], "curl"),
}
RECEIVER: Final = [sys.executable, "python/receive_webhook.py"]
STEPS: Final = [
    "paid at the till             0000",
    "4.50 refunded                0000",
    "refund queried               0000",
    "order with a QR code         0000",
    "not paid yet                 1145",
    "paid by the payer            0000",
    "unpaid order                 0000",
    "closed                       0000",
    "paid by mistake              0000",
    "reversed                     0000",
    "webhooks verified",
]
VECTORS: Final[Members] = json.loads((ROOT / "tests" / "vectors" / "qfpay.json").read_text("utf-8"))
#: A body that QFPay once sent, with whole numbers. Signed over its bytes it would be a response, not a webhook.
OLD_BODY: Final = (
    b'{"pay_type": "800151", "txdtm": "2017-06-15 10:21:37", "mchid": "eqqmYMn0Zj6pncw5ZDxjgMqbzV", "txamt": 10, '
    b'"respmsg": "", "out_trade_no": "A", "syssn": 201706150902990034076180, "respcd": "0000"}'
)
NEW: Final[Members] = next(vector for vector in VECTORS["new_webhooks"] if vector["name"] == "N4")
#: A genuine webhook in each style, and the receiver's output.
WEBHOOKS: Final = {
    "old": (Posted(OLD_BODY, "67A4F8CD7C48E6E1900F300D803A0F67"), "paid: order A, 10 minor units"),
    "new": (
        Posted(NEW["body"].encode(), NEW["sign"]),
        "paid: order YEPE7WTW46NVU30JW5N90H7DHD94N56B, 10 minor units",
    ),
}


#: Whole texts and what a reader that follows the standard makes of them, None where it refuses. Numbers stay as written
JSON_TEXTS: Final[dict[str, Members | None]] = {
    " { } ": {},
    '{"a": 201706150902990034076180, "b": -1.25E-2}': {"a": "201706150902990034076180", "b": "-1.25E-2"},
    r'{"\u0061": "\u51cd\/\n\ud83d\ude00"}': {"a": "凍/\n😀"},
    '{"rows": [{"a": "}"}, {"a": "b\\"c, "}], "n": []}': {"rows": [{"a": "}"}, {"a": 'b"c, '}], "n": []},
    **dict.fromkeys(['{"a": 1', '{"a": 1}x', '{"a": 1,}', '{"a" 1}', "{a: 1}", "[]", "1", ""]),
    **dict.fromkeys(['{"a": 01}', '{"a": .5}', '{"a": NaN}', '{"a": 1.}', '{"a": +1}', '{"a": １}']),
    **dict.fromkeys(
        [r'{"a": "\x"}', r'{"a": "\u12g4"}', '{"a": "\n"}', '{"a": "', '{"a": "\\', r'{"a": "\ud83d"}']
    ),
    **dict.fromkeys(['{"a": 1, "a": 1}', '{"a": {"b": 1, "b": 2}}', f'{{"a": {"[" * 9999}{"]" * 9999}}}']),
}
#: Prints of each text what the Java example reads, and of each webhook whether it is taken. Arguments are in Base64.
JAVA_PROBE: Final = """
import java.nio.charset.StandardCharsets;
import java.util.Base64;

class Probe {
  public static void main(String[] arguments) throws Exception {
    for (String line : new String(System.in.readAllBytes(), StandardCharsets.UTF_8).split("\\n")) {
      String[] parts = line.split(" ", -1);
      String text = new String(Base64.getDecoder().decode(parts[0]), StandardCharsets.UTF_8);
      String read;
      try {
        read = FirstPayment.Json.object(text).toString();
      } catch (Exception refused) {
        read = "refused";
      }
      String seen = read + " " + FirstPayment.verifiedWebhook(text, parts[1], "123456").isPresent();
      System.out.println(Base64.getEncoder().encodeToString(seen.getBytes(StandardCharsets.UTF_8)));
    }
  }
}
"""


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


def named_in_wallet(demo: Demo, wallet: str, product_name: str) -> int:
    """How often the payers' histories at the wallet name it."""
    return httpx.get(f"{demo.sandbox}/?wallet={wallet}", trust_env=False).text.count(product_name)


@pytest.mark.parametrize("language", FIRST_PAYMENTS)
def test_a_first_payment_does_what_it_prints(language: str, shop: Merchant) -> None:
    demo = shop.demo
    command = command_of(language)
    before, biscuits_before = (
        named_in_wallet(demo, "alipay", LEMON_TEA),
        named_in_wallet(demo, "wechat", BISCUITS),
    )

    done = run(command, shop)

    assert (done.returncode, done.stderr) == (0, "")
    first, *steps = done.stdout.splitlines()
    assert steps == STEPS
    assert named_in_wallet(demo, "alipay", LEMON_TEA) == before + 2  # paid, and partly refunded
    assert named_in_wallet(demo, "wechat", BISCUITS) == biscuits_before + 1
    day = first.split()[-1]
    orders = {row["out_trade_no"].removeprefix(f"{day}-"): row for row in rows_of(shop, day)}
    assert orders.keys() == {"till", "back", "web", "left", "oops"}
    held = {name: demo.held(orders[name]["syssn"]) for name in ("till", "web", "left", "oops")}
    assert held == {"till": 800, "web": 2500, "left": 0, "oops": 0}
    assert [trade["state"] for trade in demo.trades(orders["left"]["syssn"])] == ["CLOSED"]


def test_java_s_reader_of_json_and_of_webhooks_is_strict(tmp_path: Path) -> None:
    forged = forgeries()
    genuine = WEBHOOKS["old"][0]
    posted = [*(Posted(text.encode(), "0") for text in JSON_TEXTS), *forged.values(), genuine]

    seen = probed_by_java(posted, tmp_path)

    texts = ["refused" if members is None else as_java(members) for members in JSON_TEXTS.values()]
    assert seen[: len(texts)] == [f"{text} false" for text in texts]
    assert [taken.rpartition(" ")[2] for taken in seen[len(texts) :]] == ["false"] * len(forged) + ["true"]


def probed_by_java(posted: list[Posted], folder: Path) -> list[str]:
    if shutil.which("javac") is None:
        pytest.skip("no javac on this machine")
    (folder / "Probe.java").write_text(JAVA_PROBE)
    sources = [str(EXAMPLES / "java" / "FirstPayment.java"), str(folder / "Probe.java")]
    subprocess.run(
        ["javac", "-encoding", "UTF-8", "-d", str(folder), *sources], check=True, timeout=RUN_LIMIT_S
    )
    lines = [f"{base64.b64encode(one.body).decode()} {one.sign}" for one in posted]
    command = ["java", "-cp", str(folder), "Probe"]
    done = subprocess.run(
        command, input="\n".join(lines), capture_output=True, text=True, check=True, timeout=RUN_LIMIT_S
    )
    return [base64.b64decode(line).decode() for line in done.stdout.splitlines()]


def as_java(value: object) -> str:
    """Java's representation of maps and lists."""
    match value:
        case dict():
            return "{" + ", ".join(f"{name}={as_java(value[name])}" for name in sorted(value)) + "}"
        case list():
            return "[" + ", ".join(map(as_java, value)) + "]"
        case _:
            return str(value)


def rows_of(shop: Merchant, day: str) -> list[Members]:
    names = ("till", "back", "web", "left", "oops")
    return shop.rows(out_trade_no=",".join(f"{day}-{name}" for name in names))


@pytest.mark.parametrize("language", FIRST_PAYMENTS)
def test_a_first_payment_with_a_wrong_key_reports_it_and_stops(language: str, shop: Merchant) -> None:
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


@pytest.mark.parametrize("style", WEBHOOKS)
def test_the_receiver_accepts_a_genuine_webhook_of_its_style_only(style: str) -> None:
    genuine, line = WEBHOOKS[style]
    (other,) = [posted for name, (posted, _) in WEBHOOKS.items() if name != style]
    with receiving(STYLE=style) as (url, process):
        accepted = post(url, genuine)
        refused = [
            post(url, Posted(genuine.body.replace(b"10", b"99"), genuine.sign)),
            post(url, Posted(genuine.body, "0" * 32)),
            post(url, Posted(b"[]", genuine.sign)),
            post(url, Posted(b"\xff", genuine.sign)),
            post(url, Posted(b"", "")),
            post(url, other),
            post(url, over_bytes(OLD_BODY)),
        ]
        printed = output_of(process)

    assert (accepted.status_code, accepted.text) == (200, "SUCCESS")
    assert [answer.status_code for answer in refused] == [400] * 7
    assert printed == [line]


@pytest.mark.parametrize("style", WEBHOOKS)
def test_the_receiver_refuses_text_that_was_signed_for_another_purpose(style: str) -> None:
    """Above all checkout links: a payer has one, and may have chosen part of its text."""
    with receiving(STYLE=style) as (url, process):
        accepted = [what for what, forged in forgeries().items() if post(url, forged).status_code != 400]
        printed = output_of(process)

    assert (accepted, printed) == ([], [])


def test_the_receiver_has_the_style_of_the_published_app_unless_another_is_named() -> None:
    with receiving() as (url, process):
        assert post(url, WEBHOOKS["old"][0]).text == "SUCCESS"
        assert post(url, WEBHOOKS["new"][0]).status_code == 400
        assert output_of(process) == [WEBHOOKS["old"][1]]


def test_the_receiver_does_not_take_a_refund_for_a_payment() -> None:
    refund = over_bytes(NEW["body"].replace('"notify_type": "payment"', '"notify_type": "refund"').encode())
    with receiving(STYLE="new") as (url, process):
        assert post(url, refund).text == "SUCCESS"
        (line,) = output_of(process)

    assert line.startswith("refunded: order ")


def test_the_receiver_refuses_to_start_with_a_style_that_does_not_exist() -> None:
    done = subprocess.run(
        RECEIVER, cwd=EXAMPLES, env={"STYLE": "both"}, capture_output=True, text=True, timeout=RUN_LIMIT_S
    )

    assert (done.returncode, done.stderr) == (1, "receive_webhook: STYLE must be old or new\n")


@contextmanager
def receiving(**settings: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """Start the receiver. Returns the process and its url."""
    process = subprocess.Popen(
        RECEIVER,
        cwd=EXAMPLES,
        env={"PATH": os.environ["PATH"], "PORT": str(free_port_block()), "KEY": KEY} | settings,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[-1], process
    finally:
        process.kill()
        process.communicate()


def output_of(process: "subprocess.Popen[str]") -> list[str]:
    """End it. Returns the lines that it printed."""
    process.terminate()
    printed, _ = process.communicate(timeout=END_LIMIT_S)
    return printed.splitlines()


def post(url: str, posted: Posted) -> httpx.Response:
    headers = {b"X-QF-SIGN": posted.sign.encode()}
    return httpx.post(url, content=posted.body, headers=headers, trust_env=False)
