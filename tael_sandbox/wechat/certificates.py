"""The throw-away certificate authority of the simulated WeChat Pay.

It vouches for the TLS listener and for one client certificate per service provider, whose subject's common
name is the provider's mch_id. Everything is made once and kept below the sandbox's folder, so that a client
that trusts the CA still does after a restart.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tael_sandbox.shops import Shops

LIFETIME: Final = timedelta(days=3650)
KEY_BITS: Final = 2048
HOSTS: Final = (
    x509.DNSName("localhost"),
    x509.IPAddress(ip_address("127.0.0.1")),
    x509.IPAddress(ip_address("::1")),
)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, as files and as PEM text."""

    cert_path: Path
    key_path: Path

    @property
    def cert_pem(self) -> str:
        return self.cert_path.read_text()

    @property
    def key_pem(self) -> str:
        return self.key_path.read_text()


class Certificates:
    """Makes what is missing in `folder`, and hands out what is there."""

    def __init__(self, folder: Path, shops: Shops) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.authority = self._pair("ca")
        if not self.authority.cert_path.exists():
            self._make_authority()
        self.server = self._pair("server")
        if not self.server.cert_path.exists():
            self._issue(self.server, "localhost", ExtendedKeyUsageOID.SERVER_AUTH, HOSTS)
        for provider in shops.providers:
            if not self.client(provider.mch_id).cert_path.exists():
                self._issue(
                    self.client(provider.mch_id), provider.mch_id, ExtendedKeyUsageOID.CLIENT_AUTH, ()
                )

    @property
    def ca_pem(self) -> str:
        return self.authority.cert_pem

    def client(self, mch_id: str) -> Pair:
        """The client certificate of this service provider (`apiclient_cert.pem`, `apiclient_key.pem`)."""
        return self._pair(f"client-{mch_id}")

    def _pair(self, name: str) -> Pair:
        return Pair(self._folder / f"{name}.cert.pem", self._folder / f"{name}.key.pem")

    def _make_authority(self) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        subject = _subject("Simulated WeChat Pay CA")
        builder = (
            _dated(x509.CertificateBuilder())
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        _keep(self.authority, key, builder.sign(key, hashes.SHA256()))

    def _issue(
        self, pair: Pair, name: str, use: x509.ObjectIdentifier, hosts: tuple[x509.GeneralName, ...]
    ) -> None:
        issuer = x509.load_pem_x509_certificate(self.authority.cert_path.read_bytes())
        issuer_key = serialization.load_pem_private_key(self.authority.key_path.read_bytes(), None)
        assert isinstance(issuer_key, rsa.RSAPrivateKey)
        key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        builder = (
            _dated(x509.CertificateBuilder())
            .subject_name(_subject(name))
            .issuer_name(issuer.subject)
            .public_key(key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
            )
        )
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        _keep(pair, key, builder.sign(issuer_key, hashes.SHA256()))


def common_name(certificate_der: bytes) -> str:
    """Whom a client certificate was made for; empty where it names nobody."""
    names = x509.load_der_x509_certificate(certificate_der).subject.get_attributes_for_oid(
        NameOID.COMMON_NAME
    )
    return str(names[0].value) if names else ""


def _subject(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Simulated WeChat Pay"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def _dated(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    # Real time, not the sandbox's: TLS libraries know nothing of a moved clock.
    now = datetime.now(UTC)
    return (
        builder.serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + LIFETIME)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not signs_certificates,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _keep(pair: Pair, key: rsa.RSAPrivateKey, certificate: x509.Certificate) -> None:
    """The key first: where the certificate is there, both are, even after a crash in between."""
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(pair.key_path, key_pem, 0o600)
    _write(pair.cert_path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _write(path: Path, content: bytes, mode: int) -> None:
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
