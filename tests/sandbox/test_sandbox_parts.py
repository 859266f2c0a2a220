"""Unit tests of the shared modules: clock file, rates, codes, transactions, shops."""

import asyncio
import json
import re
import sqlite3
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from babel.numbers import format_currency, get_currency_precision
from hypothesis import given
from hypothesis import strategies as st

from tael_sandbox import codes, payers, rates
from tael_sandbox.books import Books
from tael_sandbox.clock import MAX_OFFSET, Clock, bjt
from tael_sandbox.fault_injection.faults import Faults
from tael_sandbox.fault_injection.notices import NoticeFaults
from tael_sandbox.notices import Courier
from tael_sandbox.phone import texts
from tael_sandbox.shops import open_shops
from tael_sandbox.wallet import ControlError


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path / "clock")


@pytest.fixture
def books(tmp_path: Path) -> Books:
    opened = Books(tmp_path / "books.sqlite")
    with opened.transaction() as connection:
        payers.add_default_payers(connection)
    return opened


def test_a_move_of_the_clock_is_visible_through_every_map_of_the_file(tmp_path: Path, clock: Clock) -> None:
    other = Clock(tmp_path / "clock")
    clock.advance(1.5)
    assert other.offset == Clock(tmp_path / "clock").offset == timedelta(seconds=1.5)
    assert (tmp_path / "clock").read_bytes() == (1_500_000).to_bytes(8, "little", signed=True)
    assert abs(other.now() - clock.now()) < timedelta(seconds=1)


@pytest.mark.parametrize("seconds", [-0.1, float("nan"), float("inf"), 1e12])
def test_the_clock_moves_neither_back_nor_beyond_its_limit(clock: Clock, seconds: float) -> None:
    with pytest.raises(ValueError, match="clock"):
        clock.advance(seconds)
    assert clock.offset == timedelta(0)
    clock.advance(MAX_OFFSET.total_seconds())
    with pytest.raises(ValueError, match="50 years"):
        clock.advance(1)


def test_beijing_is_eight_hours_ahead(clock: Clock) -> None:
    now = clock.now()
    assert bjt(now) == now
    assert bjt(now).utcoffset() == timedelta(hours=8)


@given(st.integers(0, 10**12), st.sampled_from(["HKD", "CNY", "JPY", "KRW"]))
def test_the_pages_write_amounts_as_an_english_reader_does(amount_minor: int, currency: str) -> None:
    amount = Decimal(amount_minor).scaleb(-get_currency_precision(currency))
    written = format_currency(amount, currency, "¤¤\N{NO-BREAK SPACE}#,##0.00", "en")
    assert texts.money(amount_minor, currency) == written


def test_conversion_rounds_half_up_and_knows_currencies_without_cents() -> None:
    assert rates.to_cny_minor(3925, "HKD") == 3581
    assert rates.to_cny_minor(100, "USD") == 710
    assert rates.to_cny_minor(1000, "JPY") == 4820
    assert rates.convert(4820, "CNY", "JPY") == 1000
    assert rates.to_cny_minor(50, "CNY") == 50
    assert (rates.in_units(3925, "HKD"), rates.in_units(100, "JPY")) == ("39.25", "100")
    assert (rates.in_units(5, "HKD"), rates.in_units(0, "CNY")) == ("0.05", "0.00")
    assert rates.rate_to_cny("USD") == Decimal("7.1034")


def test_half_a_cent_is_rounded_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rates.CNY_PER_UNIT, "HKD", Decimal("0.5"))
    assert rates.to_cny_minor(1, "HKD") == 1


def test_a_code_is_used_by_one_order_and_expires(books: Books, clock: Clock) -> None:
    auth_code = codes.issue_code(books, clock, "alipay", "pays", None)
    code = codes.read_code(books.reader, auth_code)
    assert code is not None
    assert not code.is_expired(clock.now() + codes.CODE_LIFE - timedelta(minutes=1))
    assert code.is_expired(clock.now() + codes.CODE_LIFE)
    assert not code.is_used_by_other("A")
    with books.transaction() as connection:
        codes.mark_used(connection, auth_code, "A")
    used = codes.read_code(books.reader, auth_code)
    assert used is not None
    assert (used.is_used_by_other("A"), used.is_used_by_other("B")) == (False, True)
    assert codes.read_code(books.reader, "0") is None


def test_a_failed_transaction_leaves_nothing(books: Books) -> None:
    def debit_and_fail() -> None:
        with books.transaction() as connection:
            assert payers.debit(connection, "ada", 5)
            raise ControlError("no")

    with pytest.raises(ControlError):
        debit_and_fail()
    assert payers.payer_of(books.reader, "alipay", None).balance == payers.RICH_MINOR


def test_a_payer_cannot_pay_more_than_the_balance(books: Books) -> None:
    with books.transaction() as connection:
        assert not payers.debit(connection, "ada", payers.RICH_MINOR + 1)
        assert payers.debit(connection, "ada", payers.RICH_MINOR)
        payers.credit(connection, "ada", 1)
        assert payers.payer_of(connection, "alipay", "ada").balance == 1
    with pytest.raises(sqlite3.IntegrityError), books.transaction() as connection:
        connection.execute("UPDATE payer SET balance = -1 WHERE payer = 'ada'")


def test_shops_without_contract_terms_get_the_defaults(tmp_path: Path) -> None:
    made = open_shops(tmp_path / "shops.json")
    stored = json.loads((tmp_path / "shops.json").read_text())
    for shop in stored["shops"]:
        for contract in shop["alipay"]:
            del contract["fee_rate_ppm"], contract["needs_product_code"]
        if shop["wechat"]:
            del shop["wechat"]["fee_rate_ppm"]
    (tmp_path / "shops.json").write_text(json.dumps(stored))
    read = open_shops(tmp_path / "shops.json")
    assert [shop.wechat for shop in read.shops] == [shop.wechat for shop in made.shops]
    terms = {(c.fee_rate_ppm, c.needs_product_code) for shop in read.shops for c in shop.alipay}
    assert terms == {(8_000, True)}


def test_a_file_without_some_currencies_gets_their_shops_and_keeps_its_own(tmp_path: Path) -> None:
    path = tmp_path / "shops.json"
    made = open_shops(path)
    assert [shop.currency for shop in made.shops if shop.label.startswith("in_")] == [
        *("HKD", "CNY", "USD", "JPY", "KRW", "SGD", "EUR", "GBP", "AUD", "THB")
    ]
    stored = json.loads(path.read_text())
    stored["shops"] = [shop for shop in stored["shops"] if shop["label"] not in ("in_krw", "in_usd")]
    for shop in stored["shops"]:
        if shop["label"] == "in_jpy":
            shop["wechat"] = None  # it had a contract at Alipay only
    path.write_text(json.dumps(stored))
    read = open_shops(path)
    kept = [shop for shop in made.shops if shop.label not in ("in_krw", "in_usd")]
    for old, new in zip(kept, read.shops[: len(kept)], strict=True):
        assert replace(new, wechat=None) == replace(old, wechat=None)
        assert (new.wechat == old.wechat) is (old.label != "in_jpy")
    assert {shop.label: shop.currency for shop in read.shops[len(kept) :]} == {
        "in_krw": "KRW",
        "in_usd": "USD",
    }
    assert all(shop.wechat for shop in read.shops)
    assert read == open_shops(path)


def test_a_file_without_appids_of_mini_program_and_app_gets_them_once(tmp_path: Path) -> None:
    path = tmp_path / "shops.json"
    made = open_shops(path)
    stored = json.loads(path.read_text())
    for shop in stored["shops"]:
        if shop["wechat"]:
            del shop["wechat"]["mini_appid"], shop["wechat"]["app_appid"]
    path.write_text(json.dumps(stored))
    read = open_shops(path)
    old = [shop.wechat for shop in made.shops if shop.wechat]
    new = [shop.wechat for shop in read.shops if shop.wechat]
    assert [(c.sub_mch_id, c.sub_appid, c.sub_secret) for c in new] == [
        (c.sub_mch_id, c.sub_appid, c.sub_secret) for c in old
    ]
    appids = [appid for contract in (*old, *new) for appid in (contract.mini_appid, contract.app_appid)]
    assert len(set(appids)) == len(appids) == 2 * 2 * len(old)
    assert all(re.fullmatch("wx[0-9a-f]{16}", appid) for appid in appids)
    assert read == open_shops(path)


@pytest.mark.parametrize("older_name", ["senders", "providers"])
def test_a_file_with_merchant_accounts_under_an_older_name_is_read(tmp_path: Path, older_name: str) -> None:
    path = tmp_path / "shops.json"
    made = open_shops(path)
    stored = json.loads(path.read_text())
    stored[older_name] = stored.pop("merchant_accounts")
    path.write_text(json.dumps(stored))
    assert open_shops(path) == made


def test_a_file_without_a_direct_merchant_gets_one_and_keeps_its_own(tmp_path: Path) -> None:
    path = tmp_path / "shops.json"
    made = open_shops(path)
    stored = json.loads(path.read_text())
    assert stored["shops"].pop()["label"] == "direct"
    del stored["merchant_accounts"][-1]
    path.write_text(json.dumps(stored))
    read = open_shops(path)
    assert read.shops[:-1] == made.shops[:-1]
    assert read.merchant_accounts[:-1] == made.merchant_accounts[:-1]
    added, account = read.shops[-1], read.merchant_accounts[-1]
    assert (added.label, added.currency, added.alipay) == ("direct", "HKD", ())
    assert added.wechat is not None
    assert (added.wechat.mch_id, added.wechat.sub_mch_id, added.wechat.sign_type) == (
        *(account.mch_id, "", "HMAC-SHA256"),
    )
    assert read == open_shops(path)


def test_a_fee_is_rounded_half_up_and_shown_as_a_percentage() -> None:
    assert rates.fee(1, "HKD", 6_000, 5) == Decimal("0.00006")
    assert rates.fee(1000, "JPY", 6_000, 5) == Decimal("6.00000")
    assert [rates.fee_minor(amount, 8_000) for amount in (62, 63, 3925)] == [0, 1, 31]
    assert rates.fee_minor(250, 6_000) == 2
    assert (rates.percentage(6_000), rates.percentage(12_500)) == ("0.60%", "1.25%")


async def test_a_courier_that_is_woken_while_it_is_cancelled_ends(books: Books, clock: Clock) -> None:
    has_begun = asyncio.Event()
    faults = NoticeFaults(books, Faults(books, {}), [])
    courier = Courier(books, clock, lambda _now: has_begun.set(), faults)
    running = asyncio.create_task(courier.run())
    await has_begun.wait()
    courier.wake()
    running.cancel()
    done, _ = await asyncio.wait([running], timeout=5)
    running.cancel()  # in case it kept running
    assert done
