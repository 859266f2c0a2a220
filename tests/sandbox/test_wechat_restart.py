"""The books survive the end of the process, with any signal."""

import signal

import pytest

from tests.sandbox.conftest import Receiver, Sandbox
from tests.sandbox.wechat_shop import code, confirm, from_xml, new_number, openid, shop

SUCCESS_REPLY = b"<xml><return_code>SUCCESS</return_code></xml>"


@pytest.mark.parametrize(
    ("label", "number"), [("demo", signal.SIGTERM), ("demo", signal.SIGKILL), ("direct", signal.SIGKILL)]
)
def test_everything_continues_after_a_restart(
    own_sandbox: Sandbox, receiver: Receiver, label: str, number: signal.Signals
) -> None:
    sandbox = own_sandbox
    demo = shop(sandbox, label)
    paid, typing, unpaid, notified, refund = (
        new_number(),
        new_number(),
        new_number(),
        new_number(),
        new_number("R"),
    )
    demo.scan_code(code(sandbox), out_trade_no=paid)
    demo.refund(paid, 100, out_refund_no=refund)
    demo.scan_code(code(sandbox, "password_then_pays"), out_trade_no=typing)
    qr_code = demo.order(out_trade_no=unpaid)["code_url"]
    receiver.answers = [(503, b"")]
    receiver.answer = (200, SUCCESS_REPLY)
    url = receiver.url.split("?")[0]
    confirm(sandbox, "pay", url=demo.order(out_trade_no=notified, notify_url=url)["code_url"])
    receiver.wait_for(1)
    account, clock = demo.account, sandbox.control("GET", "clock")["offset_s"]
    payer_openid = openid(sandbox, "chen", account["appid"])

    sandbox.restart(number=number)

    assert shop(sandbox, label).account == account
    assert sandbox.control("GET", "clock")["offset_s"] == clock
    assert openid(sandbox, "chen", account["appid"]) == payer_openid
    sandbox.advance(20)
    assert demo.state(typing) == "SUCCESS"
    assert demo.call("/pay/refundquery", out_refund_no=refund)["refund_status_0"] == "SUCCESS"
    assert confirm(sandbox, "pay", url=qr_code)["state"] == "SUCCESS"
    assert from_xml(receiver.wait_for(2)[1])["out_trade_no"] == notified
    tls = demo.client_tls()
    assert demo.refund(paid, 1, tls=tls)["result_code"] == "SUCCESS"
