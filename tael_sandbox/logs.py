"""Log lines as JSON on standard error: uvicorn's, asyncio's and Python's warnings."""

import json
import logging
import sys
from datetime import UTC, datetime
from types import TracebackType


class JsonFormatter(logging.Formatter):
    """One object per record, with the same members as the gateway's log lines."""

    def format(self, record: logging.LogRecord) -> str:
        members = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
        }
        if record.exc_info:
            members["exception"] = self.formatException(record.exc_info)
        return json.dumps(members, ensure_ascii=False)


def configure_logs() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_crash


def _log_crash(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Logs the exception that ends the process, as its last line."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
    else:
        logging.getLogger("tael_sandbox").critical("process.crashed", exc_info=(kind, error, traceback))
