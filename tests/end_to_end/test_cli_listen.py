"""`tael listen`: a developer's program gets the same webhooks as the app's own receiver, which it does not disturb."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from tael_client import Client, Credentials, Filters, Money, OutcomePending, Payment, PaymentOrder, SignType

from tael_demo.testing.views import TaelClock, TaelGateway, TaelWallets
from tests.end_to_end.receiver import Call, Receiver, receiving
from tests.end_to_end.rig import ROOT, eventually
from tests.support.commands import clean_environment, run_tael

TEN = Money(1000, "HKD")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """The developer's program."""
    with receiving() as receiver:
        yield receiver


@dataclass(frozen=True, slots=True)
class Listening:
    """A running `tael listen` that was ready."""

    running: "subprocess.Popen[bytes]"
    output: Path

    def lines(self, about: str) -> list[str]:
        return [line for line in self.output.read_text().splitlines() if about in line]

    def types(self, text: str) -> None:
        assert self.running.stdin is not None
        self.running.stdin.write(text.encode())
        self.running.stdin.flush()


@contextmanager
def listening(gateway: TaelGateway, url: str, folder: Path, *options: str) -> Iterator[Listening]:
    output = folder / "output"
    with output.open("wb") as file:
        running = subprocess.Popen(
            [
                *(sys.executable, "-u", "-m", "tael.cli", "listen", "--forward-to", url),
                *("--data", str(gateway.folder), *options),
            ],
            cwd=ROOT,
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
        )
    try:
        assert "forwarding to" in eventually(output.read_text, lambda text: "\n" in text, limit_s=30)
        yield Listening(running, output)
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=30)
        assert running.returncode == 0, output.read_text()
    finally:
        running.kill()
        running.communicate()


def paid(gateway: TaelGateway, wallets: TaelWallets, reference: str, at: int = 0) -> Payment:
    with client_of(gateway, at) as client:
        payment = client.payment(PaymentOrder.wechat_qr(reference, TEN))
    wallets.confirm(url=payment.qr_code)
    return payment


def client_of(gateway: TaelGateway, at: int = 0) -> Client:
    app = gateway.apps[at]
    sign_type = SignType.SHA256 if app.sha256_only else SignType.MD5
    return Client(gateway.url, Credentials(app.appcode, app.key, mchid=app.mchid, sign_type=sign_type))


def content_of(call: Call) -> tuple[bytes, str, str]:
    return call.body, call.headers["x-qf-sign"], call.headers["content-type"]


def attempts(gateway: TaelGateway, syssn: str) -> list[str]:
    done = run_tael("webhook", "attempts", syssn, "--json", "--data", str(gateway.folder))
    return [row["result"] for row in json.loads(done.stdout)]


def test_it_gets_the_bytes_and_the_signature_of_the_apps_own_receiver(
    tael_gateway: TaelGateway, tael_wallets: TaelWallets, receiver: Receiver, tmp_path: Path
) -> None:
    with receiving() as own, listening(tael_gateway, f"{receiver.url}/notify?a=b", tmp_path) as listener:
        tael_gateway.set_notify_url(own.url)
        payment = paid(tael_gateway, tael_wallets, "listen-same")
        (here,), (there,) = receiver.wait("listen-same"), own.wait("listen-same")
        assert content_of(here) == content_of(there)
        assert here.path == "/notify?a=b"
        (line,) = eventually(lambda: listener.lines(payment.syssn), bool)
        assert line.startswith("payment ")
        assert line.endswith(f"app {tael_gateway.appcode}  acknowledged: HTTP 200 success")
        assert eventually(lambda: attempts(tael_gateway, payment.syssn), bool) == ["acknowledged"]


def test_a_program_that_refuses_does_not_affect_the_apps_own_delivery(
    tael_gateway: TaelGateway, tael_wallets: TaelWallets, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.will_answer("listen-refuses", (500, b"no\x1b[31m"))
    with receiving() as own, listening(tael_gateway, receiver.url, tmp_path) as listener:
        tael_gateway.set_notify_url(own.url)
        payment = paid(tael_gateway, tael_wallets, "listen-refuses")
        own.wait("listen-refuses")
        (line,) = eventually(lambda: listener.lines(payment.syssn), bool)
        assert "not acknowledged: HTTP 500 no" in line
        assert "\x1b" not in line
        assert eventually(lambda: attempts(tael_gateway, payment.syssn), bool) == ["acknowledged"]


def test_a_refused_webhook_is_repeated_to_the_apps_own_receiver_and_forwarded_once(
    tael_gateway: TaelGateway,
    tael_wallets: TaelWallets,
    tael_clock: TaelClock,
    receiver: Receiver,
    tmp_path: Path,
) -> None:
    receiver.will_answer("listen-once", (500, b"no"))
    with receiving() as own, listening(tael_gateway, receiver.url, tmp_path) as listener:
        own.will_answer("listen-once", (500, b"no"))
        tael_gateway.set_notify_url(own.url)
        payment = paid(tael_gateway, tael_wallets, "listen-once")
        own.wait("listen-once")
        eventually(lambda: attempts(tael_gateway, payment.syssn), bool)
        tael_clock.advance(30)
        own.wait("listen-once", 2)
        after = paid(tael_gateway, tael_wallets, "listen-next")
        eventually(lambda: listener.lines(after.syssn), bool)
        assert len(listener.lines(payment.syssn)) == len(receiver.calls("listen-once")) == 1


def test_it_starts_with_new_webhooks_and_reports_a_program_that_does_not_answer(
    tael_gateway: TaelGateway, tael_wallets: TaelWallets, receiver: Receiver, tmp_path: Path
) -> None:
    tael_gateway.set_notify_url(receiver.url)
    before = paid(tael_gateway, tael_wallets, "listen-before")
    receiver.wait("listen-before")
    with listening(tael_gateway, "http://127.0.0.1:9/closed", tmp_path) as listener:
        after = paid(tael_gateway, tael_wallets, "listen-after")
        (line,) = eventually(lambda: listener.lines(after.syssn), bool)
        assert "no response: " in line
        assert listener.lines(before.syssn) == []


def test_a_payment_is_forwarded_before_its_refund_although_the_app_has_no_url(
    tael_gateway: TaelGateway, tael_wallets: TaelWallets, receiver: Receiver, tmp_path: Path
) -> None:
    with listening(tael_gateway, receiver.url, tmp_path) as listener, client_of(tael_gateway, 2) as client:
        payment = paid(tael_gateway, tael_wallets, "listen-paid", at=2)
        eventually(lambda: is_paid(client, payment), bool)
        with suppress(OutcomePending):
            client.refund(payment.syssn, "listen-refund", Money(300, "HKD"))

        (refund,) = receiver.wait("listen-refund")
        assert (refund.members["notify_type"], refund.members["orig_syssn"]) == ("refund", payment.syssn)
        assert len(receiver.calls("listen-paid")) == 1
        lines = eventually(
            lambda: listener.lines(tael_gateway.apps[2].appcode), lambda lines: len(lines) == 2
        )
        assert [line.split()[0] for line in lines] == ["payment", "refund"]


def test_a_refund_of_an_old_style_app_is_a_line_and_no_call(
    tael_gateway: TaelGateway, tael_wallets: TaelWallets, receiver: Receiver, tmp_path: Path
) -> None:
    with listening(tael_gateway, receiver.url, tmp_path) as listener, client_of(tael_gateway) as client:
        payment = paid(tael_gateway, tael_wallets, "listen-old")
        eventually(lambda: is_paid(client, payment), bool)
        with suppress(OutcomePending):
            client.refund(payment.syssn, "listen-old-refund", Money(300, "HKD"))
        (line,) = eventually(lambda: listener.lines("refund "), bool)
        assert line.endswith("not forwarded: the app's style has no such webhook")
        assert receiver.calls("listen-old-refund") == []


def is_paid(client: Client, payment: Payment) -> bool:
    (row,) = client.query_all(Filters(syssns=[payment.syssn]))
    return row.respcd == "0000"


def test_r_sends_the_last_again_and_an_operators_resend_is_forwarded_too(
    tael_gateway: TaelGateway, tael_wallets: TaelWallets, receiver: Receiver, tmp_path: Path
) -> None:
    with receiving() as own, listening(tael_gateway, receiver.url, tmp_path) as listener:
        tael_gateway.set_notify_url(own.url)
        first = paid(tael_gateway, tael_wallets, "listen-first")
        receiver.wait("listen-first")
        paid(tael_gateway, tael_wallets, "listen-last")
        receiver.wait("listen-last")

        listener.types("r\n")
        assert len({content_of(call) for call in receiver.wait("listen-last", 2)}) == 1
        assert len(own.wait("listen-last")) == 1  # the app got it once

        own.wait("listen-first")
        eventually(lambda: attempts(tael_gateway, first.syssn), bool)
        done = run_tael("webhook", "resend", first.syssn, "--data", str(tael_gateway.folder))
        assert done.returncode == 0, done.stderr
        assert len({content_of(call) for call in receiver.wait("listen-first", 2)}) == 1
        assert len(own.wait("listen-first", 2)) == 2


def test_it_can_be_limited_to_one_app(
    tael_gateway: TaelGateway, tael_wallets: TaelWallets, receiver: Receiver, tmp_path: Path
) -> None:
    appcode = tael_gateway.apps[1].appcode
    with listening(tael_gateway, receiver.url, tmp_path, "--appcode", appcode) as listener:
        other = paid(tael_gateway, tael_wallets, "listen-other")
        mine = paid(tael_gateway, tael_wallets, "listen-mine", at=1)
        receiver.wait("listen-mine")
        assert eventually(lambda: listener.lines(mine.syssn), bool)
        assert listener.lines(other.syssn) == []
        assert receiver.calls("listen-other") == []


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1/notify",
        "http://example.com/",
        "ftp://127.0.0.1/",
        "127.0.0.1:3000",
        "http://127.0.0.1:x/",
    ],
)
def test_it_forwards_to_this_machine_only(url: str) -> None:
    done = run_tael("listen", "--forward-to", url)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("tael: --forward-to: must be a URL of this machine")
    assert done.stderr.count("\n") == 1


def test_an_unknown_app_or_demo_is_one_sentence(tael_gateway: TaelGateway, tmp_path: Path) -> None:
    to = ("listen", "--forward-to", "http://127.0.0.1:9/")
    unknown = run_tael(*to, "--appcode", "unknown", "--data", str(tael_gateway.folder))
    assert (unknown.returncode, unknown.stderr) == (1, "tael: no app unknown\n")
    nowhere = run_tael(*to, "--data", str(tmp_path))
    assert nowhere.returncode == 2
    assert nowhere.stderr.startswith(f"tael: --data: no demo is running in {tmp_path}")
