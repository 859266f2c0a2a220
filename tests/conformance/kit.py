"""Runs of the kit in this process, against what a test gives it."""

import contextlib
import io
import itertools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from unittest.mock import patch

import httpx
from tael_conformance.app import app
from tael_conformance.checks import Outcome, Result, run_checks, selected
from tael_conformance.client.catalogue import CHECKS as CLIENT_CHECKS
from tael_conformance.client.command import Command, Ended, new_credentials
from tael_conformance.credentials import Credentials, Redactor
from tael_conformance.listener import Reply, listening
from tael_conformance.receiver.catalogue import CHECKS as RECEIVER_CHECKS
from tael_conformance.receiver.session import Order, Receiver, StateReader, States
from tael_conformance.receiver.webhooks import Signer
from tael_conformance.server.catalogue import CHECKS as SERVER_CHECKS
from tael_conformance.server.payer import Payer, SandboxPayer
from tael_conformance.server.session import Options, Server
from tael_conformance.wire import Wire, open_wire, split_address
from typer.testing import CliRunner

from tests.conformance import merchant_client
from tests.end_to_end.merchant import Merchant

Departed = dict[str, Outcome]


def departed(results: Iterable[Result]) -> Departed:
    """The checks that failed or warned."""
    return {
        result.id: result.outcome for result in results if result.outcome in (Outcome.FAILED, Outcome.WARNING)
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


def check_receiver(
    url: str,
    style: Literal["old", "new"],
    key: str,
    new_order: Callable[[], Order],
    state_url: str = "",
    *only: str,
    states: StateReader | None = None,
) -> list[Result]:
    """All results for the receiver at `url`; `new_order` opens an order at its merchant.

    A second passes with each look at the clock, as it may at any time in a real run.
    """
    seconds = itertools.count()
    base, target = split_address(url)
    with contextlib.ExitStack() as stack:
        wire = open_wire(base)
        stack.callback(wire.client.close)
        if state_url:
            states = States(wire, state_url)
        receiver = Receiver(
            *(wire, target, Credentials("shop-appcode", key, "kit0merchant"), Signer(style, key)),
            new_order=new_order,
            states=states,
            now=lambda: datetime.now(UTC) + timedelta(seconds=next(seconds)),
        )
        return list(run_checks(selected(RECEIVER_CHECKS, only), receiver, Redactor((key,))))


def check_server(
    transport: httpx.BaseTransport,
    merchant: Merchant,
    *only: str,
    skip: Sequence[str] = (),
    payer: Payer | None = None,
    **options: Any,
) -> list[Result]:
    """All results for the gateway of this merchant behind `transport`; by default the sandbox pays."""
    demo = merchant.demo
    credentials = Credentials(merchant.appcode, merchant.key, merchant.mchid)
    with httpx.Client(transport=transport) as client, httpx.Client() as control:
        payer = payer or SandboxPayer(Wire(demo.sandbox, control), merchant.shop)
        server = Server(Wire(demo.gateway, client), credentials, payer, Options(**options))
        results = list(run_checks(selected(SERVER_CHECKS, only), server, Redactor((merchant.key,))))
        server.close_open_orders()
        return results
