"""Logs one JSON line for each event, to standard error."""

import logging
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

import msgspec
import structlog
from structlog.typing import Processor

from tael.base.log_context import mark_request, mark_span

#: Python's own logger, in case structlog's is broken.
log = logging.getLogger("tael")


def configure_logs() -> None:
    """Log one JSON line per event to standard error, including those of uvicorn, asyncio and Python's warnings."""
    shared: list[Processor] = [
        mark_request,
        mark_span,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering: list[Processor] = [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(serializer=_json),
    ]
    structlog.configure(
        processors=[*shared, *rendering],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_crash


def _json(event: object, *, default: Callable[[Any], Any]) -> str:
    """`default` gives what JSON has no form for."""
    return msgspec.json.encode(event, enc_hook=default).decode()


def _log_crash(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Log the exception that ends the process."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
    else:
        log.critical("process.crashed", exc_info=(kind, error, traceback))
