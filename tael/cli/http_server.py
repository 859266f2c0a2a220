"""What the HTTP listeners of a process have in common: limits, and uvicorn's configuration."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from tael.cli.http1 import Http1Protocol, Limits
from tael.cli.listener import BACKLOG
from tael.config import HttpLimits

if TYPE_CHECKING:
    from starlette.types import ASGIApp


def config_of(app: "ASGIApp", protocol: type[Http1Protocol], grace_s: int) -> uvicorn.Config:
    """uvicorn's configuration. `docs/decisions/0011` lists the defaults of uvicorn that are kept.

    `grace_s` is the time for requests in progress to finish.
    """
    return uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="info",
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=grace_s,
    )


def limits_of(http: HttpLimits) -> Limits:
    """The limits of a listener."""
    return Limits(
        max_head_s=http.max_head_s,
        max_body_s=http.max_body_s,
        max_idle_s=http.max_idle_s,
        max_head_bytes=http.max_head_bytes,
        max_connections=http.max_connections,
    )


class SecondaryServer(uvicorn.Server):
    """Without uvicorn's signal handlers: the process has more to end than this server."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
