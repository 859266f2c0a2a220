"""The TLS listener: the calls that need a client certificate, and the checks of the certificate.

It also serves under the wallets' own names, to clients that resolve these to this machine.
"""

import base64
import http.client
import shutil
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final
from urllib.parse import urlencode, urlsplit

import pytest
import trustme
from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.sandbox import alipay_shop
from tests.sandbox.conftest import Sandbox
from tests.sandbox.wechat_shop import Shop, as_xml, both_kinds, code, from_xml, new_number, shop
from tests.support.http_calls import CALL_LIMIT_S

SECURED = ("/secapi/pay/refund", "/secapi/pay/reverse")
#: The hosts that SDKs have hard-coded.
WECHAT_HOSTS: Final = tuple(
    f"{name}.mch.weixin.qq.com" for name in ("api", "api2", "apihk", "apius", "apieu")
)
ALIPAY_HOSTS: Final = (
    *(f"{name}.alipay.com" for name in ("mapi", "intlmapi", "globalmapi", "notify")),
    "mapi.alipaydev.com",
)
#: Posts a body to a fixed host that is resolved to this machine, with a client certificate from a PKCS#12 file.
NODE_CLIENT: Final = """
const [port, host, path, passphrase, files] = process.argv.slice(1)
const read = name => require('fs').readFileSync(`${files}/${name}`)
const lookup = (_host, options, found) =>
  options.all ? found(null, [{address: '127.0.0.1', family: 4}]) : found(null, '127.0.0.1', 4)
const trust = {ca: read('ca.pem'), pfx: read('client.p12'), passphrase}
const request = require('https').request({...trust, host, port, path, method: 'POST', lookup}, answer =>
  answer.on('data', bytes => process.stdout.write(bytes)))
request.end(read('body'))
"""


@pytest.fixture(scope="module")
def demo(request: pytest.FixtureRequest, sandbox: Sandbox) -> Shop:
    return shop(sandbox, getattr(request, "param", "demo"))


@both_kinds
def test_money_is_returned_with_the_right_certificate(sandbox: Sandbox, demo: Shop) -> None:
    tls = demo.client_tls()
    number, other = new_number(), new_number()
    for name in (number, other):
        assert demo.scan_code(code(sandbox), out_trade_no=name, tls=tls)["result_code"] == "SUCCESS"
    assert demo.refund(number, 100, tls=tls)["result_code"] == "SUCCESS"
    assert demo.reverse(other, tls=tls)["result_code"] == "SUCCESS"


def test_calls_that_return_no_money_need_no_certificate(demo: Shop) -> None:
    tls = demo.client_tls(with_certificate=False)
    number = new_number()
    assert demo.order(out_trade_no=number, tls=tls)["result_code"] == "SUCCESS"
    assert demo.query(number, tls=tls)["trade_state"] == "NOTPAY"


@both_kinds
@pytest.mark.parametrize("path", SECURED)
def test_without_a_certificate_the_response_is_html(demo: Shop, path: str) -> None:
    answer = demo.send(path, b"<xml/>", tls=demo.client_tls(with_certificate=False))
    assert (answer.status, answer.content_type.split(";")[0]) == (400, "text/html")
    assert b"<title>400 No required SSL certificate was sent</title>" in answer.body


def test_a_forwarding_header_does_not_waive_the_certificate(sandbox: Sandbox, demo: Shop) -> None:
    base = urlsplit(sandbox.tls)
    assert base.hostname is not None
    tls = demo.client_tls(with_certificate=False)
    connection = http.client.HTTPSConnection(base.hostname, base.port, context=tls)
    connection.request("POST", SECURED[0], b"<xml/>", {"X-Forwarded-Proto": "http"})
    assert connection.getresponse().status == 400
    connection.close()


@both_kinds
def test_the_certificate_of_another_provider_does_not_match(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    demo.scan_code(code(sandbox), out_trade_no=number)
    other_provider = shop(sandbox, "chain_east").client_tls()
    assert demo.refund(number, 100, tls=other_provider).error == "certificate not match"
    assert demo.reverse(number, tls=other_provider).error == "certificate not match"
    assert demo.state(number) == "SUCCESS"


def test_the_certificate_is_the_provider_s_not_the_shop_s(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    demo.scan_code(code(sandbox), out_trade_no=number)
    sibling = shop(sandbox, "wechat_only").client_tls()
    assert demo.refund(number, 100, tls=sibling)["result_code"] == "SUCCESS"


def test_a_bad_signature_is_reported_before_a_wrong_certificate(sandbox: Sandbox, demo: Shop) -> None:
    other_provider = shop(sandbox, "chain_east")
    forged = Shop({**demo.account, "key": "0" * 32})
    assert forged.refund(new_number(), 100, tls=other_provider.client_tls()).error == "签名错误，请检查后再试"


def test_a_certificate_of_another_authority_ends_the_connection(demo: Shop) -> None:
    tls = demo.client_tls(with_certificate=False)
    trustme.CA().issue_cert(common_name=demo.account["mch_id"]).configure_cert(tls)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        demo.refund(new_number(), 100, tls=tls)


def test_a_client_that_does_not_trust_the_authority_does_not_connect(demo: Shop) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        demo.refund(new_number(), 100, tls=ssl.create_default_context())


def test_plain_http_waives_the_certificate(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    demo.scan_code(code(sandbox), out_trade_no=number)
    assert demo.refund(number, 100)["result_code"] == "SUCCESS"


@pytest.fixture
def hosts_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The effect of entries in the hosts file, for this process: every name resolves to this machine."""
    request = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _host, *rest: request("127.0.0.1", *rest))


def fetched(sandbox: Sandbox, ca_pem: str, host: str, path: str, body: bytes | None) -> tuple[int, bytes]:
    """The response to a client with a hard-coded host and no client certificate that trusts only the sandbox's CA."""
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=ssl.create_default_context(cadata=ca_pem)),
    )
    url = f"https://{host}:{urlsplit(sandbox.tls).port}{path}"
    try:
        with opener.open(url, body, timeout=CALL_LIMIT_S) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read()


@pytest.mark.usefixtures("hosts_entries")
@pytest.mark.parametrize("host", WECHAT_HOSTS)
def test_wechat_pay_is_served_under_its_own_names(sandbox: Sandbox, demo: Shop, host: str) -> None:
    number = new_number()
    demo.order(out_trade_no=number)
    body = as_xml(demo.signed(out_trade_no=number))
    status, answer = fetched(sandbox, demo.account["ca_pem"], host, "/pay/orderquery", body)
    assert (status, from_xml(answer)["trade_state"]) == (200, "NOTPAY")


@pytest.mark.usefixtures("hosts_entries")
@pytest.mark.parametrize("host", ALIPAY_HOSTS)
def test_alipay_is_served_under_its_own_names(sandbox: Sandbox, host: str) -> None:
    """Without a client certificate, which Alipay does not need."""
    account = sandbox.account("alipay", scene="online")
    request = alipay_shop.shop(sandbox, "online").signed("single_trade_query", {"out_trade_no": "none"})
    path = f"/gateway.do?{urlencode(request)}"
    status, answer = fetched(sandbox, account["ca_pem"], host, path, None)
    assert (status, b"<error>TRADE_NOT_EXIST</error>" in answer) == (200, True)


@pytest.mark.usefixtures("hosts_entries")
@pytest.mark.parametrize("host", [WECHAT_HOSTS[0], ALIPAY_HOSTS[0]])
@pytest.mark.parametrize("path", ["/", "/control/accounts", "/phone/events"])
def test_the_phone_and_control_are_closed_under_a_wallet_s_name(
    sandbox: Sandbox, demo: Shop, host: str, path: str
) -> None:
    status, _ = fetched(sandbox, demo.account["ca_pem"], host, path, None)
    assert status == 403


def test_curl_reaches_both_wallets_under_the_hosts_of_sdks(
    sandbox: Sandbox, demo: Shop, tmp_path: Path
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine")
    (tmp_path / "ca.pem").write_text(demo.account["ca_pem"])
    number, port = new_number(), urlsplit(sandbox.tls).port
    demo.order(out_trade_no=number)
    to_here = ["--connect-to", f"::127.0.0.1:{port}", "--cacert", str(tmp_path / "ca.pem")]
    wechat = ["-d", as_xml(demo.signed(out_trade_no=number)), f"https://{WECHAT_HOSTS[0]}/pay/orderquery"]
    alipay = [*to_here, f"https://{ALIPAY_HOSTS[0]}/gateway.do?service=notify_verify&partner=0&notify_id=0"]
    elsewhere = [*to_here, "https://www.alipay.com/gateway.do"]
    done = [
        subprocess.run(["curl", "-sS", *arguments], capture_output=True, timeout=CALL_LIMIT_S)
        for arguments in ([*to_here, *wechat], alipay, elsewhere)
    ]
    assert from_xml(done[0].stdout)["trade_state"] == "NOTPAY"
    assert (done[1].returncode, done[1].stdout) == (0, b"invalid")
    assert done[2].returncode == 60, "curl's exit code for an untrusted certificate"


def test_node_refunds_at_the_fixed_host_with_the_pkcs12_file(
    sandbox: Sandbox, demo: Shop, tmp_path: Path
) -> None:
    if shutil.which("node") is None:
        pytest.skip("no node on this machine")
    number, account = new_number(), demo.account
    demo.scan_code(code(sandbox), out_trade_no=number)
    request = demo.signed(out_trade_no=number, out_refund_no=new_number("R"), total_fee=8800, refund_fee=100)
    (tmp_path / "body").write_bytes(as_xml(request))
    (tmp_path / "ca.pem").write_text(account["ca_pem"])
    (tmp_path / "client.p12").write_bytes(base64.b64decode(account["cert_p12_base64"]))
    where = [str(urlsplit(sandbox.tls).port), WECHAT_HOSTS[0], SECURED[0]]
    done = subprocess.run(
        ["node", "-e", NODE_CLIENT, *where, account["mch_id"], str(tmp_path)],
        capture_output=True,
        timeout=CALL_LIMIT_S,
    )
    assert done.stderr == b""
    assert from_xml(done.stdout)["result_code"] == "SUCCESS"


def test_every_account_has_everything_that_an_sdk_needs(sandbox: Sandbox) -> None:
    rows = [row for row in sandbox.control("GET", "accounts") if row["wallet"] == "wechat"]
    in_currencies = [
        f"in_{code}" for code in ["hkd", "cny", "usd", "jpy", "krw", "sgd", "eur", "gbp", "aud", "thb"]
    ]
    shops = ["demo", "wechat_only", "chain_east", "chain_west", *in_currencies, "direct"]
    assert [row["shop"] for row in rows] == shops
    assert {row["base_url"] for row in rows} == {sandbox.tls}
    assert len({row["mch_id"] for row in rows}) == 3
    for row in rows:
        certificate = x509.load_pem_x509_certificate(row["cert_pem"].encode())
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        assert [name.value for name in names] == [row["mch_id"]]
        currency = row["shop"].removeprefix("in_").upper() if row["shop"] in in_currencies else "HKD"
        assert (row["scene"], row["currency"], len(row["key"])) == ("both", currency, 32)
