"""WeChat Pay's settlementquery: every page is signed, each layout of its records is read, and sums must agree.

Layouts and fields are those of the document of `/pay/settlementquery`, which leaves several records open.
"""

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from typing import Any, Final

import pytest

from tael.base.transport import Answer, NoAnswer, Result, Transport
from tael.channels.outcomes import NotSent, Refusal, Refused, Unknown
from tael.channels.statements import (
    Downloaded,
    DownloadFailed,
    DownloadOutcome,
    DownloadRefused,
    EmptyDay,
    NotReady,
    RemittedBatch,
    StatementContent,
    StatementKind,
    StatementRefused,
)
from tael.channels.wechat_v2.adapter import WeChatV2
from tael.channels.wechat_v2.exchange import Failure, Rejected, Response, Succeeded
from tael.channels.wechat_v2.settlements import failure_of
from tael.channels.wechat_v2.statements import read, recognizes
from tests.support.alipay import TestClock
from tests.support.wechat import IDENTITY, KEY, SUCCESS, account, signed, written

DAY: Final = date(2026, 1, 5)
#: 10:00 of the next day in UTC+8, when a statement of the day is due.
DUE: Final = datetime(2026, 1, 6, 2, 0, tzinfo=UTC)

Record = dict[str, str]
FIRST: Final[Record] = {
    "fbatchno": "20260105A",
    "date_settlement": "20260105",
    "date_start": "20260102",
    "date_end": "20260104",
    "settlement_fee": "5434",
    "unsettlement_fee": "0",
    "settlementfee_type": "HKD",
    "pay_fee": "8800",
    "refund_fee": "3333",
    "pay_net_fee": "5467",
    "poundage_fee": "33",
}
#: More was returned than paid, and the fee with it.
SECOND: Final[Record] = FIRST | {
    "fbatchno": "20260105B",
    "settlementfee_type": "JPY",
    "settlement_fee": "-89",
    "pay_fee": "10",
    "refund_fee": "100",
    "pay_net_fee": "-90",
    "poundage_fee": "-1",
}
BATCHES: Final = (
    RemittedBatch("20260105A", DAY, date(2026, 1, 2), date(2026, 1, 4), "HKD", 8800, 3333, 33),
    RemittedBatch("20260105B", DAY, date(2026, 1, 2), date(2026, 1, 4), "JPY", 10, 100, -1),
)


def element(name: str, value: str) -> str:
    return f"<{name}><![CDATA[{value}]]></{name}>\n"


def repeated(records: Sequence[Record]) -> str:
    return "".join(element(*field) for record in records for field in record.items())


def numbered(records: Sequence[Record]) -> str:
    return "".join(
        element(f"{name}_{place}", value)
        for place, record in enumerate(records)
        for name, value in record.items()
    )


def wrapped(records: Sequence[Record]) -> str:
    return "".join(
        f"<setteinfo_{place}>\n{repeated([record])}</setteinfo_{place}>\n"
        for place, record in enumerate(records)
    )


def columns(records: Sequence[Record]) -> str:
    """All numbers of batches first, then all days, and so on."""
    return "".join(element(name, record[name]) for name in FIRST for record in records)


LAYOUTS: Final = (repeated, numbered, wrapped, columns)


def page(records: Sequence[Record], layout: Callable[[Sequence[Record]], str] = numbered) -> bytes:
    """A signed response, in which fields with the same name are signed in their order."""
    common = {**SUCCESS, "record_num": str(len(records))}
    fields = list(common.items())
    for place, record in enumerate(records):
        fields += [(f"{name}_{place}" if layout is numbered else name, each) for name, each in record.items()]
    names = sorted({name for name, _ in fields})
    pairs = [(name, value) for wanted in names for name, value in fields if name == wanted and value]
    text = "".join(f"{name}={value}&" for name, value in pairs) + f"key={KEY}"
    sign = hashlib.md5(text.encode()).hexdigest().upper()
    head = "".join(element(*field) for field in common.items())
    return f"<xml>\n{head}{layout(records)}{element('sign', sign)}</xml>".encode()


def read_all(*pages: bytes) -> StatementContent:
    return read([line.decode() + "\n" for body in pages for line in body.split(b"\n")])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_remittances_are_read_in_each_layout(layout: Callable[[Sequence[Record]], str]) -> None:
    content = read_all(page([FIRST, SECOND], layout))
    assert (content.remittances, list(content.lines)) == (BATCHES, [])
    assert (content.kind, content.day) == (StatementKind.SETTLEMENT, DAY)
    assert content.identity == "1900000109/1900000110"
    assert [batch.net_minor for batch in content.remittances] == [5434, -89]


def test_the_pages_of_a_day_are_one_statement() -> None:
    content = read_all(page([FIRST]), page([SECOND], repeated), page([]))
    assert content.remittances == BATCHES
    assert recognizes(page([]).decode().partition("\n")[0])
    assert (read_all(page([])).remittances, read_all(page([])).day) == ((), None)


def test_fields_of_tomorrow_and_a_byte_order_mark_are_accepted() -> None:
    body = page([FIRST, SECOND]).replace(
        b"</xml>", b"<split_settlement_fee_0>1</split_settlement_fee_0>\n</xml>"
    )
    other = body.replace(b"</xml>", b"<a_field_of_tomorrow>1</a_field_of_tomorrow>\n</xml>")
    assert read_all("\ufeff".encode() + other).remittances == BATCHES


def without(name: str) -> Record:
    return {each: value for each, value in FIRST.items() if each != name}


@pytest.mark.parametrize(
    ("pages", "message"),
    [
        ([page([FIRST])[:-20]], "the file is incomplete"),
        ([page([FIRST]), page([SECOND])[:200]], "the file is incomplete"),
        ([page([FIRST]), b"text"], "the file is incomplete"),
        ([page([FIRST]), page([FIRST])], "line 22: batch 20260105A is there twice"),
        ([page([FIRST]), page([])] * 51, "more than 100 responses"),
        ([page([FIRST, without("pay_fee")], repeated)], "line 1: .*: the records are incomplete"),
        ([page([FIRST]).replace(b"[1]", b"[2]")], "line 1: .*: 1 records, another number than record_num"),
        ([page([FIRST], wrapped).replace(b"fbatchno>", b"other>")], "line 1: .*: other is no field"),
        ([page([without("fbatchno")])], "line 1, column fbatchno: missing"),
        ([page([FIRST | {"settlement_fee": "5435"}])], "line 1, column settlement_fee: 5435, but 5434"),
        ([page([FIRST | {"pay_net_fee": "5466"}])], "line 1, column pay_net_fee: 5466, but 5467"),
        ([page([FIRST | {"poundage_fee": "0.33"}])], "line 1, column poundage_fee: .* malformed: '0.33'"),
        ([page([FIRST | {"pay_fee": "-1"}])], "line 1, column pay_fee: negative"),
        ([page([FIRST | {"settlementfee_type": "hkd"}])], "line 1, column settlementfee_type"),
        ([page([FIRST | {"date_start": "20260230"}])], "line 1, column date_start: not a day"),
        ([page([FIRST | {"date_start": "20260105"}])], "line 1, column date_end: before date_start"),
        ([page([FIRST, SECOND | {"date_settlement": "20260106"}])], "remittances of several days"),
        ([page([FIRST]), page([SECOND]).replace(b"1900000110", b"1900000111")], "of several accounts"),
        ([page([FIRST]).replace(b"mch_id>", b"other>")], "line 1, column mch_id: without"),
        (
            [written({**IDENTITY, "result_code": "FAIL", "err_code": "NOAUTH", "record_num": "0"})],
            "line 1: an error of WeChat Pay: 'NOAUTH'",
        ),
    ],
)
def test_an_incomplete_or_wrong_settlement_is_refused_with_the_place(
    pages: list[bytes], message: str
) -> None:
    with pytest.raises(StatementRefused, match=f"^{message}"):
        read_all(*pages)


# ---- the download --------------------------------------------------------------------------------------------


class Scripted(Transport):
    """Answers calls one after another."""

    __slots__ = ("_answers", "asked")

    def __init__(self, *answers: Result) -> None:
        super().__init__()
        self._answers = list(answers)
        self.asked: list[bytes] = []

    async def call(self, method: str, url: str, *, body: bytes = b"", **_: Any) -> Result:
        assert url.endswith("/pay/settlementquery")
        self.asked.append(body)
        return self._answers.pop(0)


def ten(number: int) -> list[Record]:
    return [FIRST | {"fbatchno": f"{number}-{place}"} for place in range(10)]


async def download(transport: Transport, at: datetime = DUE) -> tuple[DownloadOutcome, bytes]:
    target = BytesIO()
    source = WeChatV2(transport, TestClock(at), "http://wallet").statements
    outcome = await source.download(account("HMAC-SHA256"), DAY, StatementKind.SETTLEMENT, target)
    return outcome, target.getvalue()


def answers(*bodies: bytes) -> list[Answer]:
    return [Answer(200, {}, body) for body in bodies]


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_pages_are_asked_for_until_one_is_short_and_stored_as_they_arrived(
    layout: Callable[[Sequence[Record]], str],
) -> None:
    pages = [page(ten(1), layout), page(ten(2), layout), page([])]
    transport = Scripted(*answers(*pages))

    outcome, stored = await download(transport)

    assert (outcome, stored) == (Downloaded(), b"".join(each + b"\n" for each in pages))
    assert len(read(stored.decode().splitlines(keepends=True)).remittances) == 20
    for asked, offset in zip(transport.asked, ("0", "10", "20"), strict=True):
        for name, value in (("usetag", "1"), ("limit", "10"), ("offset", offset), ("date_start", "20260105")):
            assert element(name, value).strip().encode() in asked
        assert b"sign_type" not in asked  # not documented for this call: MD5


async def test_a_day_is_not_asked_for_before_it_is_over() -> None:
    midnight = datetime(2026, 1, 5, 16, 0, tzinfo=UTC)
    assert await download(Scripted(), midnight - timedelta(microseconds=1)) == (NotReady(), b"")
    outcome, _ = await download(Scripted(*answers(page([FIRST]))), midnight)
    assert outcome == Downloaded()


async def test_no_remittances_are_believed_12_hours_later() -> None:
    late = DUE + timedelta(hours=12)
    early, _ = await download(Scripted(*answers(page([]))), late - timedelta(microseconds=1))
    assert early == NotReady()
    assert await download(Scripted(*answers(page([]))), late) == (EmptyDay(), page([]) + b"\n")


FORGED: Final = (
    page([FIRST]).replace(b"8800", b"9800"),
    page([FIRST, SECOND], repeated).replace(b"20260105A", b"20260105C"),
    page([FIRST, SECOND], wrapped).replace(b"<![CDATA[10]]>", b"<![CDATA[11]]>"),
    page([FIRST]).replace(b"</xml>", b"<extra>1</extra></xml>"),
    page([FIRST]).replace(b"sign>", b"sing>"),
    page([FIRST], columns).replace(b"</xml>", b"<record_num>1</record_num></xml>"),
    # The records of two batches, exchanged: names are signed in their order.
    page([FIRST, SECOND], repeated).replace(
        repeated([FIRST, SECOND]).encode(), repeated([SECOND, FIRST]).encode()
    ),
)


@pytest.mark.parametrize("body", FORGED)
@pytest.mark.parametrize("pages_before", [0, 1])
async def test_a_page_that_was_changed_ends_the_download(body: bytes, pages_before: int) -> None:
    good = [page(ten(number)) for number in range(pages_before)]
    outcome, _ = await download(Scripted(*answers(*good, body)))
    assert isinstance(outcome, DownloadFailed)


async def test_a_response_of_another_account_or_an_endless_list_ends_the_download() -> None:
    foreign = written(signed({**SUCCESS, "mch_id": "1900000199", "record_num": "0"}))
    outcome, _ = await download(Scripted(*answers(foreign)))
    assert outcome == DownloadFailed("the response is about another mch_id")
    outcome, _ = await download(Scripted(*answers(*[page(ten(1))] * 100)))
    assert outcome == DownloadRefused("more than 1000 remittances")
    outcome, _ = await download(Scripted(NoAnswer("timeout")))
    assert outcome == DownloadFailed("timeout")


@pytest.mark.parametrize(
    ("response", "failure"),
    [
        (Succeeded({}), None),
        (Failure("SYSTEMERROR", "", {}), DownloadFailed("SYSTEMERROR")),
        (Failure("NOAUTH", "", {}), DownloadRefused("NOAUTH")),
        (Rejected("SYSTEMERROR"), DownloadFailed("SYSTEMERROR")),
        (Rejected("签名错误"), DownloadRefused("签名错误")),
        (NotSent("no free connection"), DownloadFailed("no free connection")),
        (Unknown("HTTP 502"), DownloadFailed("HTTP 502")),
        (Refused(Refusal.OUR_CERTIFICATE, "HTTP 400"), DownloadRefused(Refusal.OUR_CERTIFICATE.value)),
    ],
)
def test_what_each_response_means(
    response: Response, failure: DownloadFailed | DownloadRefused | None
) -> None:
    assert failure_of(response) == failure
