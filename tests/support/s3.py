"""An S3-compatible server for tests. It holds objects in memory, and checks no signature."""

import logging
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from moto.server import ThreadedMotoServer

from tests.support.http_calls import call


@dataclass(frozen=True)
class S3Server:
    """A running server with an empty bucket of its own."""

    url: str
    bucket: str
    server: ThreadedMotoServer

    @property
    def environment(self) -> dict[str, str]:
        """The settings that lead to it."""
        return {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
        }

    def names(self) -> set[str]:
        listed = call(self.url, "GET", f"/{self.bucket}?list-type=2")
        assert listed.status == 200
        return set(re.findall("<Key>([^<]*)</Key>", listed.body.decode()))

    def content(self, name: str) -> bytes:
        return call(self.url, "GET", f"/{self.bucket}/{name}").body


@contextmanager
def running_s3() -> Iterator[S3Server]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        _, port = server.get_host_and_port()
        running = S3Server(f"http://127.0.0.1:{port}", f"documents-{secrets.token_hex(4)}", server)
        assert call(running.url, "PUT", f"/{running.bucket}").status == 200
        yield running
    finally:
        server.stop()
