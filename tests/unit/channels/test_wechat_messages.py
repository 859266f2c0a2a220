"""WeChat's XML: our messages read back unchanged, and attacks are refused."""

from datetime import UTC, datetime

import pytest

from tael.base.money import Money
from tael.channels.wechat_v2.messages import (
    BadMessage,
    accepted_refund,
    from_xml,
    paid_trade,
    refund_row,
    to_xml,
)
from tests.support.wechat import PAID, PAID_AT, REFUND_SYSSN, SYSSN

BILLION_LAUGHS = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><xml><v>&b;</v></xml>'
EXTERNAL_ENTITY = b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><xml><v>&f;</v></xml>'


@pytest.mark.parametrize(
    "text", ["plain", "店-A&B <1>", "a]]>b", "]]>", "  spaces  ", "&amp;", "<![CDATA[x]]>"]
)
def test_a_written_message_reads_back(text: str) -> None:
    assert from_xml(to_xml({"body": text, "n": "1"})) == {"body": text, "n": "1"}


def test_empty_fields_are_not_written_and_may_be_read() -> None:
    assert to_xml({"attach": ""}) == b"<xml>\n</xml>"
    assert from_xml(b"<xml><attach></attach><a/><b><![CDATA[]]></b></xml>") == {
        "attach": "",
        "a": "",
        "b": "",
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>502</html>",
        b"<xml><a>1</a>",
        b"not XML",
        BILLION_LAUGHS,
        EXTERNAL_ENTITY,
        b"<!DOCTYPE xml><xml><a>1</a></xml>",
        b'<!DOCTYPE xml SYSTEM "http://127.0.0.1/x.dtd"><xml><a>1</a></xml>',
        b"<xml><a>&undefined;</a></xml>",
        b'<xml a="1"><b>1</b></xml>',
        b'<xml><b a="1">1</b></xml>',
        b"<xml><a><b>1</b></a></xml>",
        b"<xml><total_fee>1</total_fee><total_fee>2</total_fee></xml>",
        b"<xml>loose<a>1</a></xml>",
        b"<xml><a>1</a>loose</xml>",
        b'<xml xmlns:x="urn:x"><x:a>1</x:a></xml>',
        "<xml><名>1</名></xml>".encode(),
        "<?xml version='1.0' encoding='gb2312'?><xml><a>店</a></xml>".encode("gb2312"),
        "<xml><a>店</a></xml>".encode("utf-16"),
        b"<xml><a>\xff</a></xml>",
        b"<xml><a>\x00</a></xml>",
    ],
    ids=range(21),
)
def test_xml_that_is_not_a_flat_list_is_refused(body: bytes) -> None:
    with pytest.raises(BadMessage):
        from_xml(body)


def test_a_message_is_read_under_its_own_root_only() -> None:
    assert from_xml(b"<root><a>1</a></root>", root="root") == {"a": "1"}
    with pytest.raises(BadMessage):
        from_xml(b"<root><a>1</a></root>")


def test_a_paid_trade_is_read() -> None:
    trade = paid_trade(PAID)

    assert (trade.out_trade_no, trade.transaction_id) == (SYSSN, "4200000000202601010000000001")
    assert (trade.price, trade.payer, trade.time_end) == (Money(888, "HKD"), "o-of-the-merchant", PAID_AT)


def test_without_the_merchants_openid_the_payer_is_the_providers_and_without_a_currency_it_is_cny() -> None:
    trade = paid_trade({**PAID, "sub_openid": "", "fee_type": ""})

    assert (trade.payer, trade.price) == ("o-of-the-provider", Money(888, "CNY"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("total_fee", ""),
        ("total_fee", "8.88"),
        ("total_fee", "-1"),
        ("total_fee", "0888"),
        ("total_fee", "٨"),
        ("fee_type", "HK"),
        ("fee_type", "hkd"),
        ("fee_type", "HKD&is_subscribe=N"),
        ("transaction_id", ""),
        ("transaction_id", "1&2"),
        ("out_trade_no", ""),
        ("time_end", "20261301000000"),
        ("time_end", "yesterday"),
    ],
)
def test_a_payment_of_which_something_is_missing_or_odd_is_none(name: str, value: str) -> None:
    with pytest.raises(BadMessage):
        paid_trade({**PAID, name: value})


REFUNDS = {
    "out_trade_no": SYSSN,
    "total_fee": "888",
    "fee_type": "HKD",
    "out_refund_no_0": "another",
    "refund_id_0": "50000000000000000000000000001",
    "refund_fee_0": "1",
    "refund_status_0": "SUCCESS",
    "out_refund_no_1": REFUND_SYSSN,
    "refund_id_1": "50000000000000000000000000002",
    "refund_fee_1": "88",
    "refund_status_1": "SUCCESS",
    "refund_success_time_1": "2026-01-01 20:00:00",
}


def test_our_refund_is_found_among_others() -> None:
    row = refund_row(REFUNDS, REFUND_SYSSN)

    assert (row.refund_id, row.refund_fee, row.status) == ("50000000000000000000000000002", 88, "SUCCESS")
    assert row.succeeded_at == datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def test_a_refund_is_done_without_a_time_that_we_can_read() -> None:
    assert refund_row({**REFUNDS, "refund_success_time_1": "today"}, REFUND_SYSSN).succeeded_at is None


@pytest.mark.parametrize("ours", ["unknown", "another"])
def test_none_or_two_rows_of_one_refund_are_none(ours: str) -> None:
    with pytest.raises(BadMessage):
        refund_row({**REFUNDS, "out_refund_no_1": "another"}, ours)


@pytest.mark.parametrize("name", ["out_trade_no", "out_refund_no", "refund_id", "total_fee", "refund_fee"])
def test_an_accepted_refund_names_all_its_numbers(name: str) -> None:
    whole = {
        "out_trade_no": SYSSN,
        "out_refund_no": REFUND_SYSSN,
        "refund_id": "50",
        "total_fee": "2",
        "refund_fee": "1",
    }

    assert accepted_refund(whole).refund_id == "50"
    with pytest.raises(BadMessage):
        accepted_refund({**whole, name: ""})
