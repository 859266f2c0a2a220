"""A merchant with a contract of its own at WeChat Pay: every pay type, and every call about a payment."""

import pytest

from tests.end_to_end.merchant import Merchant
from tests.end_to_end.rig import Demo, Members

ONLINE = ("800201", "800207", "800210", "800212", "800213", "801010")
BARCODES = ("800208", "800228", "801008", "800008")


def account(demo: Demo) -> Members:
    rows: list[Members] = demo.control("accounts")
    return next(row for row in rows if row["shop"] == "direct")


def test_its_account_names_no_sub_merchant(direct: Merchant, demo: Demo) -> None:
    (row,) = [row for row in demo.ask("account", "list") if row["mchid"] == direct.mchid]
    own = account(demo)
    assert (own["kind"], row["mch_id"], row["appid"]) == ("direct", own["mch_id"], own["appid"])
    assert (row["sub_mch_id"], row["sub_appid"]) == ("", "")


@pytest.mark.parametrize("pay_type", ONLINE)
def test_an_online_order_is_paid_and_refunded(direct: Merchant, demo: Demo, pay_type: str) -> None:
    opened = direct.paid(pay_type, txamt="1200")
    direct.refund_and_wait(opened, "200")
    assert demo.held(opened["syssn"]) == 1000


@pytest.mark.parametrize("pay_type", BARCODES)
def test_a_barcode_is_charged_refunded_and_reversed(direct: Merchant, demo: Demo, pay_type: str) -> None:
    paid = direct.paid(pay_type)
    assert paid["cardcd"]
    direct.refund_and_wait(paid, "34")
    reversed_ = direct.reversed(pay_type)
    assert demo.held(reversed_["syssn"]) == 0


@pytest.mark.parametrize("pay_type", ["800201", "800213"])
def test_a_notice_alone_decides(direct: Merchant, demo: Demo, pay_type: str) -> None:
    """No query is needed: the notice names the order's own appid, and is this account's."""
    opened = direct.open(pay_type)
    with demo.faults({"wallet": "wechat", "operation": "/pay/orderquery", "kind": "http_500", "times": 50}):
        direct.pay_by_phone(opened)
        direct.until(opened["syssn"], "0000")


def test_an_unpaid_order_is_closed(direct: Merchant) -> None:
    direct.closed("800201")


def test_parameters_are_under_its_own_appids(direct: Merchant, demo: Demo) -> None:
    own = account(demo)
    assert direct.open("800207")["pay_params"]["appId"] == own["appid"]
    assert direct.open("800213")["pay_params"]["appId"] == own["mini_appid"]
    in_app = direct.open("800210")["pay_params"]
    assert (in_app["appid"], in_app["partnerid"]) == (own["app_appid"], own["mch_id"])


def test_its_account_passes_the_check(direct: Merchant, demo: Demo) -> None:
    (check,) = demo.ask("account", "check", "--mchid", direct.mchid)
    assert check["result"] == "ok"
