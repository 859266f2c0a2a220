"""The certificate authority of the simulated wallets, created for each data folder.

It signs the TLS listener's certificate, and for each WeChat Pay service provider a client certificate, also as
PKCS#12, whose subject's common name is the mch_id. Critical name constraints limit it to the wallets' hosts and this
machine's names, so a stolen key cannot impersonate any other host. It still belongs in no system's trust store.

Everything is created once and stored in the sandbox's folder, so a client that trusts the CA still does after a
restart. Files of an earlier version are renewed with their existing keys, so that clients keep working.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tael_sandbox.shops import Shops

LIFETIME: Final = timedelta(days=3650)
KEY_BITS: Final = 2048
#: The entry's name in WeChat Pay's own PKCS#12 files, with which Java's SDKs look it up.
FRIENDLY_NAME: Final = b"Tenpay Certificate"
#: The hosts of both wallets that SDKs have hard-coded, of the protocols that the sandbox serves.
ALIPAY_HOSTS: Final = (
    "mapi.alipay.com",
    "intlmapi.alipay.com",
    "globalmapi.alipay.com",
    "notify.alipay.com",
    "mapi.alipaydev.com",
)
WECHAT_HOSTS: Final = (
    "api.mch.weixin.qq.com",
    "api2.mch.weixin.qq.com",
    "apihk.mch.weixin.qq.com",
    "apius.mch.weixin.qq.com",
    "apieu.mch.weixin.qq.com",
)
NAMES: Final = tuple(x509.DNSName(name) for name in ("localhost", *WECHAT_HOSTS, *ALIPAY_HOSTS))
SERVER_NAMES: Final = x509.SubjectAlternativeName(
    [*NAMES, x509.IPAddress(ip_address("127.0.0.1")), x509.IPAddress(ip_address("::1"))]
)
CONSTRAINTS: Final = x509.NameConstraints(
    permitted_subtrees=[
        *NAMES,
        x509.IPAddress(ip_network("127.0.0.0/8")),
        x509.IPAddress(ip_network("::1/128")),
    ],
    excluded_subtrees=None,
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

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.cert_path.read_bytes())

    @property
    def key(self) -> rsa.RSAPrivateKey:
        # Of our own making: the slow check of its numbers is left out.
        key = serialization.load_pem_private_key(
            self.key_path.read_bytes(), None, unsafe_skip_rsa_key_validation=True
        )
        assert isinstance(key, rsa.RSAPrivateKey)
        return key

    def is_whole(self) -> bool:
        """Whether both files exist and match."""
        if not (self.cert_path.exists() and self.key_path.exists()):
            return False
        return bool(self.certificate.public_key() == self.key.public_key())


class Certificates:
    """Gives access to the certificates in `folder`, and creates those that are missing or outdated."""

    def __init__(self, folder: Path, shops: Shops) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.authority = self._pair("ca")
        if not (self.authority.is_whole() and _is_constrained(self.authority.certificate)):
            self._make_authority()
        self.server = self._pair("server")
        if not (self._is_issued(self.server) and _has_all_names(self.server.certificate)):
            self._issue(self.server, "localhost", ExtendedKeyUsageOID.SERVER_AUTH, SERVER_NAMES)
        for account in shops.merchant_accounts:
            client = self.client(account.mch_id)
            if not self._is_issued(client):
                self._issue(client, account.mch_id, ExtendedKeyUsageOID.CLIENT_AUTH, None)
            if not _contains(self.client_p12(account.mch_id), client, account.mch_id):
                _write(self.client_p12(account.mch_id), _p12_of(client, account.mch_id), 0o600)

    @property
    def ca_pem(self) -> str:
        return self.authority.cert_pem

    def client(self, mch_id: str) -> Pair:
        """The client certificate of this provider or direct merchant (`apiclient_cert.pem`, `apiclient_key.pem`)."""
        return self._pair(f"client-{mch_id}")

    def client_p12(self, mch_id: str) -> Path:
        """The same as PKCS#12 (`apiclient_cert.p12`); the password is the mch_id."""
        return self._folder / f"client-{mch_id}.p12"

    def _pair(self, name: str) -> Pair:
        return Pair(self._folder / f"{name}.cert.pem", self._folder / f"{name}.key.pem")

    def _is_issued(self, pair: Pair) -> bool:
        if not pair.is_whole():
            return False
        try:
            pair.certificate.verify_directly_issued_by(self.authority.certificate)
        except (ValueError, InvalidSignature):
            return False
        return True

    def _make_authority(self) -> None:
        """Renews an authority without constraints under its name and key, so that what it signed stays valid."""
        is_renewal = self.authority.is_whole()
        subject = self.authority.certificate.subject if is_renewal else _subject("Simulated wallets CA")
        key = _key_for(self.authority)
        builder = (
            _dated(x509.CertificateBuilder())
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(CONSTRAINTS, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        _store(self.authority, builder.sign(key, hashes.SHA256()))

    def _issue(
        self, pair: Pair, name: str, use: x509.ObjectIdentifier, names: x509.SubjectAlternativeName | None
    ) -> None:
        issuer_key, key = self.authority.key, _key_for(pair)
        builder = (
            _dated(x509.CertificateBuilder())
            .subject_name(_subject(name))
            .issuer_name(self.authority.certificate.subject)
            .public_key(key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
            )
        )
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        _store(pair, builder.sign(issuer_key, hashes.SHA256()))


def common_name(certificate_der: bytes) -> str:
    """The common name of a client certificate's subject; empty if it has none."""
    names = x509.load_der_x509_certificate(certificate_der).subject.get_attributes_for_oid(
        NameOID.COMMON_NAME
    )
    return str(names[0].value) if names else ""


def _subject(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Simulated wallets"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def _dated(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    # Real time, not the sandbox's: TLS libraries use the system clock.
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


def _is_constrained(certificate: x509.Certificate) -> bool:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.NameConstraints)
    except x509.ExtensionNotFound:
        return False
    return extension.critical and extension.value == CONSTRAINTS


def _has_all_names(certificate: x509.Certificate) -> bool:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return False
    return extension.value == SERVER_NAMES


def _key_for(pair: Pair) -> rsa.RSAPrivateKey:
    """The existing key or a new one. Reuse means that a crash before the certificate is written leaves no mismatch."""
    if not pair.key_path.exists():
        key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        key_pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        _write(pair.key_path, key_pem, 0o600)
    return pair.key


def _p12_of(pair: Pair, mch_id: str) -> bytes:
    """One key and one certificate with 3DES and SHA-1 like WeChat Pay's own, which Go, Node, Java and Ruby all read."""
    encryption = (
        serialization.PrivateFormat.PKCS12.encryption_builder()
        .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
        .hmac_hash(hashes.SHA1())
        .build(mch_id.encode())
    )
    return pkcs12.serialize_key_and_certificates(FRIENDLY_NAME, pair.key, pair.certificate, None, encryption)


def _contains(path: Path, pair: Pair, mch_id: str) -> bool:
    try:
        _key, certificate, _chain = pkcs12.load_key_and_certificates(path.read_bytes(), mch_id.encode())
    except (FileNotFoundError, ValueError):
        return False
    return certificate == pair.certificate


def _store(pair: Pair, certificate: x509.Certificate) -> None:
    _write(pair.cert_path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _write(path: Path, content: bytes, mode: int) -> None:
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
