"""`python -m tael.testing.running`: one private instance, until its standard input or a signal ends it.

API and jobs share one event loop here, PostgreSQL and the sandbox are children. They are started before anything heavy
is imported, so that all three come up side by side. Lines of JSON go both ways: one when it is ready, then an answer
to each that is asked.
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

from tael.cli.addresses import Addresses, kept_addresses
from tael.cli.processes import end
from tael.embedded.server import EmbeddedPostgres, EmbeddedPostgresError
from tael.testing.folders import new_folder
from tael.testing.template import APPS, SandboxNotReady, copy_template, sandbox_urls, start_sandbox

HOST: Final = "127.0.0.1"
BACKLOG: Final = 128
ENDING_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def main() -> None:
    """Run until the lifeline ends; say in one line why it cannot be."""
    for number in ENDING_SIGNALS:
        signal.signal(number, _end_early)
    try:
        _run()
    except (EmbeddedPostgresError, SandboxNotReady, subprocess.CalledProcessError, OSError) as error:
        _say({"error": " ".join(str(error).split())})


def _run() -> None:
    with new_folder() as folder:
        copy_template(folder)
        with _sandbox(folder) as sandbox, EmbeddedPostgres(folder) as postgres, _listener() as listener:
            import uvloop

            from tael.testing.serving import serve, settings_for

            plain, tls = sandbox_urls(folder, sandbox)
            gateway_url = f"http://{HOST}:{listener.getsockname()[1]}"
            told = {
                "gateway": gateway_url,
                "sandbox": plain,
                "database_url": postgres.url,
                "folder": str(folder),
                "apps": json.loads((folder / APPS).read_text()),
            }
            _log_into(folder / "gateway.log")
            settings = settings_for(folder, postgres.url, gateway_url, plain, tls)
            with kept_addresses(folder, Addresses(gateway_url, plain)):
                uvloop.run(serve(settings, listener, ENDING_SIGNALS, lambda: _say(told), _say))
                _ignore_signals()


def _end_early(*_: object) -> NoReturn:
    """By way of every `finally`, which the signal's own effect would pass over."""
    _ignore_signals()
    sys.exit("it was told to end before it served")


def _ignore_signals() -> None:
    """We are ending already; a repeated signal must not leave the folder behind."""
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
    """Bound already: what connects from now on waits until it is served."""
    return socket.create_server((HOST, 0), backlog=BACKLOG)


def _log_into(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _say(members: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody listens any more; the lifeline says so too
        print(json.dumps(members), flush=True)


if __name__ == "__main__":
    main()
