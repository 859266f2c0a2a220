"""`python -m tael_demo.testing.running`: one private instance, until its standard input closes or a signal arrives.

API and jobs share one event loop here; PostgreSQL and the sandbox are children. They are started before the expensive
imports, so that all three start in parallel. The protocol is lines of JSON: one when ready, then a response to each
command.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

from tael.cli.processes import end
from tael_demo.addresses import Addresses, kept_addresses
from tael_demo.embedded.server import EmbeddedPostgres, EmbeddedPostgresError
from tael_demo.testing.folders import new_folder
from tael_demo.testing.template import APPS, SandboxNotReady, copy_template, sandbox_urls, start_sandbox

HOST: Final = "127.0.0.1"
BACKLOG: Final = 128
ENDING_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def main() -> None:
    """Run the instance. If it cannot start, print the reason as one line of JSON."""
    for number in ENDING_SIGNALS:
        signal.signal(number, _end_early)
    try:
        _run()
    except (EmbeddedPostgresError, SandboxNotReady, subprocess.CalledProcessError, OSError) as error:
        _print({"error": " ".join(str(error).split())})


def _run() -> None:
    with new_folder() as folder:
        copy_template(folder)
        with _sandbox(folder) as sandbox, EmbeddedPostgres(folder) as postgres, _listener() as listener:
            import uvloop

            from tael_demo.testing.serving import serve, settings_for

            plain, tls = sandbox_urls(folder, sandbox)
            gateway_url = f"http://{HOST}:{listener.getsockname()[1]}"
            info = {
                "gateway": gateway_url,
                "sandbox": plain,
                "database_url": postgres.url,
                "folder": str(folder),
                "apps": json.loads((folder / APPS).read_text()),
            }
            _log_into(folder / "gateway.log")
            settings = settings_for(folder, postgres.url, gateway_url, plain, tls)
            with kept_addresses(folder, Addresses(gateway_url, plain)):
                uvloop.run(serve(settings, listener, ENDING_SIGNALS, lambda: _print(info), _print))
                _ignore_signals()


def _end_early(*_: object) -> NoReturn:
    """Exit through every `finally`; the signal's default action would skip them."""
    _ignore_signals()
    sys.exit("stopped by a signal before it was ready")


def _ignore_signals() -> None:
    """The process is ending already; a repeated signal must not leave the folder behind."""
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def _sandbox(folder: Path) -> "Iterator[subprocess.Popen[bytes]]":
    sandbox = start_sandbox(folder)
    try:
        yield sandbox
    finally:
        end(sandbox)


def _listener() -> socket.socket:
    """A listening socket: connections wait until the API serves them."""
    return socket.create_server((HOST, 0), backlog=BACKLOG)


def _log_into(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _print(members: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):  # the session has ended; standard input closes too
        print(json.dumps(members), flush=True)


if __name__ == "__main__":
    main()
