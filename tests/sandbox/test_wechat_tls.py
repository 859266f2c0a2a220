"""The TLS listener: who must show a certificate, whose it must be, and what happens without one."""

import http.client
import ssl
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.sandbox.conftest import Sandbox
from tests.sandbox.wechat_shop import Shop, code, fresh, load_pair, shop

SECURED = ("/secapi/pay/refund", "/secapi/pay/reverse")


@pytest.fixture(scope="module")
def demo(sandbox: Sandbox) -> Shop:
    return shop(sandbox)


def test_money_goes_back_with_the_right_certificate(sandbox: Sandbox, demo: Shop) -> None:
    tls = demo.client_tls()
    number, other = fresh(), fresh()
    for name in (number, other):
        assert demo.scan_code(code(sandbox), out_trade_no=name, tls=tls)["result_code"] == "SUCCESS"
    assert demo.refund(number, 100, tls=tls)["result_code"] == "SUCCESS"
    assert demo.reverse(other, tls=tls)["result_code"] == "SUCCESS"


def test_what_moves_no_money_back_needs_no_certificate(demo: Shop) -> None:
    tls = demo.client_tls(with_certificate=False)
    number = fresh()
    assert demo.order(out_trade_no=number, tls=tls)["result_code"] == "SUCCESS"
    assert demo.query(number, tls=tls)["trade_state"] == "NOTPAY"


@pytest.mark.parametrize("path", SECURED)
def test_without_a_certificate_the_answer_is_html(demo: Shop, path: str) -> None:
    answer = demo.send(path, b"<xml/>", tls=demo.client_tls(with_certificate=False))
    assert (answer.status, answer.content_type.split(";")[0]) == (400, "text/html")
    assert b"<title>400 No required SSL certificate was sent</title>" in answer.body


def test_a_forwarding_header_waives_nothing(sandbox: Sandbox, demo: Shop) -> None:
    base = urlsplit(sandbox.tls)
    assert base.hostname is not None
    tls = demo.client_tls(with_certificate=False)
    connection = http.client.HTTPSConnection(base.hostname, base.port, context=tls)
    connection.request("POST", SECURED[0], b"<xml/>", {"X-Forwarded-Proto": "http"})
    assert connection.getresponse().status == 400
    connection.close()


def test_the_certificate_of_another_provider_does_not_match(sandbox: Sandbox, demo: Shop) -> None:
    number = fresh()
    demo.scan_code(code(sandbox), out_trade_no=number)
    stranger = shop(sandbox, "chain_east").client_tls()
    assert demo.refund(number, 100, tls=stranger).error == "certificate not match"
    assert demo.reverse(number, tls=stranger).error == "certificate not match"
    assert demo.state(number) == "SUCCESS"
    sibling = shop(sandbox, "wechat_only").client_tls()  # the certificate is the provider's, not the shop's
    assert demo.refund(number, 100, tls=sibling)["result_code"] == "SUCCESS"


def test_a_bad_signature_is_told_before_a_wrong_certificate(sandbox: Sandbox, demo: Shop) -> None:
    stranger = shop(sandbox, "chain_east")
    forged = Shop({**demo.account, "key": "0" * 32})
    assert forged.refund(fresh(), 100, tls=stranger.client_tls()).error == "签名错误，请检查后再试"


def test_a_certificate_of_another_authority_ends_the_connection(demo: Shop) -> None:
    tls = demo.client_tls(with_certificate=False)
    load_pair(tls, *_self_made(demo.account["mch_id"]))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        demo.refund(fresh(), 100, tls=tls)


def test_a_client_that_does_not_trust_the_authority_does_not_connect(demo: Shop) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        demo.refund(fresh(), 100, tls=ssl.create_default_context())


def test_plain_http_waives_the_certificate(sandbox: Sandbox, demo: Shop) -> None:
    number = fresh()
    demo.scan_code(code(sandbox), out_trade_no=number)
    assert demo.refund(number, 100)["result_code"] == "SUCCESS"


def test_every_account_comes_with_what_an_sdk_needs(sandbox: Sandbox) -> None:
    rows = [row for row in sandbox.control("GET", "accounts") if row["wallet"] == "wechat"]
    assert [row["shop"] for row in rows] == ["demo", "wechat_only", "chain_east", "chain_west"]
    assert {row["base_url"] for row in rows} == {sandbox.tls}
    assert len({row["mch_id"] for row in rows}) == 2
    for row in rows:
        certificate = x509.load_pem_x509_certificate(row["cert_pem"].encode())
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        assert [name.value for name in names] == [row["mch_id"]]
        assert (row["scene"], row["currency"], len(row["key"])) == ("both", "HKD", 32)


def _self_made(name: str) -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), key_pem.decode()
