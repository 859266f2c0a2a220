"""Every response code can be reached: with magic values, a merchant's mistake, or an operator's command.

The cells of the page's table are the test cases, so that every printed value leads to its code; and each code that the
gateway sends is in that table or has a function in `ways.py`.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from tests.end_to_end.merchant import WALLET_OF, Merchant
from tests.end_to_end.rig import ROOT, Demo
from tests.end_to_end.ways import ELSEWHERE, RECIPES
from tests.support.http_calls import Answer

PAGE: Final = (ROOT / "docs" / "sandbox.md").read_text("utf-8")
CODES: Final = (ROOT / "docs" / "codes.md").read_text("utf-8")
ROW: Final = re.compile(r"^\| (\d{4}) \|(.*)\|$", re.MULTILINE)
BARCODE, ORDER, REFUND = "barcode", "order", "refund"
#: The columns of the page's table.
COLUMNS: Final = (
    (BARCODE, "800108"),
    (BARCODE, "800208"),
    (ORDER, "800201"),
    (REFUND, "800108"),
    (REFUND, "800208"),
)
#: The other pay types of a column.
ALSO: Final = {
    (BARCODE, "800208"): ("800228",),
    (ORDER, "800201"): ("800207",),
    (REFUND, "800108"): ("800151",),
    (REFUND, "800208"): ("800201",),
}
PREFIX: Final = {"800108": "28", "800208": "13", "800228": "15"}
#: Parameters that the page requires of the payment too.
BESIDES: Final = {"1121": {"limit_pay": "no_credit"}}
WAITING_AT_ALIPAY: Final = {"1145": ("0000", 3), "2007": ("2007", 3), "2005": ("2005", 190)}


def section(page: str, title: str) -> str:
    """The text below a heading, up to the next one of any level."""
    return re.split(r"^#+ ", page.split(f"# {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def sent_codes() -> list[str]:
    return [code for code, _ in ROW.findall(section(CODES, "Codes the gateway sends"))]


def magic_cells() -> list[tuple[str, str, str]]:
    """Code, kind of call and pay type, for each value of the table."""
    cells = []
    for code, row in ROW.findall(section(PAGE, "Magic values")):
        for column, cell in zip(COLUMNS, row.split("|"), strict=True):
            if cell.strip():
                kind, first = column
                cells += [(code, kind, pay_type) for pay_type in (first, *ALSO.get(column, ()))]
    return cells


CELLS: Final = magic_cells()
BARCODE_CELLS: Final = [(code, pay_type) for code, kind, pay_type in CELLS if kind == BARCODE]
ORDER_CELLS: Final = [(code, pay_type) for code, kind, pay_type in CELLS if kind == ORDER]
REFUND_CELLS: Final = [(code, pay_type) for code, kind, pay_type in CELLS if kind == REFUND]
LATER_CALLS: Final = (
    ("1146", "close", "800151"),
    ("1146", "close", "800201"),
    ("1155", "reversal", "800108"),
    ("1155", "reversal", "800208"),
    ("2012", "reversal", "800208"),
)


def made_up(pay_type: str, ending: str) -> str:
    return f"{PREFIX[pay_type]}123412341234{ending}"


@contextmanager
def profile(demo: Demo, name: str) -> Iterator[None]:
    demo.put_profile(name)
    try:
        yield
    finally:
        demo.put_profile("demo")


# ---- magic values ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "pay_type"), BARCODE_CELLS)
def test_the_end_of_a_barcode_and_the_amount_give_the_code(
    shop: Merchant, demo: Demo, code: str, pay_type: str
) -> None:
    more = BESIDES.get(code, {})
    by_ending = shop.open(pay_type, auth_code=made_up(pay_type, code), **more)
    by_amount = shop.open(pay_type, txamt=f"99{code}", **more)
    by_code = shop.open(pay_type, auth_code=demo.code_ending(WALLET_OF[pay_type], code), **more)
    for opened in (by_ending, by_amount, by_code):
        if (pay_type == "800108" and code in WAITING_AT_ALIPAY) or code == "1145":
            assert opened.respcd == "1145", opened.members
        else:
            assert opened.respcd == code, opened.members
            assert shop.rows(out_trade_no=opened["out_trade_no"])[0]["respcd"] == code
            assert demo.held(shop.rows(out_trade_no=opened["out_trade_no"])[0]["syssn"]) == 0
    if by_ending.respcd == "1145":
        end, after_s = WAITING_AT_ALIPAY[code]
        demo.advance(after_s)
        for opened in (by_ending, by_amount, by_code):
            shop.until(opened["syssn"], end)


@pytest.mark.parametrize(("code", "pay_type"), ORDER_CELLS)
def test_an_order_that_is_opened_at_wechat_gives_the_code(shop: Merchant, code: str, pay_type: str) -> None:
    assert shop.open(pay_type, txamt=f"99{code}").respcd == code


@pytest.mark.parametrize(("code", "pay_type"), REFUND_CELLS)
def test_a_refunds_amount_and_its_payments_give_the_code(
    shop: Merchant, demo: Demo, code: str, pay_type: str
) -> None:
    stay_awake(demo)
    opened = shop.paid(pay_type, txamt="1000000")
    answers = [refund_after_a_pause(shop, opened, f"99{code}")]
    if (code, BARCODE, pay_type) not in CELLS and (code, ORDER, pay_type) not in CELLS:
        magic = shop.paid(pay_type, txamt=f"99{code}")
        answers.append(refund_after_a_pause(shop, magic, "100"))
    assert [answer.respcd for answer in answers] == [code] * len(answers)
    assert demo.held(opened["syssn"]) == 1000000
    shop.refund_and_wait(opened, "1000000")


@pytest.mark.parametrize(("code", "call", "pay_type"), LATER_CALLS)
def test_a_later_call_gives_the_code(shop: Merchant, demo: Demo, code: str, call: str, pay_type: str) -> None:
    opened = shop.open(pay_type, txamt=f"99{code}")
    assert opened.respcd == "0000"
    if pay_type == "800151":
        demo.scan(opened["pay_url"])
    assert shop.call(call, syssn=opened["syssn"], txamt=f"99{code}").respcd == code


def test_an_invented_code_that_ends_in_0000_is_paid_repeatedly(shop: Merchant) -> None:
    for pay_type in PREFIX:
        for _ in range(2):
            assert shop.open(pay_type, auth_code=made_up(pay_type, "0000")).respcd == "0000"


def test_a_value_without_a_meaning_for_the_call_does_nothing(shop: Merchant) -> None:
    assert shop.open("800108", auth_code=made_up("800108", "1147")).respcd == "0000"
    assert shop.open("800108", auth_code=made_up("800108", "9999")).respcd == "1202"
    assert shop.open("800208", txamt="991111").respcd == "0000"
    assert shop.paid("800201", txamt="991147").respcd == "0000"
    assert shop.paid("800151", txamt="991201").respcd == "0000"
    assert shop.paid("800201", txamt="999999").respcd == "0000"
    shop.refund_and_wait(shop.paid("800201", txamt="1000000"), "991201")


def test_a_credit_card_is_refused_only_if_the_payment_forbids_it(shop: Merchant) -> None:
    for pay_type in ("800208", "800228"):
        assert shop.open(pay_type, txamt="991121").respcd == "0000"
        assert shop.open(pay_type, txamt="991204", limit_pay="no_credit").respcd == "1121"  # the same value
        assert shop.open(pay_type, limit_pay="no_credit").respcd == "0000"


def test_the_end_of_a_barcode_counts_before_the_amount(shop: Merchant) -> None:
    for pay_type in ("800108", "800208"):
        opened = shop.open(pay_type, auth_code=made_up(pay_type, "1204"), txamt="991118")
        assert opened.respcd == "1204"


def test_in_profile_sdk_magic_values_do_nothing(shop: Merchant, demo: Demo) -> None:
    with profile(demo, "sdk"):
        for pay_type in PREFIX:
            unknown = "1202" if pay_type == "800108" else "2006"
            for ending in ("0000", "1201"):
                assert shop.open(pay_type, auth_code=made_up(pay_type, ending)).respcd == unknown
        for code, pay_type in BARCODE_CELLS:
            handed_out = demo.code_ending(WALLET_OF[pay_type], code)
            assert shop.open(pay_type, txamt=f"99{code}", auth_code=handed_out).respcd == "0000"
        for code, pay_type in ORDER_CELLS:
            assert shop.open(pay_type, txamt=f"99{code}").respcd == "0000"
        for code, call, pay_type in LATER_CALLS:
            opened = shop.open(pay_type, txamt=f"99{code}")
            assert shop.call(call, syssn=opened["syssn"], txamt=f"99{code}").respcd == "0000"
        for code, pay_type in REFUND_CELLS:
            shop.refund_and_wait(shop.paid(pay_type, txamt="1000000"), f"99{code}")


def stay_awake(demo: Demo) -> None:
    """From midnight to half past one, some refusals of in-store refunds only mean that it is night."""
    if demo.now().hour in (23, 0, 1):
        demo.advance(3 * 3600)


def refund_after_a_pause(shop: Merchant, opened: Answer, amount: str) -> Answer:
    shop.demo.advance(4)  # Alipay takes one online refund of a PID in 3 s
    return shop.refund(opened, amount)


# ---- every code ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", sent_codes())
def test_every_sent_code_can_be_reached_as_the_page_describes(shop: Merchant, code: str) -> None:
    if code in RECIPES:
        assert RECIPES[code](shop) == code
    elif code in ELSEWHERE:
        assert f'"{code}"' in (ROOT / ELSEWHERE[code]).read_text("utf-8")
    else:
        assert code in {each for each, *_ in (*CELLS, *LATER_CALLS)}, f"nothing reaches {code}"
        return
    assert code in [code for code, _ in ROW.findall(section(PAGE, "Codes without magic"))]
