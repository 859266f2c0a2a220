"""The kit accepts a correct client, and finds each mistake of a wrong one."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest
from tael_conformance.checks import Outcome

from tests.conformance.kit import check_client, departed, explained, run_kit, run_merchant_client
from tests.conformance.plain_client import DEFECTS, PlainClient

PLAIN_CLIENT: Final = str(Path(__file__).with_name("plain_client.py"))
#: The checks that find each mistake; all others pass.
FOUND: Final = {
    "new number without a response": {
        *("client.pay.cut", "client.pay.cut-lost", "client.pay.garbage", "client.pay.http-500"),
        *("client.pay.unsigned", "client.pay.wrong-signature", "client.pay.altered"),
        *("client.refund.cut", "client.refund.http-500", "client.refund.unsigned"),
    },
    "new number for an over-refund": {"client.refund.over-refund"},
    "believes unsigned responses": {
        *("client.pay.unsigned", "client.pay.wrong-signature", "client.pay.altered"),
        *("client.pay.row-unsigned", "client.refund.unsigned"),
    },
    "1143 is a failure": {"client.pay.1143", "client.refund.1143"},
    "an outer 0000 is paid": {
        *("client.pay.1145", "client.pay.1145-failed", "client.pay.outer-0000", "client.pay.cut-lost"),
        *("client.pay.unsigned", "client.pay.wrong-signature", "client.pay.altered"),
        *("client.pay.other-amount", "client.pay.other-order"),
        *("client.pay.row-unsigned", "client.pay.row-other-amount", "client.pay.row-other-order"),
        *("client.refund.2999", "client.refund.2999-failed", "client.refund.unsigned"),
        "client.refund.row-other-amount",
    },
    "HTTP 500 is a failure": {"client.pay.http-500", "client.refund.http-500"},
    "believes any row": {
        *("client.pay.row-other-amount", "client.pay.row-other-order", "client.refund.row-other-amount"),
    },
    "believes any amount": {"client.pay.other-amount", "client.pay.other-order"},
    "pending is a success": {
        *("client.pay.1145", "client.pay.1143", "client.pay.1145-failed", "client.pay.outer-0000"),
        *("client.pay.row-unsigned", "client.pay.row-other-amount", "client.pay.row-other-order"),
        *("client.refund.2999", "client.refund.1145", "client.refund.1143", "client.refund.2999-failed"),
        "client.refund.row-other-amount",
    },
    "never queries": {
        *("client.pay.1145", "client.pay.1143", "client.pay.1145-failed", "client.pay.outer-0000"),
        *("client.pay.cut", "client.pay.cut-lost", "client.pay.http-500", "client.pay.garbage"),
        *("client.pay.unsigned", "client.pay.wrong-signature", "client.pay.altered"),
        *("client.pay.other-amount", "client.pay.other-order", "client.pay.unlisted-code"),
        *("client.pay.row-unsigned", "client.pay.row-other-amount", "client.pay.row-other-order"),
        *("client.refund.2999", "client.refund.1145", "client.refund.1143", "client.refund.2999-failed"),
        *("client.refund.cut", "client.refund.http-500", "client.refund.unsigned"),
        "client.refund.row-other-amount",
    },
    "an unlisted code is a failure": {"client.pay.unlisted-code"},
    "an unsigned query": {"client.request.signature"},
    "refunds without txdtm": {"client.request.form"},
}
WARNINGS: Final = {"client.pay.unlisted-code"}


def test_a_correct_client_departs_from_no_rule() -> None:
    results = check_client(lambda arguments, environment: PlainClient(environment).run(arguments))
    assert {result.outcome for result in results} == {Outcome.PASSED}, explained(results)


def test_a_client_written_with_tael_client_departs_from_no_rule() -> None:
    results = check_client(run_merchant_client)
    assert {result.outcome for result in results} == {Outcome.PASSED}, explained(results)


def test_every_mistake_is_expected_to_be_found() -> None:
    assert FOUND.keys() == set(DEFECTS)


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_client_with_one_mistake_is_found_by_the_checks_about_it(defect: str) -> None:
    def run(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
        return PlainClient(environment, defect).run(arguments)

    results = check_client(run)
    expected = {name: Outcome.WARNING if name in WARNINGS else Outcome.FAILED for name in FOUND[defect]}
    assert departed(results) == expected, explained(results)


def test_a_refused_refund_may_be_repeated_under_its_own_number() -> None:
    class Repeating(PlainClient):
        def move(self, name: str, params: dict[str, str]) -> str:
            self.call(name, params)
            return super().move(name, params)

    (result,) = check_client(
        lambda arguments, environment: Repeating(environment).run(arguments), "client.refund.over-refund"
    )
    assert result.outcome is Outcome.PASSED, explained([result])


# ---- the command -----------------------------------------------------------------------------------------------


def test_the_command_is_run_with_its_arguments_and_the_scripted_servers_credentials() -> None:
    done = run_kit("client", "--only", "client.pay.paid", "--", sys.executable, PLAIN_CLIENT)
    assert (done.exit_code, "1 passed" in done.output) == (0, True), done.output


def test_a_failure_is_exit_code_1() -> None:
    done = run_kit(
        *("client", "--only", "client.refund.over-refund", "--", sys.executable, PLAIN_CLIENT),
        PLAIN_CLIENT_DEFECT="new number for an over-refund",
    )
    assert done.exit_code == 1
    assert "a refund under another out_trade_no" in done.output


def test_a_warning_is_a_failure_only_with_strict() -> None:
    arguments = ("--only", "client.pay.unlisted-code", "--", sys.executable, PLAIN_CLIENT)
    defect = {"PLAIN_CLIENT_DEFECT": "an unlisted code is a failure"}
    assert run_kit("client", *arguments, **defect).exit_code == 0
    assert run_kit("client", "--strict", *arguments, **defect).exit_code == 1


@pytest.mark.parametrize(
    ("program", "received"),
    [("print('it is paid')", "it is paid"), ("raise SystemExit(3)", "nothing (exit code 3)")],
)
def test_another_last_line_is_a_failure(program: str, received: str) -> None:
    done = run_kit("client", "--only", "client.pay.paid", "--", sys.executable, "-c", program)
    assert done.exit_code == 1
    assert received in done.output


def test_a_command_that_does_not_end_is_ended() -> None:
    def run(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
        raise subprocess.TimeoutExpired("client", 10)

    (result,) = check_client(run, "client.pay.paid")
    assert (result.outcome, result.received) == (Outcome.FAILED, "the command was ended")


def test_the_environments_own_credentials_never_reach_the_command() -> None:
    program = (
        "import os; print(os.environ['QFPAY_KEY'] == 'real-key-of-the-shop', 'QFPAY_OTHER' in os.environ)"
    )
    done = run_kit(
        *("client", "--only", "client.pay.paid", "--", sys.executable, "-c", program),
        QFPAY_KEY="real-key-of-the-shop",
        QFPAY_OTHER="1",
    )
    assert "False False" in done.output


def test_the_example_is_a_program() -> None:
    done = run_kit("client", "--example")
    assert done.exit_code == 0
    compile(done.output, "example.py", "exec")


def test_no_command_or_a_missing_program_is_unusable() -> None:
    assert run_kit("client").exit_code == 2
    assert run_kit("client", "--", "no-such-program-of-the-kit").exit_code == 2
