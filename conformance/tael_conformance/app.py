"""The commands `server`, `receiver` and `client`, below `tael conformance` and `tael-conformance`."""

import shutil
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Final, Literal, NoReturn, TypeVar

import typer
from rich.console import Console

from tael_conformance.checks import Check, Result, Subject, Unusable, run_checks, selected
from tael_conformance.client.catalogue import CHECKS as CLIENT_CHECKS
from tael_conformance.client.command import Command, new_credentials
from tael_conformance.credentials import Credentials, Redactor, read_key
from tael_conformance.listener import Listener, Reply, listening
from tael_conformance.pay_types import PAY_TYPES
from tael_conformance.receiver.catalogue import CHECKS as RECEIVER_CHECKS
from tael_conformance.receiver.session import (
    Receiver,
    States,
    given_orders,
    opened_by,
    read_order,
)
from tael_conformance.receiver.webhooks import Signer
from tael_conformance.report import UNUSABLE, Report, as_json, show_results, show_summary, write_junit
from tael_conformance.server.catalogue import CHECKS as SERVER_CHECKS
from tael_conformance.server.payer import Payer, Person, SandboxPayer
from tael_conformance.server.session import Options, Server
from tael_conformance.server.webhooks import Answers
from tael_conformance.signing import Algorithm
from tael_conformance.wire import Unreachable, check_reachable, open_wire, split_address

Value = TypeVar("Value")
MAX_AMOUNT: Final = 99_999_999_999

#: A command for `client`; `shop` is the merchant's own module.
EXAMPLE: Final = """\
import os
import sys
from shop import Client  # your client

client = Client(*(os.environ[f"QFPAY_{name}"] for name in ("URL", "APPCODE", "KEY", "MCHID")))
action, *given = sys.argv[1:]
if action == "pay":
    number, amount, auth_code = given
    print(client.pay(number, int(amount), auth_code))  # paid, unpaid or unknown
else:
    payment_syssn, number, amount = given
    print(client.refund(payment_syssn, number, int(amount)))  # refunded, refused or unknown
"""

CLIENT_HELP: Final = (
    "Check that a client queries, repeats and trusts responses as it should.\n\n"
    "Runs COMMAND once for each scenario, against a scripted server on this machine. The variables QFPAY_URL, "
    "QFPAY_APPCODE, QFPAY_KEY and QFPAY_MCHID name the server; the arguments are `pay OUT_TRADE_NO AMOUNT AUTH_CODE` "
    "or `refund SYSSN OUT_TRADE_NO AMOUNT`. The last line that COMMAND prints is its result: paid, unpaid, refunded, "
    "refused or unknown."
)

app: Final = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def conformance() -> None:
    """Check that a server, a webhook receiver or a client follows QFPay's /trade/v1 API."""


AppcodeOption = Annotated[
    str,
    typer.Option(envvar="QFPAY_APPCODE", show_envvar=False, help="The app's code; default: QFPAY_APPCODE."),
]
KeyFileOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="File with the app's key. Default: the variable QFPAY_KEY."),
]
MchidOption = Annotated[
    str,
    typer.Option(
        envvar="QFPAY_MCHID",
        show_envvar=False,
        help="The merchant; default: QFPAY_MCHID. May be empty if the app has only one.",
    ),
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option(metavar="ID", help="Make only this check, or those below it. Can be repeated."),
]
SkipOption = Annotated[
    list[str] | None,
    typer.Option(metavar="ID", help="Leave out this check, or those below it. Can be repeated."),
]
StrictOption = Annotated[bool, typer.Option("--strict", help="Count warnings as failures.")]
ListOption = Annotated[bool, typer.Option("--list", help="List the checks with their rules and exit.")]
JunitOption = Annotated[Path | None, typer.Option(metavar="FILE", help="Write a report as JUnit XML.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def refused(message: str) -> NoReturn:
    """Exit with one line."""
    typer.echo(message, err=True)
    raise typer.Exit(UNUSABLE)


def require_url(url: str) -> None:
    """Only `--list` works without one."""
    if not url:
        refused("name the URL to check")


def read_credentials(appcode: str, key_file: Path | None, mchid: str) -> Credentials:
    """From options and the environment. Exits if the appcode or the key is missing."""
    key = _key(key_file)
    if not appcode or not key:
        refused("name the app with --appcode or QFPAY_APPCODE, and its key with --key-file or QFPAY_KEY")
    return Credentials(appcode, key, mchid)


def _key(path: Path | None) -> str:
    from os import environ

    if path is None:
        return environ.get("QFPAY_KEY", "")
    try:
        return read_key(path)
    except (OSError, ValueError) as error:
        refused(f"--key-file: {error}")


@app.command("server")
def server_command(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="The server's base URL, such as https://pay.example.")
    ] = "",
    appcode: AppcodeOption = "",
    key_file: KeyFileOption = None,
    mchid: MchidOption = "",
    sign_type: Annotated[Algorithm, typer.Option(help="How the requests of most checks are signed.")] = "MD5",
    response_sign_type: Annotated[
        Algorithm, typer.Option(help="How responses and new-style webhooks are signed.")
    ] = "MD5",
    pay_type: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CODE",
            help="Check this pay type, and fail if it is not granted. Can be repeated. Default: all, "
            "where those that are not granted are skipped.",
        ),
    ] = None,
    amount: Annotated[
        int,
        typer.Option(
            metavar="MINOR", min=2, max=MAX_AMOUNT, help="The amount of each order, in minor units."
        ),
    ] = 200,
    move_money: Annotated[
        bool,
        typer.Option(
            "--move-money",
            help="Also pay, refund and reverse. Without it, orders are only opened and closed again.",
        ),
    ] = False,
    sandbox: Annotated[
        str,
        typer.Option(
            metavar="URL", help="The control API of tael's sandbox, which pays and moves the clock."
        ),
    ] = "",
    sandbox_shop: Annotated[
        str,
        typer.Option(metavar="NAME", help="The merchant's name in the sandbox. Default: its first merchant."),
    ] = "",
    auth_code: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CODE", help="A payer's barcode, for one payment with --move-money. Can be repeated."
        ),
    ] = None,
    openid: Annotated[str, typer.Option(help="A payer's openid under the merchant's official account.")] = "",
    mini_openid: Annotated[
        str, typer.Option(help="A payer's openid under the merchant's mini program.")
    ] = "",
    wait: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=1, max=3600, help="How long to wait for a person's payment."),
    ] = 180,
    listen: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT", help="Receive webhooks here. Set the app's notify URL to it first."
        ),
    ] = "",
    webhook_style: Annotated[
        Literal["old", "new"] | None, typer.Option(help="The app's webhook style. Default: either.")
    ] = None,
    foreign_syssn: Annotated[
        str,
        typer.Option(metavar="SYSSN", help="A transaction of another merchant, which must not be visible."),
    ] = "",
    foreign_mchid: Annotated[
        str, typer.Option(metavar="MCHID", help="A merchant of another app, which must be refused.")
    ] = "",
    pace: Annotated[
        float,
        typer.Option(
            metavar="RATE", min=0, max=100, help="At most this many requests a second; 0: no limit."
        ),
    ] = 5,
    only: OnlyOption = None,
    skip: SkipOption = None,
    strict: StrictOption = False,
    show_list: ListOption = False,
    junit: JunitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check that a server speaks QFPay's /trade/v1 as documented.

    Without --move-money no money moves: the checks open orders that are not paid, and close them at the end.
    """
    checks = chosen(SERVER_CHECKS, only, skip)
    if show_list:
        show_checks(checks)
        return
    require_url(url)
    unknown = [code for code in pay_type or () if code not in PAY_TYPES]
    if unknown:
        refused(f"--pay-type: {unknown[0]} is none of {', '.join(PAY_TYPES)}")
    credentials = read_credentials(appcode, key_file, mchid)
    options = Options(
        algorithm=sign_type,
        response_algorithm=response_sign_type,
        amount=amount,
        pay_types=tuple(pay_type or ()),
        move_money=move_money,
        wait_s=wait,
        webhook_style=webhook_style or "",
        foreign_syssn=foreign_syssn,
        foreign_mchid=foreign_mchid,
    )
    openids = {name: value for name, value in (("--openid", openid), ("--mini-openid", mini_openid)) if value}
    with ExitStack() as stack:
        try:
            wire = open_wire(url, pace)
            stack.callback(wire.client.close)
            check_reachable(wire)
            payer: Payer = _person(auth_code or (), openids)
            if sandbox:
                control = open_wire(sandbox)
                stack.callback(control.client.close)
                check_reachable(control)
                payer = SandboxPayer(control, sandbox_shop, openids)
            listener = stack.enter_context(_webhook_listener(listen)) if listen else None
        except (ValueError, Unreachable, OSError) as error:
            refused(str(error))
        server = Server(wire, credentials, payer, options, listener)
        stack.callback(server.close_open_orders)
        redact = Redactor((credentials.key,))
        results = run_checks(checks, server, redact, strict, server.reason_to_skip)
        finish("server", url, results, as_json, junit)


def _person(auth_codes: Iterable[str], openids: dict[str, str]) -> Person:
    return Person(deque(auth_codes), openids, lambda text: typer.echo(text, err=True))


@contextmanager
def _webhook_listener(address: str) -> Iterator[Listener]:
    """Raises ValueError for an address that is not HOST:PORT, and OSError if the port is taken."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("--listen takes HOST:PORT")
    with listening(Answers(), host, int(port)) as listener:
        yield listener


@app.command("receiver")
def receiver_command(
    url: Annotated[str, typer.Argument(metavar="URL", help="The address of the merchant's receiver.")] = "",
    style: Annotated[Literal["old", "new"], typer.Option(help="The app's webhook style.")] = "new",
    appcode: AppcodeOption = "",
    key_file: KeyFileOption = None,
    mchid: MchidOption = "",
    sign_type: Annotated[Algorithm, typer.Option(help="How new-style webhooks are signed.")] = "MD5",
    order: Annotated[
        list[str] | None,
        typer.Option(metavar="NUMBER=AMOUNT", help="An unpaid order of the merchant. Can be repeated."),
    ] = None,
    open_command: Annotated[
        str,
        typer.Option(
            metavar="COMMAND",
            help="Opens an unpaid order at the merchant and prints OUT_TRADE_NO AMOUNT as its last line.",
        ),
    ] = "",
    state_url: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="The merchant's state of {out_trade_no}, as any text that changes only with it.",
        ),
    ] = "",
    currency: Annotated[str, typer.Option(help="The currency of the orders.")] = "HKD",
    pay_type: Annotated[str, typer.Option(metavar="CODE", help="The pay type of the orders.")] = "800201",
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, max=60, help="Servers wait this long for a response.")
    ] = 10,
    only: OnlyOption = None,
    skip: SkipOption = None,
    strict: StrictOption = False,
    show_list: ListOption = False,
    junit: JunitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check that a merchant's receiver accepts genuine webhooks only, and books each once.

    Sends webhooks signed with the app's key: use a test system. The orders are paid as far as the merchant knows.
    """
    checks = chosen(RECEIVER_CHECKS, only, skip)
    if show_list:
        show_checks(checks)
        return
    require_url(url)
    credentials = read_credentials(appcode or "-", key_file, mchid)
    if not order and not open_command:
        refused(
            "name unpaid orders with --order NUMBER=AMOUNT, or a command that opens them with --open-command"
        )
    with ExitStack() as stack:
        try:
            orders = [read_order(text) for text in order or ()]
            base, target = split_address(url)
            wire = open_wire(base, timeout_s=timeout)
            stack.callback(wire.client.close)
            check_reachable(wire)
            states = None
            if state_url:
                state_base, state_target = split_address(state_url)
                states = States(open_wire(state_base, timeout_s=timeout), state_target)
                stack.callback(states.wire.client.close)
        except (ValueError, Unreachable) as error:
            refused(str(error))
        receiver = Receiver(
            wire,
            target,
            Credentials(appcode, credentials.key, mchid),
            Signer(style, credentials.key, sign_type),
            (lambda: opened_by(open_command)) if open_command else given_orders(orders),
            states,
            currency,
            pay_type,
        )
        results = run_checks(checks, receiver, Redactor((credentials.key,)), strict)
        finish("receiver", url, results, as_json, junit)


@app.command("client", help=CLIENT_HELP)
def client_command(
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="COMMAND", help="The client's program and arguments, after `--`."),
    ] = None,
    limit: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, max=3600, help="The time for one run of the command.")
    ] = 60,
    show_example: Annotated[
        bool, typer.Option("--example", help="Print a command of ten lines to start from, and exit.")
    ] = False,
    only: OnlyOption = None,
    skip: SkipOption = None,
    strict: StrictOption = False,
    show_list: ListOption = False,
    junit: JunitOption = None,
    as_json: JsonOption = False,
) -> None:
    checks = chosen(CLIENT_CHECKS, only, skip)
    if show_list:
        show_checks(checks)
        return
    if show_example:
        typer.echo(EXAMPLE)
        return
    if not command:
        refused("name the client's command after --; --example prints one to start from")
    if shutil.which(command[0]) is None:
        refused(f"there is no program {command[0]}")
    credentials = new_credentials()
    with listening(lambda request: Reply(503)) as listener:
        subject = Command(tuple(command), credentials, limit, listener)
        results = run_checks(checks, subject, Redactor((credentials.key,)), strict)
        finish("client", " ".join(command), results, as_json, junit)


# ---- common ------------------------------------------------------------------------------------------------


def chosen(
    checks: Sequence[Check[Subject]], only: Sequence[str] | None, skip: Sequence[str] | None
) -> list[Check[Subject]]:
    """Exits if an id names no check."""
    for name in (*(only or ()), *(skip or ())):
        if not selected(checks, [name]):
            refused(f"there is no check {name}; --list lists them")
    return selected(checks, only or (), skip or ())


def show_checks(checks: Iterable[Check[Subject]]) -> None:
    for check in checks:
        typer.echo(f"{check.id}  [{check.level}]  {check.rule}  ({check.section})")


def finish(command: str, subject: str, results: Iterator[Result], as_json_: bool, junit: Path | None) -> None:
    """Print and write the report, and exit with its code."""
    console = Console(quiet=as_json_, highlight=False)
    try:
        report = Report(command, subject, tuple(show_results(console, results)))
    except Unusable as error:
        refused(str(error))
    show_summary(console, report)
    if as_json_:
        typer.echo(as_json(report))
    if junit is not None:
        try:
            write_junit(report, junit)
        except OSError as error:
            refused(f"--junit: {error}")
    raise typer.Exit(report.exit_code)


def main() -> None:
    """Entry point of the console script."""
    app()
