"""Runs of the kit in this process, against what a test gives it."""

import contextlib
import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from unittest.mock import patch

from tael_conformance.app import app
from tael_conformance.checks import Outcome, Result, run_checks, selected
from tael_conformance.client.catalogue import CHECKS as CLIENT_CHECKS
from tael_conformance.client.command import Command, Ended, new_credentials
from tael_conformance.credentials import Redactor
from tael_conformance.listener import Reply, listening
from typer.testing import CliRunner

from tests.conformance import merchant_client

Departed = dict[str, Outcome]


def departed(results: Iterable[Result]) -> Departed:
    """The checks that failed or warned."""
    return {
        result.id: result.outcome
        for result in results
        if result.outcome in (Outcome.FAILED, Outcome.WARNING)
    }


def explained(results: Iterable[Result]) -> str:
    """What departed, for the message of an assertion."""
    return "\n".join(
        f"{each.id}: expected {each.expected}; received {each.received}; sent {each.sent}"
        for each in results
        if each.outcome in (Outcome.FAILED, Outcome.WARNING)
    )


def check_client(run: Callable[[Sequence[str], Mapping[str, str]], str], *only: str) -> list[Result]:
    """All results for a client that runs in this process."""

    def run_here(arguments: Sequence[str], environment: Mapping[str, str], limit_s: float) -> Ended:
        return Ended(run(arguments, environment).encode(), 0)

    with listening(lambda request: Reply(503)) as listener:
        command = Command((), new_credentials(), 10, listener, run_here)
        return list(run_checks(selected(CLIENT_CHECKS, only), command, Redactor()))


def run_merchant_client(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """The client that is written with `tael_client`."""
    output = io.StringIO()
    with patch.dict(os.environ, environment), contextlib.redirect_stdout(output):
        merchant_client.main(list(arguments))
    return output.getvalue()


def run_kit(*arguments: str, **environment: str) -> Any:
    """`tael-conformance ARGUMENTS`, with an exit code and everything that it prints."""
    return CliRunner().invoke(app, list(arguments), env=environment)
