"""A new key for an app, or for its accounts at the wallets: both keys in the overlap, only the new one afterwards.

And new keys of the gateway itself: its encryption key and its link key, changed by commands under load.
"""

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from tests.end_to_end.applications import signed_up
from tests.end_to_end.checkout import link_params, look, open_link, signed
from tests.end_to_end.conftest import merchant_of, private_demo
from tests.end_to_end.merchant import Merchant, at_once, digest, new_reference, scannable
from tests.end_to_end.receiver import Call, Receiver, receiving
from tests.end_to_end.rig import Demo, Members, eventually
from tests.support.commands import run_tael
from tests.support.documents import PDF

HOUR_S: Final = 3600
CALLS_AT_ONCE: Final = 8
CALLS_EACH: Final = 25


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """A private one, whose keys may change."""
    with private_demo() as demo:
        yield demo


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def shop(demo: Demo, receiver: Receiver) -> Merchant:
    """The app in ten currencies with its current key. Its webhooks have the new style."""
    row = demo.apps[4]
    appcode, mchid = row["appcode"], row["mchid"]
    demo.ask("app", "set", appcode, "--notify-url", receiver.url)
    key = demo.ask("app", "rotate-key", appcode, "--overlap-hours", "0")["key"]
    made = Merchant(demo, appcode, key, mchid, (mchid,), shop="in_hkd")
    assert eventually(lambda: made.post("query").respcd, lambda respcd: respcd == "0000")
    return made


def rotated(shop: Merchant, *options: str) -> Merchant:
    """The merchant with its new key, once the gateway accepts it."""
    row = shop.demo.ask("app", "rotate-key", shop.appcode, *options)
    after = replace(shop, key=row["key"])
    assert eventually(lambda: after.post("query").respcd, lambda respcd: respcd == "0000")
    return after


def is_accepted(shop: Merchant) -> bool:
    """Whether its key is; the response is then signed with the same key, which `call` verifies."""
    answer = shop.post("query")
    if answer.respcd == "0000":
        shop.proven(answer)
    return answer.respcd == "0000"


def signed_by(call: Call, *keys: str) -> list[bool]:
    return [call.headers["x-qf-sign"] == digest(call.body + key.encode()) for key in keys]


def test_both_keys_are_accepted_until_the_overlap_ends_and_each_signs_its_response(shop: Merchant) -> None:
    new = rotated(shop, "--overlap-hours", "2")
    assert [is_accepted(shop), is_accepted(new)] == [True, True]
    assert not is_accepted(replace(shop, key="neither of them"))
    shop.demo.advance(2 * HOUR_S - 60)
    assert [is_accepted(shop), is_accepted(new)] == [True, True]
    shop.demo.advance(61)
    assert [is_accepted(shop), is_accepted(new)] == [False, True]


def test_a_refusal_is_signed_with_the_key_of_its_request(shop: Merchant) -> None:
    new = rotated(shop)
    for each in (shop, new):
        refused = each.call("refund", syssn="1", out_trade_no=new_reference(), txamt="1")
        assert refused.respcd == "1136"


def test_links_of_both_keys_open(shop: Merchant) -> None:
    new = rotated(shop, "--overlap-hours", "1")
    for each, respcd in ((shop, "0000"), (new, "0000"), (replace(shop, key="x" * 32), "1108")):
        assert open_link(each, signed(link_params(each), each.key)).respcd == respcd
    shop.demo.advance(HOUR_S + 1)
    assert open_link(shop, signed(link_params(shop), shop.key)).respcd == "1108"


def test_webhooks_keep_the_key_before_until_the_overlap_ends(shop: Merchant, receiver: Receiver) -> None:
    new = rotated(shop, "--overlap-hours", "1")
    during = new.paid("800201")
    assert signed_by(receiver.wait(during["out_trade_no"])[0], shop.key, new.key) == [True, False]
    shop.demo.advance(HOUR_S + 1)
    after = new.paid("800201")
    assert signed_by(receiver.wait(after["out_trade_no"])[0], shop.key, new.key) == [False, True]


def test_without_an_overlap_the_key_before_ends_at_once(shop: Merchant) -> None:
    new = rotated(shop, "--overlap-hours", "0")
    assert [is_accepted(shop), is_accepted(new)] == [False, True]


def test_a_second_rotation_waits_for_the_end_of_the_overlap(shop: Merchant) -> None:
    new = rotated(shop)
    with pytest.raises(AssertionError, match="is accepted until"):
        shop.demo.ask("app", "rotate-key", shop.appcode)
    row = shop.demo.ask("app", "end-overlap", shop.appcode)
    assert "key" not in row
    assert eventually(lambda: is_accepted(shop), lambda accepted: not accepted) is False
    newest = rotated(new)
    assert [is_accepted(shop), is_accepted(new), is_accepted(newest)] == [False, True, True]
    last = rotated(newest, "--overlap-hours", "0")  # a key that has leaked ends at once
    assert [is_accepted(each) for each in (shop, new, newest, last)] == [False, False, False, True]


def test_no_request_is_refused_while_the_key_changes(shop: Merchant) -> None:
    """Clients with the old key go on, and those that get the new one begin, while others do the same."""

    def client(number: int) -> set[str]:
        if number == 0:
            new.append(rotated(shop))
        answers: set[str] = set()
        for _ in range(CALLS_EACH):
            mine = new[0] if new and number % 2 else shop
            answers.add(mine.call("query", out_trade_no=new_reference()).respcd)
        return answers

    new: list[Merchant] = []
    assert set().union(*at_once(CALLS_AT_ONCE, client)) == {"0000"}


def test_a_disabled_app_takes_no_payments_and_its_open_orders_go_on(
    shop: Merchant, receiver: Receiver
) -> None:
    opened = shop.open("800201")
    assert shop.demo.ask("app", "disable", shop.appcode)["is_disabled"] is True
    link = signed(link_params(shop), shop.key)
    assert eventually(lambda: shop.post("query").respcd, lambda respcd: respcd == "1114") == "1114"
    assert shop.open("800201").respcd == "1114"
    assert open_link(shop, link).respcd == "1114"
    shop.pay_by_phone(opened)
    assert receiver.wait(opened["out_trade_no"])[0].members["respcd"] == "0000"
    assert shop.demo.ask("app", "enable", shop.appcode)["is_disabled"] is False
    assert eventually(lambda: shop.post("query").respcd, lambda respcd: respcd == "0000") == "0000"
    assert shop.row(opened["syssn"])["respcd"] == "0000"


def test_a_change_of_settings_keeps_keys_and_state(shop: Merchant) -> None:
    new = rotated(shop)
    row = shop.demo.ask("app", "set", shop.appcode, "--notify-offline")
    assert row["overlap_ends_at"] is not None
    assert [is_accepted(shop), is_accepted(new)] == [True, True]


# ---- the gateway's own keys --------------------------------------------------------------------------------------


def test_payments_webhooks_pages_and_sign_ups_go_on_while_the_gateways_keys_are_rotated(
    shop: Merchant, receiver: Receiver
) -> None:
    """No call is refused, no webhook is lost, and an address from before works afterwards and without the old key."""
    demo, is_over, before = shop.demo, threading.Event(), page_of(shop)
    demo.set_app(shop.appcode, "--notify-offline", "--signup-currency", "HKD")
    document = ("licensephoto", "license.pdf", PDF)
    merchants = [signed_up(shop, (document,))]
    paid: list[str] = []
    pages: list[str] = []

    def client(number: int) -> Members:
        if number == 0:
            try:
                done: Members = demo.ask("keys", "rotate")
                demo.ask("keys", "rotate-links")
            finally:
                is_over.set()
            return done
        while not is_over.is_set():
            match number % 3:
                case 0:
                    paid.append(shop.paid("800208")["out_trade_no"])
                case 1:
                    pages.append(page_of(shop))
                    assert {state_of(shop, path) for path in (before, pages[-1])} == {"pending"}
                case _:
                    merchants.append(signed_up(shop, (document,)))
        return {}

    rotation = at_once(CALLS_AT_ONCE, client)[0]
    assert len(paid) > 2
    assert len(pages) > 2
    assert len(merchants) > 2
    (old,) = rotation["previous_ids"]
    aged = time.time() - HOUR_S  # so that the command need not wait for writes in progress
    os.utime(demo.folder / "encryption.key", (aged, aged))
    demo.ask("keys", "remove", old)
    shown = demo.ask("keys", "list")
    assert [(row["key_id"], row["state"]) for row in shown["encryption_keys"]] == [
        (rotation["key_id"], "encrypts")
    ]
    assert [row["documents"] for row in shown["encryption_keys"]] == [len(merchants)]
    current, previous = shown["link_keys"]
    assert (current["accepted_until"], previous["accepted_until"] is not None) == (None, True)

    for reference in paid:
        assert [call.members["respcd"] for call in receiver.wait(reference)] == ["0000"]
    new = page_of(shop)
    assert key_ids_of(new) == {current["key_id"]}
    assert key_ids_of(before) == {previous["key_id"]}
    for path in (before, pages[0], pages[-1], new):
        assert state_of(shop, path) == "pending"
        assert look(shop, path).status == 200
    shop.paid("800208")
    for mchid in (merchants[0], merchants[-1]):
        shown = demo.ask("merchant", "show", mchid)
        assert shown["application"]["username"].startswith("peter@")
    saved = demo.folder / "saved"
    (row,) = demo.ask("merchant", "documents", merchants[0], "--save", str(saved))
    assert Path(row["file"]).read_bytes() == PDF


def key_ids_of(path: str) -> set[str]:
    """The id of the link key in an address."""
    return {path.split("/")[5].partition(".")[0]}


def page_of(shop: Merchant) -> str:
    """The path of a new order's page."""
    return str(shop.open("800207")["pay_url"]).removeprefix(shop.demo.gateway)


def state_of(shop: Merchant, path: str) -> str:
    return str(look(shop, f"{path}/state").members["state"])


@pytest.mark.parametrize("command", ["rotate-key", "end-overlap", "disable", "enable"])
def test_an_unknown_app_is_named(demo: Demo, command: str) -> None:
    with pytest.raises(AssertionError, match="no app NOBODY"):
        demo.ask("app", command, "NOBODY")


# ---- keys of a wallet account ------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_gateway_first", [True, False], ids=["gateway first", "wallet first"])
def test_a_wallets_key_changes_in_both_orders_and_nothing_is_lost(
    demo: Demo, shop: Merchant, tmp_path: Path, is_gateway_first: bool
) -> None:
    """Between the two changes the wallet refuses our queries: a notice alone can decide a payment."""
    incidents, direct = demo.ask("incident", "list"), merchant_of(demo, "direct")
    for merchant, wallet, pay_type in ((direct, "wechat", "800201"), (shop, "alipay", "800151")):
        key = digest(new_reference().encode())
        file = tmp_path / "key"
        file.write_text(key)
        options = ("--where", f"mchid={merchant.mchid}", "--where", f"wallet={wallet}")
        refund = merchant.refund(merchant.paid(pay_type), "400")
        opened = merchant.open(pay_type)
        demo.scan(scannable(opened))

        if is_gateway_first:
            rows = demo.ask("account", "set", *options, "--file", f"key={file}")
            demo.confirm(trade=opened["syssn"])
            merchant.until(opened["syssn"], "0000")  # its notice is signed with the old key
            demo.control("keys", wallet=wallet, shop=merchant.shop, key=key)
        else:
            demo.control("keys", wallet=wallet, shop=merchant.shop, key=key)
            demo.confirm(trade=opened["syssn"])
            rows = demo.ask("account", "set", *options, "--file", f"key={file}")
        assert all(row["overlap_ends_at"] for row in rows)
        demo.advance(120)
        merchant.until(opened["syssn"], "0000")
        merchant.until(refund["syssn"], "0000")
        merchant.refund_and_wait(merchant.paid(pay_type), "1000")  # everything with the new key

        if wallet == "wechat":
            (check,) = demo.ask("account", "check", "--mchid", merchant.mchid)
            assert check["detail"] == "the wallet answered a signed query, verified with its new credentials"
        ended = demo.ask("account", "end-overlap", *options)
        assert not any(row["overlap_ends_at"] for row in ended)
    assert demo.ask("incident", "list") == incidents
    verified = run_tael("ledger", "verify", "--sandbox", demo.sandbox, "--data", str(demo.folder))
    assert verified.returncode == 0, verified.stdout
