"""An HTTP server of a test's own for programs that call one: pytest-httpserver's, on a free port of the loopback.

The library's fixture `httpserver_ipv4` serves one call at a time, which is enough where a test asks and then looks.
This one has a thread for each call, as a merchant's server has. Tests that share an event loop with what they test use
`serving.py`: a handler on a thread could neither await nor look at what the test holds.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

HOST: Final = "127.0.0.1"
#: The library's own loop looks twice a second whether it is to end, and each test would wait for that.
POLL_S: Final = 0.01


class _LocalServer(HTTPServer):
    def thread_target(self) -> None:
        assert self.server is not None
        self.server.serve_forever(poll_interval=POLL_S)


@contextmanager
def local_server(take: Callable[[Request], Response]) -> Iterator[str]:
    """Answers each POST by `take`, which may block; its URL, without a slash at the end.

    An error in `take` is a 500, and raised when the server ends.
    """
    with _LocalServer(HOST, 0, threaded=True) as server:
        server.expect_request("", method="POST").respond_with_handler(take)
        yield server.url_for("").rstrip("/")
        server.check()


def target_of(request: Request) -> str:
    """Path and query as they came, not decoded."""
    return str(request.environ["REQUEST_URI"])
