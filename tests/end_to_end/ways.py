"""How to reach each code without a magic value: with a merchant's mistake or an operator's command."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.end_to_end.checkout import link_params, open_link, signed
from tests.end_to_end.merchant import FORM, Merchant, digest, send
from tests.end_to_end.rig import maintenance_window


def paid_at_once(shop: Merchant) -> str:
    return shop.open("800108").respcd


def reference_used_again(shop: Merchant) -> str:
    first = shop.open("800201")
    return shop.open("800201", out_trade_no=first["out_trade_no"], txamt="77").respcd


def json_instead_of_a_form(shop: Merchant) -> str:
    body = b'{"mchid": "1"}'
    headers = shop.headers(digest(body + shop.key.encode()), FORM)
    return send(shop.demo.gateway, "POST", "/trade/v1/payment", body, headers).respcd


def amount_left_out(shop: Merchant) -> str:
    params = shop.payment_params("800201")
    del params["txamt"]
    return shop.call("payment", **params).respcd


def another_key(shop: Merchant) -> str:
    headers = shop.headers("0" * 32)
    return send(shop.demo.gateway, "POST", "/trade/v1/query", b"page=1", headers).respcd


def new_merchant(shop: Merchant, *settings: str) -> Merchant:
    """Another merchant, without an account at any wallet."""
    app = shop.demo.ask("app", "add")
    named = ("--name", "Tea", "--currency", "HKD", *settings)
    merchant = shop.demo.ask("merchant", "add", app["appcode"], *named)
    return Merchant(shop.demo, app["appcode"], app["key"], merchant["mchid"], (merchant["mchid"],))


def merchant_in_state(state: str) -> Callable[[Merchant], str]:
    def pay(shop: Merchant) -> str:
        return new_merchant(shop, "--state", state).open("800201").respcd

    return pay


def denied_payment(shop: Merchant) -> str:
    return new_merchant(shop, "--deny", "payment").open("800201").respcd


def during_maintenance(shop: Merchant) -> str:
    with maintenance_window(shop.demo):
        return shop.open("800201").respcd


def merchant_without_wallets(shop: Merchant) -> str:
    idle = new_merchant(shop)
    linked = open_link(idle, signed(link_params(idle), idle.key))
    answers = [linked, *(idle.open(pay_type) for pay_type in ("800201", "800108"))]
    assert idle.rows() == []
    (code,) = {answer.respcd for answer in answers}
    return code


def another_currency(shop: Merchant) -> str:
    return shop.open("800201", txcurrcd="USD").respcd


def another_amount(shop: Merchant) -> str:
    return shop.call("reversal", syssn=shop.paid("800108")["syssn"], txamt="77").respcd


def closed_too_late(shop: Merchant) -> str:
    return shop.call("close", syssn=shop.expired("800201")["syssn"]).respcd


def more_than_the_remainder(shop: Merchant) -> str:
    return shop.refund(shop.paid("800108"), "1001").respcd


def part_under_a_contract_without_parts(shop: Merchant) -> str:
    opened = shop.paid("800208", txamt="1000")
    accounts = shop.demo.ask("account", "list", "--mchid", shop.mchid)
    account = next(row["account_id"] for row in accounts if row["wallet"] == "wechat")
    shop.demo.set_account(account, "--no-supports-partial-refunds")
    try:
        refused = shop.refund(opened, "999")
        assert shop.rows(syssn=opened["syssn"])[0]["cancel"] == "0"
        assert shop.demo.refunds(opened["syssn"]) == []
        shop.refund_and_wait(opened, "1000")
    finally:
        shop.demo.set_account(account, "--supports-partial-refunds")
    return refused.respcd


def refund_at_wechat(shop: Merchant) -> str:
    return shop.refund(shop.paid("800208"), "1000").respcd


RECIPES: Final[dict[str, Callable[[Merchant], str]]] = {
    "0000": paid_at_once,
    "1100": during_maintenance,
    "1102": reference_used_again,
    "1103": json_instead_of_a_form,
    "1104": amount_left_out,
    "1108": another_key,
    "1114": merchant_in_state("disabled"),
    "1115": denied_payment,
    "1122": another_currency,
    "1126": another_amount,
    "1135": merchant_without_wallets,
    "1140": merchant_in_state("waiting"),
    "1181": closed_too_late,
    "1271": part_under_a_contract_without_parts,
    "1272": more_than_the_remainder,
    "2999": refund_at_wechat,
}
SIGN_UP: Final = Path("tests/end_to_end/test_sign_up.py")
#: Reached by a test that stops the database, and by those of documents and applications.
ELSEWHERE: Final = {
    "1112": Path("tests/fault/test_outage.py"),
    **dict.fromkeys(("1128", "1129", "2101"), SIGN_UP),
}
