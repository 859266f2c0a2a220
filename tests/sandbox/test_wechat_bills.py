"""downloadbill: columns, rows and sums of every type, the time of a bill, and that it never changes.

Prices are 88.00 HKD: at 0.9123 that is 80.28 CNY, and the fee of 0.60 % is 0.528 HKD.
"""

import gzip
from typing import Any

import pytest

from tests.sandbox.conftest import ControlRefused, Sandbox
from tests.sandbox.days import compact, move_to
from tests.sandbox.wechat_shop import Reply, Shop, as_xml, both_kinds, code, new_number, openid, shop

ALL_HEADER = [
    "Transaction time",
    "Official account ID",
    "Vendor ID",
    "Sub vendor ID",
    "Device ID",
    "Wechat order number",
    "Vendor order number",
    "User tag",
    "Transaction type",
    "Transaction status",
    "Payment bank",
    "Currency type",
    "Total amount",
    "Coupon amount",
    "Wechat refund number",
    "Vendor refund number",
    "Refund amount",
    "Coupon refund amount",
    "Refund type",
    "Refund status",
    "Product name",
    "Vendor's data package",
    "Fee",
    "Rate",
    "Payment currency type",
    "Cash payment amount",
    "Settlement currency type",
    "Settlement currency amount",
    "Exchange rate",
    "Refund exchange rate",
    "Payer's refund amount",
    "Payer's refund currency type",
    "Refund currency type",
    "Refund settlement currency type",
    "Refund settlement amount",
]
CHINESE_HEADER = (
    "交易时间,公众账号ID,商户号,子商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,"
    "货币种类,总金额,代金券或立减优惠金额,微信退款单号,商户退款单号,退款金额,代金券或立减优惠退款金额,退款类型,"
    "退款状态,商品名称,商户数据包,手续费,费率,用户支付币种,用户支付金额,结算币种,应结订单金额,支付汇率,退款汇率,"
    "用户退款金额,用户退款币种,退款币种,退款结算币种,退款应结订单金额"
)
CHINESE_SUMMARY = "总交易单数,总交易额,总退款金额,总代金券或立减优惠退款金额,手续费总金额"
SUMMARY_HEADER = (
    "Total transaction count,Total transaction amount,Total refund amount,Total coupon refund amount,"
    "Total commission amount"
)


@pytest.fixture
def demo(request: pytest.FixtureRequest, sandbox: Sandbox) -> Shop:
    """The demo shop at noon of a day without movements."""
    move_to(sandbox, 12)
    return shop(sandbox, getattr(request, "param", "demo"))


def download(caller: Shop, day: str, **fields: Any) -> Reply:
    request = caller.signed(**{"bill_date": day, "bill_type": "ALL", **fields})
    reply = caller.send("/pay/downloadbill", as_xml(request))
    assert reply.status == 200
    return reply


def table(reply: Reply) -> tuple[list[str], list[list[str]], list[str]]:
    """Header, rows and the summary's values. A cell ends before a comma and backquote."""
    lines = reply.body.decode("utf-8-sig").split("\r\n")
    assert lines.pop() == ""
    header, *rows, summary_header, summary = lines
    assert summary_header == SUMMARY_HEADER
    assert all(line.startswith("`") for line in (*rows, summary))
    return header.split(","), [row[1:].split(",`") for row in rows], summary[1:].split(",`")


def refused(reply: Reply) -> tuple[str, str]:
    fields = reply.fields
    assert set(fields) == {"return_code", "return_msg", "error_code"}
    assert fields["return_code"] == "FAIL"
    return fields["error_code"], fields["return_msg"]


def make_all_kinds_of_payments(sandbox: Sandbox, demo: Shop) -> dict[str, str]:
    """A payment, one with a refund of 33.33, one reversed, one from Hong Kong, and four without money."""
    names = {"kept", "parted", "undone", "hong_kong", "unpaid", "waiting", "failed", "closed"}
    numbers = {name: new_number() for name in names} | {"refund": new_number("R")}
    demo.scan_code(
        code(sandbox),
        out_trade_no=numbers["kept"],
        attach="table 7,window",
        device_info="till 1",
        body="a`b\nc",
    )
    demo.scan_code(code(sandbox, payer="dora"), out_trade_no=numbers["parted"])
    demo.refund(numbers["parted"], 3333, out_refund_no=numbers["refund"])
    demo.scan_code(code(sandbox), out_trade_no=numbers["undone"])
    demo.reverse(numbers["undone"])
    demo.scan_code(code(sandbox, wallet="wechat_hk"), out_trade_no=numbers["hong_kong"])
    demo.order(out_trade_no=numbers["unpaid"])
    demo.scan_code(code(sandbox, "password"), out_trade_no=numbers["waiting"])
    demo.scan_code(code(sandbox, "refuses"), out_trade_no=numbers["failed"])
    demo.reverse(numbers["failed"])
    demo.order(out_trade_no=numbers["closed"])
    demo.call("/pay/closeorder", out_trade_no=numbers["closed"])
    return numbers


@both_kinds
def test_a_bill_of_type_all_has_every_movement_of_money(sandbox: Sandbox, demo: Shop) -> None:
    numbers = make_all_kinds_of_payments(sandbox, demo)
    paid = demo.query(numbers["kept"]).fields
    refund = demo.call("/pay/refundquery", out_refund_no=numbers["refund"]).fields
    day = compact(move_to(sandbox, 10), -1)
    header, rows, summary = table(download(demo, day))

    assert header == ALL_HEADER
    assert [(row[6], row[9]) for row in rows] == [
        (numbers["kept"], "SUCCESS"),
        (numbers["parted"], "SUCCESS"),
        (numbers["parted"], "REFUND"),
        (numbers["undone"], "SUCCESS"),
        (numbers["undone"], "REVOKED"),
        (numbers["hong_kong"], "SUCCESS"),
    ]
    time, account = paid["time_end"], demo.account
    assert rows[0] == [
        f"{time[:4]}-{time[4:6]}-{time[6:8]} {time[8:10]}:{time[10:12]}:{time[12:]}",
        *(account["appid"], account["mch_id"], account["sub_mch_id"] or "0", "till 1"),
        *(paid["transaction_id"], numbers["kept"], openid(sandbox, "chen", account["appid"])),
        *("MICROPAY", "SUCCESS", paid["bank_type"], "HKD", "88.00", "0"),
        *("0", "0", "0", "0", "", ""),
        *("a b c", "table 7,window", "0.52800", "0.60%"),
        *("CNY", "80.28", "HKD", "88.00", "91230000"),
        *("0", "0", "", "", "", "0"),
    ]
    # 0.6 % of 33.33 is 0.19998; 80.28 CNY of 88.00 makes 30.40605 CNY of 33.33, and the wallet rounds it.
    assert rows[2][12:20] == [
        *("0", "0", refund["refund_id_0"], numbers["refund"], "33.33", "0", "ORIGINAL", "SUCCESS"),
    ]
    assert rows[2][22:] == [
        *("-0.19998", "0.60%", "CNY", "0", "HKD", "0", "91230000", "91230000"),
        *("30.41", "CNY", "HKD", "HKD", "33.33"),
    ]
    assert rows[4][12:20] == ["0", "0", "0", "0", "88.00", "0", "ORIGINAL", "SUCCESS"]
    assert rows[4][22] == "-0.52800"
    assert rows[5][24:30] == ["HKD", "88.00", "HKD", "88.00", "0", "0"]
    # 4 x 88.00; 33.33 + 88.00; fees of 0.528 for 352.00 - 121.33 = 230.67 kept: 1.38402.
    assert summary == ["6", "352.00", "121.33", "0", "1.38402"]


def test_each_type_has_its_own_rows_and_columns(sandbox: Sandbox, demo: Shop) -> None:
    numbers = make_all_kinds_of_payments(sandbox, demo)
    day = compact(move_to(sandbox, 10), -1)

    header, rows, summary = table(download(demo, day, bill_type="SUCCESS"))
    assert header == ALL_HEADER[:14] + ALL_HEADER[20:29]
    assert [row[6] for row in rows] == [numbers[name] for name in ("kept", "parted", "undone", "hong_kong")]
    assert {len(row) for row in rows} == {23}
    assert rows[0][14:18] == ["a b c", "table 7,window", "0.52800", "0.60%"]
    assert summary == ["4", "352.00", "0", "0", "2.11200"]

    header, rows, summary = table(download(demo, day, bill_type="REVOKED"))
    assert header == ALL_HEADER
    assert [(row[6], row[9], row[16]) for row in rows] == [(numbers["undone"], "REVOKED", "88.00")]
    assert summary == ["1", "0", "88.00", "0", "-0.52800"]

    _header, rows, _summary = table(download(demo, day, bill_type=""))
    assert len(rows) == 6


@both_kinds
def test_a_bill_of_refunds_has_the_times_of_payment_request_and_success(sandbox: Sandbox, demo: Shop) -> None:
    order, refund = new_number(), new_number("R")
    paid_on = move_to(sandbox, 12)
    demo.scan_code(code(sandbox), out_trade_no=order)
    refunded_on = move_to(sandbox, 11, 30)
    demo.refund(order, 8800, out_refund_no=refund)
    move_to(sandbox, 10)
    header, rows, summary = table(download(demo, compact(refunded_on), bill_type="REFUND"))
    assert header == [*ALL_HEADER[:14], "Refund application time", "Refund success time", *ALL_HEADER[14:]]
    (row,) = rows
    assert (row[6], row[9], row[17]) == (order, "REFUND", refund)
    assert row[0].startswith(f"{paid_on:%Y-%m-%d} 12:00:")
    assert row[14].startswith(f"{refunded_on:%Y-%m-%d} 11:30:")
    seconds = [int(row[place][-2:]) for place in (14, 15)]
    assert seconds[1] - seconds[0] == 2
    assert summary == ["1", "0", "88.00", "0", "-0.52800"]
    _header, rows, _summary = table(download(demo, compact(refunded_on)))
    assert rows[0][0].startswith(
        f"{refunded_on:%Y-%m-%d} 11:30:"
    )  # where there is one time only, it is its own
    assert table(download(demo, compact(paid_on)))[2] == ["1", "88.00", "0", "0", "0.52800"]


def test_partial_refunds_return_the_whole_fee(sandbox: Sandbox, demo: Shop) -> None:
    order = new_number()
    demo.scan_code(code(sandbox), out_trade_no=order)
    for part in (3333, 3333, 2134):
        demo.refund(order, part)
    day = compact(move_to(sandbox, 10), -1)
    _header, rows, summary = table(download(demo, day))
    assert [row[22] for row in rows] == ["0.52800", "-0.19998", "-0.19998", "-0.12804"]
    assert summary == ["4", "88.00", "88.00", "0", "0.00000"]


def test_a_price_in_another_currency_is_settled_in_the_shops_currency(sandbox: Sandbox, demo: Shop) -> None:
    demo.scan_code(code(sandbox), fee_type="USD", total_fee=1000)
    demo.scan_code(code(sandbox), fee_type="JPY", total_fee=1000)
    day = compact(move_to(sandbox, 10), -1)
    _header, rows, _summary = table(download(demo, day))
    # 10 USD are 71.034 CNY, and at 0.9123 77.8625 HKD; 1000 JPY are 48.20 CNY, which is 52.8335 HKD.
    assert rows[0][11:13] + rows[0][22:23] + rows[0][24:29] == [
        *("USD", "10.00", "0.06000"),
        *("CNY", "71.03", "HKD", "77.86", "710340000"),
    ]
    assert rows[1][11:13] + rows[1][22:23] + rows[1][24:29] == [
        *("JPY", "1000", "6.00000"),
        *("CNY", "48.20", "HKD", "52.83", "4820000"),
    ]


def test_a_bill_is_available_from_ten_on_the_next_day(sandbox: Sandbox, demo: Shop) -> None:
    today = move_to(sandbox, 12, 1)
    demo.scan_code(code(sandbox))
    day = compact(today)
    assert refused(download(demo, day)) == ("20002", "No Bill Exist")
    assert refused(download(demo, compact(today, 1))) == ("20002", "No Bill Exist")
    move_to(sandbox, 8, 59)
    assert refused(download(demo, day)) == ("20002", "No Bill Exist")
    move_to(sandbox, 9)
    assert refused(download(demo, day)) == ("20002", "Bill Creating")
    move_to(sandbox, 9, 59)
    assert refused(download(demo, day)) == ("20002", "Bill Creating")
    move_to(sandbox, 10)
    assert len(table(download(demo, day))[1]) == 1


def test_a_day_begins_at_midnight_in_beijing(sandbox: Sandbox, demo: Shop) -> None:
    late, early = new_number(), new_number()
    day = move_to(sandbox, 23, 59)
    demo.scan_code(code(sandbox), out_trade_no=late)
    move_to(sandbox, 0)
    demo.scan_code(code(sandbox), out_trade_no=early)
    move_to(sandbox, 10)
    assert [row[6] for row in table(download(demo, compact(day)))[1]] == [late]
    move_to(sandbox, 10)
    assert [row[6] for row in table(download(demo, compact(day, 1)))[1]] == [early]


def test_a_day_without_money_has_no_bill(sandbox: Sandbox, demo: Shop) -> None:
    demo.order()
    day = compact(move_to(sandbox, 10), -1)
    assert refused(download(demo, day)) == ("20002", "No Bill Exist")
    assert refused(download(demo, day, bill_type="REFUND")) == ("20002", "No Bill Exist")


def test_a_bill_can_be_downloaded_for_ninety_days(sandbox: Sandbox, demo: Shop) -> None:
    demo.scan_code(code(sandbox))
    then = move_to(sandbox, 10)
    day = compact(then, -1)
    first = download(demo, day).body
    sandbox.advance(89 * 86_400)
    assert download(demo, day).body == first
    sandbox.advance(86_400)
    assert refused(download(demo, day)) == ("20001", "invalid bill_date")


def test_later_events_change_no_bill(own_sandbox: Sandbox) -> None:
    demo, order = shop(own_sandbox), new_number()
    move_to(own_sandbox, 12)
    demo.scan_code(code(own_sandbox), out_trade_no=order)
    day = compact(move_to(own_sandbox, 10), -1)
    bill = download(demo, day).body
    demo.reverse(order)
    assert download(demo, day).body == bill
    own_sandbox.restart()
    assert download(demo, day).body == bill


def test_a_packed_bill_is_the_same_bill(sandbox: Sandbox, demo: Shop) -> None:
    demo.scan_code(code(sandbox))
    day = compact(move_to(sandbox, 10), -1)
    plain, packed = download(demo, day), download(demo, day, tar_type="GZIP")
    assert packed.body[:2] == b"\x1f\x8b"
    assert packed.body[4:8] == bytes(4)  # no timestamp, so that the file is always the same
    assert gzip.decompress(packed.body) == plain.body
    assert plain.body.startswith(b"\xef\xbb\xbfTransaction time,")
    assert download(demo, day, tar_type="GZIP").body == packed.body
    assert refused(download(demo, compact(move_to(sandbox, 11), 1), tar_type="GZIP"))[0] == "20002"


def test_a_bill_covers_one_shop_or_all_shops_of_its_provider(sandbox: Sandbox, demo: Shop) -> None:
    neighbour, other_provider = shop(sandbox, "wechat_only"), shop(sandbox, "chain_east")
    mine, till, theirs, other = new_number(), new_number(), new_number(), new_number()
    demo.scan_code(code(sandbox), out_trade_no=mine)
    demo.scan_code(code(sandbox), out_trade_no=till, device_info="till 2")
    neighbour.scan_code(code(sandbox), out_trade_no=theirs)
    other_provider.scan_code(code(sandbox), out_trade_no=other)
    day = compact(move_to(sandbox, 10), -1)

    def orders(caller: Shop, **fields: Any) -> list[str]:
        return [row[6] for row in table(download(caller, day, **fields))[1]]

    assert orders(demo) == [mine, till]
    assert orders(demo, device_info="till 2") == [till]
    assert orders(neighbour) == [theirs]
    assert orders(demo, sub_mch_id="") == [mine, till, theirs]
    assert orders(other_provider, sub_mch_id="") == [other]
    assert refused(download(demo, day, device_info="till 3")) == ("20002", "No Bill Exist")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"bill_date": ""}, "missing parameter bill_date"),
        ({"nonce_str": ""}, "missing parameter nonce_str"),
        ({"bill_date": "2026-11-2"}, "invalid bill_date"),
        ({"bill_date": "20260230"}, "invalid bill_date"),
        ({"bill_date": "99991231"}, "invalid bill_date"),
        ({"bill_date": "20150101"}, "invalid bill_date"),
        ({"bill_type": "EVERYTHING"}, "invalid bill_type"),
        ({"bill_type": "x" * 33}, "invalid bill_type"),
        ({"tar_type": "ZIP"}, "data format error"),
        ({"nonce_str": "n" * 33}, "data format error"),
        ({"mch_id": "1900000000"}, "商户号mch_id与appid不匹配"),
        ({"sub_mch_id": "1900000000"}, "商户号mch_id与appid不匹配"),
        ({"sign_type": "RSA"}, "SIGN ERROR"),
    ],
    ids=str,
)
def test_a_wrong_request_is_refused_with_a_number_and_unsigned(
    sandbox: Sandbox, change: dict[str, str], text: str
) -> None:
    assert refused(download(shop(sandbox), **({"day": "20261101"} | change))) == ("20001", text)


def test_a_bill_needs_a_valid_signature(sandbox: Sandbox, demo: Shop) -> None:
    demo.scan_code(code(sandbox))
    day = compact(move_to(sandbox, 10), -1)
    good = demo.signed("HMAC-SHA256", bill_date=day, bill_type="ALL")
    assert demo.send("/pay/downloadbill", as_xml(good)).body.startswith(b"\xef\xbb\xbf")
    for name in good:
        wrong = {**good, name: good[name][:-1] + chr(ord(good[name][-1]) ^ 1)}
        assert refused(demo.send("/pay/downloadbill", as_xml(wrong)))[0] == "20001", name
    assert refused(demo.send("/pay/downloadbill", b"<xml>")) == ("20001", "data format error")
    assert refused(demo.send("/pay/downloadbill", b"", method="GET")) == ("20001", "post数据为空")


def lines_of(reply: Reply) -> list[str]:
    return reply.body.decode("utf-8-sig").split("\r\n")


def test_an_account_can_have_headings_in_chinese(own_sandbox: Sandbox) -> None:
    demo, neighbour = shop(own_sandbox), shop(own_sandbox, "wechat_only")
    move_to(own_sandbox, 12)
    make_all_kinds_of_payments(own_sandbox, demo)
    neighbour.scan_code(code(own_sandbox), out_trade_no=new_number())
    day = compact(move_to(own_sandbox, 10), -1)
    types = ("ALL", "SUCCESS", "REFUND", "REVOKED")
    english = {kind: lines_of(download(demo, day, bill_type=kind)) for kind in types}

    request = {"wallet": "wechat", "shop": "demo", "bill_headers": "zh"}
    assert own_sandbox.control("PUT", "accounts", request)["bill_headers"] == "zh"
    assert [own_sandbox.account("wechat", label)["bill_headers"] for label in ("demo", "chain_east")] == [
        "zh",
        "en",
    ]
    own_sandbox.restart()
    for kind in types:
        chinese = lines_of(download(demo, day, bill_type=kind))
        assert (chinese[1:-3], chinese[-2:]) == (english[kind][1:-3], english[kind][-2:])
        assert chinese[-3] == CHINESE_SUMMARY
        assert chinese[0].count(",") == english[kind][0].count(",")
        assert chinese[0].isascii() is False
    assert lines_of(download(demo, day))[0] == CHINESE_HEADER
    refunds = lines_of(download(demo, day, bill_type="REFUND"))[0]
    assert "代金券或立减优惠金额,退款申请时间,退款成功时间,微信退款单号" in refunds
    assert lines_of(download(demo, day, sub_mch_id=""))[0] == CHINESE_HEADER
    assert lines_of(download(neighbour, day))[0] == ",".join(ALL_HEADER)

    own_sandbox.control("PUT", "accounts", request | {"bill_headers": "en"})
    assert lines_of(download(demo, day)) == english["ALL"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"bill_headers": "fr"}, "bill_headers"),
        ({"bill_headers": None}, "bill_headers"),
        ({"shop": "nobody"}, "shop"),
        ({"shop": None}, "shop"),
        ({"wallet": "alipay"}, "wallet"),
        ({"wallet": "paypal"}, "wallet"),
    ],
    ids=str,
)
def test_an_invalid_account_setting_is_refused(sandbox: Sandbox, change: dict[str, Any], field: str) -> None:
    request = {"wallet": "wechat", "shop": "demo", "bill_headers": "zh"} | change
    with pytest.raises(ControlRefused) as refused_:
        sandbox.control("PUT", "accounts", request)
    assert (refused_.value.status, refused_.value.field) == (400, field)
    assert sandbox.account("wechat")["bill_headers"] == "en"
