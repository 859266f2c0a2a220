"""HTTP/1.1 as the wallets serve it: an offer to upgrade is passed over, the request answered as if it were not there.

Java's own client offers h2c with every request over plain HTTP. A server may pass over that (RFC 9110, 7.8), but the
parser below uvicorn stops behind such a head, and the request would arrive without its body.
"""

import sys
from typing import Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

OFFER: Final = frozenset({b"connection", b"upgrade", b"http2-settings"})


class Http1Protocol(HttpToolsProtocol):
    """uvicorn's, but a head with an offer is read again without it. We serve no WebSocket."""

    def data_received(self, data: bytes) -> None:
        self._received = data
        super().data_received(data)

    def _should_upgrade(self) -> bool:
        """Says yes to any offer: then uvicorn begins nothing, and calls what follows."""
        return True

    def handle_websocket_upgrade(self) -> None:
        """Called where the parser's exception is being handled, which knows how far it had read."""
        offer = sys.exception()
        assert isinstance(offer, httptools.HttpParserUpgrade)
        behind_head = self._received[offer.args[0] :]
        head = self._head_without_offer()
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        self.data_received(head + behind_head)

    def _head_without_offer(self) -> bytes:
        kept = [(name, value) for name, value in self.headers if name not in OFFER]
        if not self.parser.should_keep_alive():
            kept.append((b"connection", b"close"))
        version = self.parser.get_http_version().encode()
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
        return b"\r\n".join([*lines, *(name + b": " + value for name, value in kept), b"", b""])
