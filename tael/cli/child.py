"""`python -m tael.cli.child serve FD [OPS_FD]` and `… work`: processes started by another `tael`, which has checked
the settings.

They do not import the command-line libraries, which take a third of such a process's start-up time.
"""

import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from tael.config import BadSettings, Settings, read_settings

DEMO: Final = "--demo"
UNUSABLE: Final = 2


def main(arguments: Sequence[str]) -> int:
    """Serve on an inherited socket or work until a signal arrives. Returns the exit code."""
    what, *rest = [argument for argument in arguments if argument != DEMO]
    try:
        settings = replace(read_settings(), takes_published_key=DEMO in arguments)
    except BadSettings as error:
        print(f"tael: {error}", file=sys.stderr)
        return UNUSABLE
    if what == "serve":
        _serve(settings, DEMO in arguments, *map(int, rest))
    else:
        _work(settings)
    return 0


def _serve(settings: Settings, is_demo: bool, descriptor: int, ops_descriptor: int | None = None) -> None:
    from tael.cli.serving import serve

    ops = None if ops_descriptor is None else socket.socket(fileno=ops_descriptor)
    serve(settings, socket.socket(fileno=descriptor), ops, is_demo=is_demo)


def _work(settings: Settings) -> None:
    from tael.cli.working import work

    work(settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
