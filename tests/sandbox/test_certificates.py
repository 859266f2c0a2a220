"""The sandbox's CA: its name constraints, the renewal of earlier versions, and PKCS#12 files."""

import shutil
import ssl
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from tael_sandbox.certificates import Certificates, Pair
from tael_sandbox.shops import Shops, open_shops
from tael_sandbox.tls import server_context
from tests.sandbox.wechat_shop import load_pair
from tests.support.old_certificates import make_old

COMMAND_LIMIT_S: Final = 60
#: OpenSSL's X509_V_ERR_PERMITTED_VIOLATION: a name outside the CA's constraints.
PERMITTED_VIOLATION: Final = 47
MANY_STEPS: Final = 10
ALLOWED: Final = (
    *("localhost", "127.0.0.1", "127.9.9.9", "::1"),
    *(f"{name}.mch.weixin.qq.com" for name in ("api", "api2", "apihk", "apius", "apieu")),
    *(f"{name}.alipay.com" for name in ("mapi", "intlmapi", "globalmapi", "notify")),
    "mapi.alipaydev.com",
)
REFUSED: Final = (
    *("example.com", "weixin.qq.com", "mch.weixin.qq.com", "api.weixin.qq.com", "xapi.mch.weixin.qq.com"),
    *("alipay.com", "www.alipay.com", "openapi.alipay.com", "alipaydev.com", "mapi.alipay.com.example.com"),
    *("10.0.0.1", "128.0.0.1", "::2"),
)
#: The CA's name before it also signed for Alipay.
OLD_NAME: Final = x509.Name(
    [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Simulated WeChat Pay"),
        x509.NameAttribute(NameOID.COMMON_NAME, "Simulated WeChat Pay CA"),
    ]
)


@pytest.fixture(scope="module")
def shops(key_folder: Path) -> Shops:
    return open_shops(key_folder / "shops.json")


@pytest.fixture(scope="module")
def made(key_folder: Path, shops: Shops) -> Certificates:
    return Certificates(key_folder / "certificates", shops)


@pytest.fixture
def folder(key_folder: Path, tmp_path: Path) -> Path:
    """A copy of a sandbox's certificates, for tests that damage it."""
    return Path(shutil.copytree(key_folder / "certificates", tmp_path / "certificates"))


@pytest.mark.parametrize("name", ALLOWED)
def test_the_ca_is_valid_for_the_wallets_and_this_machine(made: Certificates, name: str) -> None:
    shake_hands(trusting(made.ca_pem), serving_as(name, made.authority), name)


@pytest.mark.parametrize("name", REFUSED)
def test_a_certificate_of_the_ca_for_another_name_is_refused(made: Certificates, name: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError) as refused:
        shake_hands(trusting(made.ca_pem), serving_as(name, made.authority), name)
    assert refused.value.verify_code == PERMITTED_VIOLATION


def test_the_constraints_are_critical(made: Certificates) -> None:
    """A client that does not support critical constraints must refuse the CA."""
    found = made.authority.certificate.extensions.get_extension_for_class(x509.NameConstraints)
    assert found.critical
    assert found.value.excluded_subtrees is None


def test_each_folder_has_a_ca_of_its_own(made: Certificates, shops: Shops, tmp_path: Path) -> None:
    other = Certificates(tmp_path / "other", replace(shops, merchant_accounts=()))
    assert other.authority.key_pem != made.authority.key_pem
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(trusting(other.ca_pem), server_context(made), "localhost")


def test_a_ca_without_constraints_is_renewed_and_its_clients_stay_valid(folder: Path, shops: Shops) -> None:
    """A gateway stores client certificates in its database, and others have copies of the old CA."""
    old_ca_pem = make_old(folder, OLD_NAME)
    kept = {path.name: path.read_bytes() for path in folder.glob("*.key.pem")}
    kept |= {path.name: path.read_bytes() for path in folder.glob("client-*.cert.pem")}

    renewed = Certificates(folder, shops)

    assert {name: (folder / name).read_bytes() for name in kept} == kept
    assert renewed.authority.certificate.subject == OLD_NAME
    server = server_context(renewed)
    for account in shops.merchant_accounts:
        client = trusting(renewed.ca_pem)
        pair = renewed.client(account.mch_id)
        load_pair(client, pair.cert_pem, pair.key_pem)
        assert shake_hands(client, server, "api.mch.weixin.qq.com") == account.mch_id
        assert renewed.client_p12(account.mch_id).exists()
    shake_hands(trusting(old_ca_pem), server, "localhost")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(trusting(renewed.ca_pem), serving_as("example.com", renewed.authority), "example.com")


@pytest.mark.parametrize("missing", ["ca.cert.pem", "ca.key.pem", "server.key.pem", "server.cert.pem"])
def test_missing_files_are_created_again_and_match_the_rest(folder: Path, shops: Shops, missing: str) -> None:
    (folder / missing).unlink()
    again = Certificates(folder, shops)
    client, mch_id = trusting(again.ca_pem), shops.merchant_accounts[0].mch_id
    pair = again.client(mch_id)
    load_pair(client, pair.cert_pem, pair.key_pem)
    assert shake_hands(client, server_context(again), "mapi.alipay.com") == mch_id
    assert certificate_in_p12(again, mch_id) == pair.certificate


def test_a_second_start_changes_nothing(folder: Path, shops: Shops) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    Certificates(folder, shops)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_pkcs12_holds_the_client_s_key_and_certificate_and_no_chain(made: Certificates, shops: Shops) -> None:
    for account in shops.merchant_accounts:
        pair, path = made.client(account.mch_id), made.client_p12(account.mch_id)
        key, certificate, chain = pkcs12.load_key_and_certificates(path.read_bytes(), account.mch_id.encode())
        assert isinstance(key, rsa.RSAPrivateKey)
        assert key.private_numbers() == pair.key.private_numbers()
        assert (certificate, chain) == (pair.certificate, [])
        assert path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(ValueError, match="password"):
            pkcs12.load_key_and_certificates(path.read_bytes(), b"1" + account.mch_id.encode())


def test_pkcs12_has_the_form_that_all_readers_support(made: Certificates, shops: Shops) -> None:
    mch_id = shops.merchant_accounts[0].mch_id
    output = output_of(
        "openssl", "pkcs12", "-info", "-noout", *reading(made, mch_id, "-in", "-passin", "pass:")
    )
    forms = [line.partition(", ")[0] for line in output.splitlines() if ": " in line]
    assert forms == [
        "MAC: sha1",
        "MAC length: 20",
        "PKCS7 Encrypted data: pbeWithSHA1And3-KeyTripleDES-CBC",
        "Shrouded Keybag: pbeWithSHA1And3-KeyTripleDES-CBC",
    ]


def test_java_reads_the_pkcs12_file(made: Certificates, shops: Shops) -> None:
    store = reading(made, shops.merchant_accounts[0].mch_id, "-keystore", "-storepass", "")
    output = output_of("keytool", "-list", "-storetype", "PKCS12", *store)
    assert "tenpay certificate, " in output
    assert "PrivateKeyEntry" in output


def reading(made: Certificates, mch_id: str, file: str, password: str, prefix: str) -> list[str]:
    return [file, str(made.client_p12(mch_id)), password, f"{prefix}{mch_id}"]


def output_of(*command: str) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} on this machine")
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_LIMIT_S)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def certificate_in_p12(made: Certificates, mch_id: str) -> x509.Certificate | None:
    return pkcs12.load_key_and_certificates(made.client_p12(mch_id).read_bytes(), mch_id.encode())[1]


def trusting(ca_pem: str) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=ca_pem)


def serving_as(name: str, authority: Pair) -> ssl.SSLContext:
    """A server with a certificate for this name, signed with the CA's stolen key."""
    stolen = trustme.CA.from_pem(authority.cert_pem.encode(), authority.key_pem.encode())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    stolen.issue_cert(name).configure_cert(context)
    return context


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> str | None:
    """Handshake in memory. Returns the client's common name as the server sees it. Raises ssl.SSLError."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_side = client.wrap_bio(back, there, server_hostname=name)
    server_side = server.wrap_bio(there, back, server_side=True)
    unfinished = [client_side, server_side]
    for _ in range(MANY_STEPS):
        unfinished = [side for side in unfinished if not has_shaken(side)]
    assert unfinished == []
    peer = server_side.getpeercert(binary_form=True)
    names = x509.load_der_x509_certificate(peer).subject if peer else x509.Name([])
    return next((str(found.value) for found in names.get_attributes_for_oid(NameOID.COMMON_NAME)), None)


def has_shaken(side: ssl.SSLObject) -> bool:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True
