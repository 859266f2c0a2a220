"""The fixtures of the plugin `tael.testing`, used as a user's test suite uses them."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tael_client import Client, Credentials, Filters, Money, Payment, PaymentOrder, Undecided

from tael_demo.testing.instance import Instance
from tael_demo.testing.views import TaelApp, TaelClock, TaelGateway, TaelWallets, WalletRefused
from tests.end_to_end.receiver import Receiver, receiving
from tests.end_to_end.rig import eventually
from tests.support.commands import run_tael

TEN = Money(1000, "HKD")
BROKEN = {"wallet": "wechat", "operation": "/pay/micropay", "kind": "system_error"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def client_of(gateway: TaelGateway, app: TaelApp | None = None) -> Client:
    app = app or gateway.apps[0]
    return Client(gateway.url, Credentials(app.appcode, app.key, mchid=app.mchid))


def barcode(gateway: TaelGateway, wallets: TaelWallets, reference: str) -> Payment:
    order = PaymentOrder.wechat_barcode(reference, TEN, wallets.code("wechat"))
    with client_of(gateway) as client:
        return client.payment(order)


def asked(gateway: TaelGateway, *arguments: str) -> Any:
    """The JSON of an operator's command on the instance."""
    done = run_tael(*arguments, "--json", "--data", str(gateway.folder))
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def paid_online(gateway: TaelGateway, wallets: TaelWallets, reference: str, at: int = 0) -> Payment:
    """A paid payment by QR code, of the app at this index."""
    with client_of(gateway, gateway.apps[at]) as client:
        payment = client.payment(PaymentOrder.wechat_qr(reference, TEN))
    wallets.confirm(url=payment.qr_code)
    return payment


def test_a_barcode_is_paid_and_the_wallets_book_has_it(
    tael_gateway: TaelGateway, tael_wallets: TaelWallets
) -> None:
    payment = barcode(tael_gateway, tael_wallets, "plugin-paid")

    (trade,) = tael_wallets.book(payment.syssn)["trades"]
    assert (trade["state"], trade["amount"], trade["currency"]) == ("SUCCESS", 1000, "HKD")
    assert tael_wallets.book(payment.syssn)["refunds"] == []
    assert trade in tael_wallets.book()["trades"]


def test_a_mini_program_is_tried_with_a_payers_openid(
    tael_gateway: TaelGateway, tael_wallets: TaelWallets
) -> None:
    openid = tael_wallets.openid(mini_program=True)
    assert openid != tael_wallets.openid()
    assert tael_wallets.openid("direct") != tael_wallets.openid()
    order = PaymentOrder.wechat_mini_program("plugin-mini", TEN, openid)
    with client_of(tael_gateway) as client:
        payment = client.payment(order)
    tael_wallets.confirm(url=json.dumps(dict(payment.pay_params)))
    (trade,) = tael_wallets.book(payment.syssn)["trades"]
    assert (trade["state"], trade["amount"]) == ("SUCCESS", 1000)


def test_a_payer_in_wechat_has_an_openid_under_the_merchants_account(
    tael_gateway: TaelGateway, tael_wallets: TaelWallets
) -> None:
    openid = tael_wallets.openid(tael_gateway.apps[0].shops[0])
    with client_of(tael_gateway) as client:
        payment = client.payment(PaymentOrder.wechat_in_app("plugin-openid", TEN, openid))

    seen = tael_wallets.scan(payment.bridge_params["package"])
    assert (seen["order"], seen["amount"], seen["state"]) == (payment.syssn, 1000, "NOTPAY")


def test_all_apps_of_the_demo_exist_and_no_repr_shows_a_key(tael_gateway: TaelGateway) -> None:
    first, wechat_only, chain, direct, in_currencies = tael_gateway.apps
    assert (tael_gateway.appcode, tael_gateway.key) == (first.appcode, first.key) == ("123456", "123456")
    assert tael_gateway.mchid == "eqqmYMn0Zj6pncw5ZDxjgMqbzV"
    assert (wechat_only.shops, chain.shops) == (("wechat_only",), ("chain_east", "chain_west"))
    assert direct.shops == ("direct",)
    assert in_currencies.shops[:4] == ("in_hkd", "in_cny", "in_usd", "in_jpy")
    assert len(in_currencies.mchids) == len(in_currencies.shops) == 10
    assert (first.webhook_style, chain.webhook_style, chain.sha256_only) == ("old", "new", True)
    assert chain.key not in repr(chain)


def test_a_notify_url_has_effect_at_once(
    tael_gateway: TaelGateway, tael_wallets: TaelWallets, receiver: Receiver
) -> None:
    with receiving() as earlier:
        tael_gateway.set_notify_url(earlier.url)
        paid_online(tael_gateway, tael_wallets, "plugin-notified-before")
        earlier.wait("plugin-notified-before")  # the app with this URL is cached now
        tael_gateway.set_notify_url(receiver.url)
        paid_online(tael_gateway, tael_wallets, "plugin-notified-after")
        receiver.wait("plugin-notified-after")
        assert earlier.calls("plugin-notified-after") == []


def test_each_app_is_notified_at_its_url_and_in_its_style(
    tael_gateway: TaelGateway, tael_wallets: TaelWallets, receiver: Receiver
) -> None:
    wechat_only = tael_gateway.apps[1]
    tael_gateway.set_app(wechat_only.appcode, notify_url=receiver.url, webhook_style="new")
    paid_online(tael_gateway, tael_wallets, "plugin-new-style", at=1)

    (call,) = receiver.wait("plugin-new-style")
    assert call.members["notify_type"] == "payment"


def test_settings_are_restored_after_the_test(tael_instance: Instance) -> None:
    one = TaelGateway(tael_instance)
    one.set_app(notify_url="http://127.0.0.1:9/notify", notify_offline=True)
    one.reset()

    (app,) = [row for row in asked(one, "app", "list") if row["appcode"] == one.appcode]
    assert (app["notify_url"], app["notify_offline"]) == (None, False)


def test_an_unknown_setting_is_named(tael_gateway: TaelGateway) -> None:
    with pytest.raises(TypeError, match="no setting 'notify'"):
        tael_gateway.set_app(notify="http://127.0.0.1:1")
    with pytest.raises(ValueError, match="no app unknown"):
        tael_gateway.set_notify_url(None, "unknown")


def test_faults_end_with_their_block_and_inner_ones_add_to_outer_ones(
    tael_gateway: TaelGateway, tael_wallets: TaelWallets
) -> None:
    with tael_wallets.faults(BROKEN):
        with tael_wallets.faults({"wallet": "alipay", "kind": "http_500"}), pytest.raises(Undecided):
            barcode(tael_gateway, tael_wallets, "plugin-both-faults")
        with pytest.raises(Undecided):
            barcode(tael_gateway, tael_wallets, "plugin-outer-fault")
    assert barcode(tael_gateway, tael_wallets, "plugin-no-fault").is_paid


def test_a_fault_in_an_unclosed_block_ends_with_the_test(
    tael_instance: Instance, tael_gateway: TaelGateway
) -> None:
    one = TaelWallets(tael_instance)
    never_left = one.faults(BROKEN)
    never_left.__enter__()
    one.reset()
    assert barcode(tael_gateway, one, "plugin-put-back").is_paid


def test_gateway_and_wallets_share_one_clock(
    tael_gateway: TaelGateway, tael_wallets: TaelWallets, tael_clock: TaelClock
) -> None:
    with client_of(tael_gateway) as client:
        payment = client.payment(PaymentOrder.wechat_qr("plugin-expires", TEN, valid_time_s=300))
        before = tael_clock.now()
        assert tael_clock.advance(timedelta(minutes=6)) >= before + timedelta(minutes=6)

        def respcd() -> str:
            (row,) = client.query_all(Filters(syssns=[payment.syssn]))
            return row.respcd

        assert eventually(respcd, "1181".__eq__) == "1181"


def test_the_clock_goes_to_an_instant_and_never_back(tael_clock: TaelClock) -> None:
    at = tael_clock.now() + timedelta(hours=1)
    assert at <= tael_clock.advance_to(at) < at + timedelta(minutes=1)
    with pytest.raises(ValueError, match="only moves forward"):
        tael_clock.advance_to(at - timedelta(minutes=30))
    with pytest.raises(ValueError, match="no time zone"):
        tael_clock.advance_to(datetime(2100, 1, 1))
    assert tael_clock.advance(1.5).tzinfo is UTC


def test_a_wallets_refusal_is_an_error_with_its_text(tael_wallets: TaelWallets) -> None:
    with pytest.raises(WalletRefused, match="unknown wallet 'cash'"):
        tael_wallets.code("cash")
    with pytest.raises(WalletRefused, match="no shop 'unknown'"):
        tael_wallets.openid("unknown")


def test_operators_commands_find_the_instance_by_its_folder(
    tael_gateway: TaelGateway, tael_wallets: TaelWallets
) -> None:
    payment = barcode(tael_gateway, tael_wallets, "plugin-folder")
    shown = asked(tael_gateway, "payment", "show", payment.syssn)
    assert "plugin-folder" in json.dumps(shown)
