"""The operations port of a process: health and metrics, apart from the public port.

Its server has connections and limits of its own, so a flood on the public port does not silence it. It responds until
the process has finished its work.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from tael.base.admission import Admission
from tael.cli.http1 import Http1Protocol
from tael.cli.http_server import SecondaryServer, config_of, limits_of
from tael.config import HttpLimits
from tael.main import ops_application
from tael.services import CellServices

#: A monitoring system needs a few.
MAX_OPS_CONNECTIONS: Final = 50
#: Time for a response in progress to finish at the end.
OPS_GRACE_S: Final = 2


@asynccontextmanager
async def serving_ops(
    listener: socket.socket,
    services: CellServices,
    limits: HttpLimits,
    is_stopping: Callable[[], bool],
    admission: Admission | None = None,
) -> AsyncIterator[None]:
    """Serve on `listener` within the block. `admission` is that of the process's merchants' calls."""
    app = ops_application(services, is_stopping, admission)
    server = SecondaryServer(config_of(app, ops_protocol(limits), OPS_GRACE_S))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving


def ops_protocol(limits: HttpLimits) -> type[Http1Protocol]:
    """The protocol with the limits of the public port, except that of connections."""

    class OpsProtocol(Http1Protocol):
        pass

    OpsProtocol.limits = replace(limits_of(limits), max_connections=MAX_OPS_CONNECTIONS)
    return OpsProtocol
