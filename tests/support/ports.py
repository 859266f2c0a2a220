"""Ports of the loopback that stay reserved while a test uses them.

A port that was merely free a moment ago may since be the local port of any client on the machine.
"""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

HOST: Final = "127.0.0.1"


def bound(port: int = 0) -> socket.socket:
    """While this is open the kernel reserves the port and refuses connections until a server listens on it.

    The server may come and go; it must set SO_REUSEADDR, as asyncio, PostgreSQL and the sandbox do. Raises OSError if
    the port is taken, OverflowError if there is none with this number.
    """
    with ExitStack() as on_failure:
        place = on_failure.enter_context(socket.socket())
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind((HOST, port))
        on_failure.pop_all()
    return place


@contextmanager
def reserved_ports(count: int) -> Iterator[list[int]]:
    with ExitStack() as held:
        yield [held.enter_context(bound()).getsockname()[1] for _ in range(count)]
