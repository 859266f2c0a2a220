"""The TLS side of the server, for both wallets: a client certificate is asked for, and each path decides whether
it needs one. Some of WeChat Pay's do, none of Alipay's does.

uvicorn does not tell an application who is at the other end, so the protocol here puts the peer's certificate
into the ASGI scope, in the place that the ASGI TLS extension names. A certificate that our CA did not sign
ends the handshake: Python's TLS cannot be asked to accept it and tell us about it.
"""

import asyncio
import ssl

from starlette.requests import Request

from tael_sandbox.certificates import Certificates, common_name
from tael_sandbox.fault_injection.wire import FaultyProtocol


def server_context(certificates: Certificates) -> ssl.SSLContext:
    """TLS 1.2 or newer; a client certificate is optional here."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificates.server.cert_path, certificates.server.key_path)
    context.load_verify_locations(certificates.authority.cert_path)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


class PeerCertificateProtocol(FaultyProtocol):
    """uvicorn's HTTP protocol, with `extensions.tls` in the scope of each request of a TLS connection."""

    _tls: dict[object, object] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is None:
            return
        peer = tls.getpeercert(binary_form=True)
        chain = [ssl.DER_cert_to_PEM_cert(peer)] if peer else []
        self._tls = {
            "client_cert_chain": chain,
            "client_cert_name": f"CN={common_name(peer)}" if peer else None,
        }

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._tls is not None:
            self.scope["extensions"]["tls"] = self._tls


def is_over_tls(request: Request) -> bool:
    """Told by the connection; the scheme of the scope may be rewritten by a forwarding header."""
    return "tls" in (request.scope.get("extensions") or {})


def peer_name(request: Request) -> str | None:
    """The common name of the client's certificate, None where it sent none."""
    tls = (request.scope.get("extensions") or {}).get("tls") or {}
    name = tls.get("client_cert_name")
    return None if name is None else str(name).removeprefix("CN=")
