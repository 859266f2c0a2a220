"""A sandbox's certificates as the version before the wallets' own names made them, under the keys that are there.

By `cryptography`: trustme, which makes the other certificates of tests, cannot certify a key that exists.
"""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

LOCAL: Final = x509.SubjectAlternativeName(
    [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
)
CA: Final = x509.BasicConstraints(ca=True, path_length=0)


def make_old(folder: Path, issuer: x509.Name) -> str:
    """A CA that may sign for any name, a server with local names only, and no PKCS#12; the CA's PEM."""
    key = serialization.load_pem_private_key((folder / "ca.key.pem").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    for path in folder.glob("*.key.pem"):
        own = serialization.load_pem_private_key(path.read_bytes(), None)
        assert isinstance(own, rsa.RSAPrivateKey)
        name = path.name.removesuffix(".key.pem")
        subject = issuer if name == "ca" else _called(name.removeprefix("client-"))
        builder = _certificate_of(own.public_key(), issuer, subject)
        if name == "ca":
            builder = builder.add_extension(CA, critical=True)
        if name == "server":
            builder = builder.add_extension(LOCAL, critical=False)
        (folder / f"{name}.cert.pem").write_bytes(
            builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )
    for path in folder.glob("*.p12"):
        path.unlink()
    return (folder / "ca.cert.pem").read_text()


def issuer_in(folder: Path) -> x509.Name:
    return x509.load_pem_x509_certificate((folder / "ca.cert.pem").read_bytes()).subject


def _certificate_of(key: rsa.RSAPublicKey, issuer: x509.Name, subject: x509.Name) -> x509.CertificateBuilder:
    """Not signed yet; valid from yesterday until tomorrow."""
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
