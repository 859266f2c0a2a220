"""The TLS listener of both wallets. It requests a client certificate; some of WeChat Pay's paths require one.

uvicorn does not expose the peer's certificate, so the protocol here adds it to the ASGI scope as the ASGI TLS extension
specifies. A certificate that our CA did not sign ends the handshake: Python's TLS cannot accept and report it.
"""

import asyncio
import ssl

from starlette.requests import Request

from tael_sandbox.certificates import Certificates, common_name
from tael_sandbox.fault_injection.middleware import ResettableProtocol


def server_context(certificates: Certificates) -> ssl.SSLContext:
    """TLS 1.2 or newer; a client certificate is optional here."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificates.server.cert_path, certificates.server.key_path)
    context.load_verify_locations(certificates.authority.cert_path)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


class PeerCertificateProtocol(ResettableProtocol):
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
    """Reads the connection's own state: a forwarding header may change the scheme of the scope."""
    return "tls" in (request.scope.get("extensions") or {})


def peer_name(request: Request) -> str | None:
    """The common name of the client's certificate; None if it sent none."""
    tls = (request.scope.get("extensions") or {}).get("tls") or {}
    name = tls.get("client_cert_name")
    return None if name is None else str(name).removeprefix("CN=")
