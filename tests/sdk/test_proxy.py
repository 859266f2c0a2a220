"""The proxy leads every host to the sandbox, and serves nothing else."""

import http.client
import ssl

import pytest

from tests.sandbox.conftest import Sandbox
from tests.sdk.proxy import proxy


@pytest.mark.parametrize("host", ["api.mch.weixin.qq.com", "mapi.alipay.com"])
def test_a_wallets_host_is_the_sandbox_and_is_verified(sandbox: Sandbox, host: str) -> None:
    authority = ssl.create_default_context(cadata=sandbox.account("wechat")["ca_pem"])
    with proxy(sandbox.tls) as running:
        connection = http.client.HTTPSConnection("127.0.0.1", running.port, context=authority, timeout=10)
        connection.set_tunnel(host, 443)
        connection.request("GET", "/gateway.do?service=notify_verify&partner=0&notify_id=0")
        assert connection.getresponse().read() == b"invalid"
        connection.close()


def test_a_request_that_is_not_for_tls_is_refused(sandbox: Sandbox) -> None:
    with proxy(sandbox.tls) as running:
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
        connection.request("GET", "http://api.mch.weixin.qq.com/pay/orderquery")
        assert connection.getresponse().status == 405
        connection.close()
