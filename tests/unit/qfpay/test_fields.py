"""Single fields of trade calls: valid forms, and refusals that name the field."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tael.base.errors import NoChannel
from tael.base.pay_types import PAY_TYPES
from tael.qfpay import fields
from tael.qfpay.errors import BadField
from tael.qfpay.reasons import code_of


def refusal(reader: Callable[[dict[str, str]], object], params: dict[str, str]) -> BadField:
    with pytest.raises(BadField) as refused:
        reader(params)
    return refused.value


@pytest.mark.parametrize(
    ("reader", "name"),
    [
        (fields.reference, "out_trade_no"),
        (fields.syssn, "syssn"),
        (fields.amount_minor, "txamt"),
        (fields.moment_text, "txdtm"),
        (fields.pay_type, "pay_type"),
        (lambda params: fields.text(params, "auth_code", required=True, max_len=128), "auth_code"),
    ],
)
@pytest.mark.parametrize("is_empty", [True, False])
def test_a_missing_field_is_named_as_clients_expect(
    reader: Callable[[dict[str, str]], object], name: str, is_empty: bool
) -> None:
    refused = refusal(reader, {name: ""} if is_empty else {})
    assert refused.english == f"必传参数: {name}"
    assert refused.field == name


@pytest.mark.parametrize(
    ("reader", "name", "value"),
    [
        *((fields.reference, "out_trade_no", value) for value in ["a,b", "a b", "a&b", "a=b", "a%b", "a+b"]),
        *(
            (fields.reference, "out_trade_no", value)
            for value in ['a"b', "a'b", "a\\b", "店", "a\n", "a" * 129]
        ),
        *((fields.forbid_credit, "limit_pay", value) for value in ["credit", "NO_CREDIT", "no_credit "]),
        *((fields.syssn, "syssn", value) for value in ["2017x", "-1", "٣٣", "1" * 41, "1\n"]),
        *(
            (fields.amount_minor, "txamt", value)
            for value in ["0", "01", "-1", "1.0", "1e3", " 1", "١", "1\n"]
        ),
        (fields.amount_minor, "txamt", "1" * 12),
        *((fields.moment_text, "txdtm", value) for value in ["2017-02-29 10:00:00", "2017-01-01 24:00:00"]),
        *(
            (fields.moment_text, "txdtm", value)
            for value in ["2017-01-01T10:00:00", "20170101 10:00:00", "x"]
        ),
        *((fields.moment_text, "txdtm", value) for value in ["2017-01-01 10:00:60", "0000-01-01 10:00:00"]),
        *((fields.moment_text, "txdtm", value) for value in ["2017-01-01 10:00:00 ", "2017-1-1 10:00:00"]),
        *((fields.pay_type, "pay_type", value) for value in ["80020", "8002010", "abcdef", "800201 "]),
        *((fields.expires_after_s, "valid_time", value) for value in ["299", "0", "-300", "300.0", "5m"]),
        *((fields.expires_after_s, "expired_time", value) for value in ["4", "121", "5.5", "x"]),
        *((fields.page, "page", value) for value in ["0", "-1", "1.5", "x", "9" * 16]),
        *((fields.page_size, "page_size", value) for value in ["0", "-1", "x"]),
        *((fields.syssn_list, "syssn", value) for value in ["1,x", "1;2"]),
        *((fields.reference_list, "out_trade_no", value) for value in ["a,b c", "a,%"]),
        (fields.reference_list, "out_trade_no", ",".join(map(str, range(501)))),
        (fields.pay_type_list, "pay_type", "800201,8"),
        (fields.respcd_filter, "respcd", "ok"),
        (fields.product_name, "product_name", "x" * 257),
        (fields.product_name, "goods_name", "x" * 257),
    ],
)
def test_a_malformed_field_is_named(
    reader: Callable[[dict[str, str]], object], name: str, value: str
) -> None:
    refused = refusal(reader, {name: value})
    assert refused.english.startswith(f"{name} must ")
    assert code_of(refused.reason) == "1104"


@pytest.mark.parametrize(
    "value", ["1470020842103", "10.564092470071751", "a_b|c*d-e", "uuid--session--method", "!~", "x" * 128]
)
def test_references_of_real_clients_pass(value: str) -> None:
    assert fields.reference({"out_trade_no": value}) == value
    assert fields.echoed_reference({"out_trade_no": value}) == value


@given(st.text(max_size=130))
def test_only_a_well_formed_reference_is_echoed(value: str) -> None:
    echoed = fields.echoed_reference({"out_trade_no": value})
    allowed = set(map(chr, range(0x21, 0x7F))) - set(""",&=%+"'\\""")
    assert echoed == (value if 1 <= len(value) <= 128 and set(value) <= allowed else None)


@given(st.integers(min_value=1, max_value=99_999_999_999))
def test_every_amount_of_eleven_digits_is_read(amount: int) -> None:
    assert fields.amount_minor({"txamt": str(amount)}) == amount


@given(st.datetimes())
def test_every_moment_of_the_calendar_is_read_and_kept_as_sent(moment: object) -> None:
    text = str(moment)[:19]
    assert fields.moment_text({"txdtm": text}) == text


def test_optional_fields_may_be_missing() -> None:
    assert fields.reference({}, required=False) == ""
    assert fields.syssn({"syssn": ""}, required=False) == ""
    assert fields.moment_text({}, "start_time", required=False) == ""
    assert fields.expires_after_s({}) is None
    assert fields.product_name({}) == ""
    assert fields.respcd_filter({}) == ""
    assert fields.echoed_reference({}) is None


def test_text_keeps_its_blanks() -> None:
    assert fields.text({"udid": " a "}, "udid", max_len=40) == " a "


def test_pay_types_are_known_or_have_no_channel() -> None:
    assert all(fields.known_pay_type(code).code == code for code in PAY_TYPES)
    with pytest.raises(NoChannel):
        fields.known_pay_type(fields.pay_type({"pay_type": "805801"}))


def test_valid_time_wins_over_expired_time_which_is_in_minutes() -> None:
    assert fields.expires_after_s({"valid_time": "301", "expired_time": "x"}) == 301
    assert fields.expires_after_s({"valid_time": "", "expired_time": "5"}) == 300
    assert fields.expires_after_s({"expired_time": "120"}) == 7200


def test_pages_have_defaults_and_a_largest_size() -> None:
    assert (fields.page({}), fields.page_size({})) == (1, 10)
    assert (fields.page({"page": "3"}), fields.page_size({"page_size": "20"})) == (3, 20)
    assert fields.page_size({"page_size": "100000"}) == 100
    assert fields.page({"Page": "7"}) == 1


def test_lists_are_split_at_commas_and_count_each_value_once() -> None:
    assert fields.syssn_list({"syssn": "12,13, 12,"}) == ("12", "13")
    assert fields.reference_list({"out_trade_no": "a-1,b|2"}) == ("a-1", "b|2")
    assert fields.pay_type_list({"pay_type": "800201,800208"}) == ("800201", "800208")
    assert fields.syssn_list({}) == fields.syssn_list({"syssn": ""}) == ()


def test_product_name_comes_before_its_later_name() -> None:
    assert fields.product_name({"product_name": "tea", "goods_name": "rice"}) == "tea"
    assert fields.product_name({"product_name": "", "goods_name": "rice"}) == "rice"
    assert fields.product_name({"product_name": "茶" * 256}) == "茶" * 256


def test_mchid_may_be_spelt_with_a_capital_but_not_differ() -> None:
    assert fields.mchid({"mchid": "M1"}) == fields.mchid({"Mchid": "M1"}) == "M1"
    assert fields.mchid({"mchid": "M1", "Mchid": "M1"}) == "M1"
    assert fields.mchid({}) == ""
    assert refusal(fields.mchid, {"mchid": "M1", "Mchid": "M2"}).field == "mchid"
