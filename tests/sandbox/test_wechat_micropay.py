"""micropay with each behaviour of a barcode, and reverse."""

import pytest

from tests.sandbox.conftest import ControlRefused, Sandbox
from tests.sandbox.wechat_shop import Shop, both_kinds, code, confirm, new_number, openid, shop, spent


@pytest.fixture
def demo(request: pytest.FixtureRequest, sandbox: Sandbox) -> Shop:
    return shop(sandbox, getattr(request, "param", "demo"))


@both_kinds
def test_a_barcode_that_pays_is_paid_at_once(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    with spent(sandbox, "dora", 8028):
        reply = demo.scan_code(code(sandbox, payer="dora"), out_trade_no=number, device_info="till 2").fields
    assert reply["result_code"] == "SUCCESS"
    assert (reply["trade_type"], reply["device_info"], reply["out_trade_no"]) == (
        "MICROPAY",
        "till 2",
        number,
    )
    assert (reply["cash_fee"], reply["cash_fee_type"], reply["rate"]) == ("8028", "CNY", "91230000")
    assert reply["openid"] == openid(sandbox, "dora", demo.account["appid"])
    assert reply["is_subscribe"] == "N"
    assert demo.query(number)["transaction_id"] == reply["transaction_id"]


def test_sub_openid_comes_with_the_sub_appid(sandbox: Sandbox, demo: Shop) -> None:
    sub_appid = demo.account["sub_appid"]
    reply = demo.scan_code(code(sandbox), sub_appid=sub_appid).fields
    assert reply["sub_appid"] == sub_appid
    assert reply["sub_openid"] == openid(sandbox, "chen", sub_appid)


def test_a_hong_kong_wallet_pays_hkd(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    with spent(sandbox, "emil", 8800):
        reply = demo.scan_code(code(sandbox, wallet="wechat_hk"), out_trade_no=number).fields
    assert (reply["cash_fee"], reply["cash_fee_type"], reply.get("rate")) == ("8800", "HKD", None)
    books = {w: sandbox.control("GET", f"book?wallet={w}")["trades"] for w in ("wechat", "wechat_hk")}
    assert [w for w, rows in books.items() if any(row["order"] == number for row in rows)] == ["wechat_hk"]


@both_kinds
def test_an_entered_password_pays(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    with spent(sandbox, "chen", 0):
        request = demo.scan_code(code(sandbox, "password"), out_trade_no=number)
        assert (request.error, request["err_code_des"]) == ("USERPAYING", "需要用户输入支付密码")
        assert demo.state(number) == "USERPAYING"
        assert confirm(sandbox, "wrong_password", trade=number)["state"] == "USERPAYING"
    with pytest.raises(ControlRefused, match="only chen"):
        confirm(sandbox, "pay", trade=number, payer="dora")
    with spent(sandbox, "chen", 8028):
        assert confirm(sandbox, "pay", trade=number)["state"] == "SUCCESS"
    assert demo.state(number) == "SUCCESS"


def test_an_unentered_password_fails_the_payment_after_thirty_seconds(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    demo.scan_code(code(sandbox, "password"), out_trade_no=number)
    sandbox.advance(25)
    assert demo.state(number) == "USERPAYING"
    sandbox.advance(6)
    assert demo.state(number) == "PAYERROR"
    with pytest.raises(ControlRefused, match="nothing to pay"):
        confirm(sandbox, "pay", trade=number)


def test_a_payer_who_cancels_fails_the_payment(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    demo.scan_code(code(sandbox, "password"), out_trade_no=number)
    assert confirm(sandbox, "cancel", trade=number)["state"] == "PAYERROR"
    assert demo.state(number) == "PAYERROR"


def test_a_password_typed_after_three_seconds(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    with spent(sandbox, "chen", 8028):
        assert demo.scan_code(code(sandbox, "password_then_pays"), out_trade_no=number).error == "USERPAYING"
        assert demo.state(number) == "USERPAYING"
        sandbox.advance(3)
        assert demo.state(number) == "SUCCESS"


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        ("insufficient", "NOTENOUGH"),
        ("expired", "AUTHCODEEXPIRE"),
        ("used", "AUTH_CODE_ERROR"),
        ("unknown_then_nothing", "SYSTEMERROR"),
    ],
)
def test_a_refusal_without_money_leaves_no_order(
    sandbox: Sandbox, demo: Shop, behaviour: str, error: str
) -> None:
    number = new_number()
    with spent(sandbox, "chen", 0):
        assert demo.scan_code(code(sandbox, behaviour), out_trade_no=number).error == error
    assert demo.query(number).error == "ORDERNOTEXIST"
    assert demo.reverse(number).error == "ORDERNOTEXIST"


@both_kinds
def test_a_payer_who_refuses_leaves_an_order_to_reverse(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    with spent(sandbox, "chen", 0):
        assert demo.scan_code(code(sandbox, "refuses"), out_trade_no=number).error == "TRADE_ERROR"
    assert demo.state(number) == "PAYERROR"
    assert demo.reverse(number)["recall"] == "N"
    assert demo.state(number) == "REVOKED"


def test_a_system_error_may_hide_a_payment(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    with spent(sandbox, "chen", 8028):
        assert demo.scan_code(code(sandbox, "unknown_then_paid"), out_trade_no=number).error == "SYSTEMERROR"
    assert demo.state(number) == "SUCCESS"


def test_an_invalid_code_is_refused(sandbox: Sandbox, demo: Shop) -> None:
    alipay = code(sandbox, wallet="alipay")
    for text in ("1" * 17, "99" + "0" * 16, "13" + "0" * 16, "13 0000000000000x", alipay, "a"):
        assert demo.scan_code(text).error == "AUTH_CODE_INVALID"


def test_a_code_pays_once(sandbox: Sandbox, demo: Shop) -> None:
    auth_code, number = code(sandbox), new_number()
    demo.scan_code(auth_code, out_trade_no=number)
    assert demo.scan_code(auth_code).error == "AUTH_CODE_ERROR"
    assert demo.scan_code(auth_code, out_trade_no=number).error == "ORDERPAID"


def test_a_code_expires(sandbox: Sandbox, demo: Shop) -> None:
    auth_code = code(sandbox)
    sandbox.advance(86_400 + 1)
    assert demo.scan_code(auth_code).error == "AUTHCODEEXPIRE"


def test_a_number_with_a_final_result_cannot_be_paid_again(sandbox: Sandbox, demo: Shop) -> None:
    paid, waiting, failed, revoked, native = (new_number() for _ in range(5))
    demo.scan_code(code(sandbox), out_trade_no=paid)
    demo.scan_code(code(sandbox, "password"), out_trade_no=waiting)
    demo.scan_code(code(sandbox, "refuses"), out_trade_no=failed)
    demo.scan_code(code(sandbox), out_trade_no=revoked)
    demo.reverse(revoked)
    demo.order(out_trade_no=native)

    def again(number: str, **change: object) -> str:
        return demo.scan_code(code(sandbox), out_trade_no=number, **change).error

    assert again(paid) == "ORDERPAID"
    assert again(waiting) == "USERPAYING"
    assert again(revoked) == "ORDERREVERSED"
    assert again(native) == "OUT_TRADE_NO_USED"
    assert again(failed, total_fee=1) == "OUT_TRADE_NO_USED"
    assert demo.scan_code(code(sandbox, payer="dora"), out_trade_no=failed).error == "BUYER_MISMATCH"
    assert (
        shop(sandbox, "wechat_only").scan_code(code(sandbox), out_trade_no=paid).error == "OUT_TRADE_NO_USED"
    )
    assert again(failed) == ""
    assert demo.state(failed) == "SUCCESS"


@both_kinds
def test_a_paid_trade_is_reversed_and_the_money_comes_back(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    with spent(sandbox, "chen", 0):
        demo.scan_code(code(sandbox), out_trade_no=number)
        done = demo.reverse(number)
        assert (done["result_code"], done["recall"]) == ("SUCCESS", "N")
        assert demo.reverse(number)["result_code"] == "SUCCESS"  # a repeat has the same result
    assert demo.state(number) == "REVOKED"
    row = next(r for r in sandbox.control("GET", "book")["trades"] if r["order"] == number)
    assert (row["state"], row["refunded"]) == ("REVOKED", 8800)
    assert demo.refund(number, 1).error == "ERROR"


def test_a_reversed_payment_ignores_a_later_password(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    with spent(sandbox, "chen", 0):
        demo.scan_code(code(sandbox, "password_then_pays"), out_trade_no=number)
        assert demo.reverse(number)["recall"] == "N"
        sandbox.advance(60)
        assert demo.state(number) == "REVOKED"


def test_online_refunded_foreign_and_old_orders_cannot_be_reversed(sandbox: Sandbox, demo: Shop) -> None:
    native, parted, old = new_number(), new_number(), new_number()
    demo.order(out_trade_no=native)
    demo.scan_code(code(sandbox), out_trade_no=parted)
    demo.refund(parted, 1)
    demo.scan_code(code(sandbox), out_trade_no=old)
    for number in (native, parted):
        refused = demo.reverse(number)
        assert (refused.error, refused["recall"]) == ("TRADE_ERROR", "N")
    assert shop(sandbox, "wechat_only").reverse(old).error == "ORDERNOTEXIST"
    assert demo.call("/secapi/pay/reverse", transaction_id="12").error == "INVALID_TRANSACTIONID"
    assert demo.call("/secapi/pay/reverse", transaction_id="4" * 28).error == "ORDERNOTEXIST"
    assert demo.call("/secapi/pay/reverse").error == "缺少参数transaction_id或out_trade_no"
    sandbox.advance(7 * 86_400 + 1)
    assert demo.reverse(old).error == "REVERSE_EXPIRE"
    assert demo.state(old) == "SUCCESS"


def test_a_price_above_the_balance_is_refused(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    answer = demo.scan_code(code(sandbox), out_trade_no=number, total_fee=999_999_999_999, fee_type="USD")
    assert answer.error == "NOTENOUGH"
    assert demo.query(number).error == "ORDERNOTEXIST"
