"""Reads the responses of WeChat Pay's `/pay/settlementquery`: what was remitted on a day. Pure.

The documents do not show the layout of several records. Three are read: fields that repeat, fields with the number of
their record as a suffix, and elements that contain the fields of one record. A file is the responses of all pages, one
after another, as they arrived.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Final

from tael.channels.statements import (
    CURRENCY,
    MAX_SHOWN,
    RemittedBatch,
    StatementContent,
    StatementKind,
    StatementRefused,
)
from tael.channels.wechat_v2.messages import BadMessage, Pairs, pairs_from_xml

RECORD_FIELDS: Final = frozenset(
    {
        *("fbatchno", "date_settlement", "date_start", "date_end", "settlementfee_type"),
        *("settlement_fee", "unsettlement_fee", "pay_fee", "refund_fee", "pay_net_fee", "poundage_fee"),
        *("split_settlement_fee", "split_unsettlement_fee"),
    }
)
COUNT: Final = "record_num"
MAX_PAGES: Final = 100
END: Final = "</xml>"
BATCH_NO: Final = re.compile(r"[0-9A-Za-z_-]{1,32}", re.ASCII)
SIGNED_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,17})", re.ASCII)
DAY: Final = re.compile(r"[0-9]{8}(?:[0-9]{6})?", re.ASCII)
_SUFFIXED: Final = re.compile(r"([a-z_]{1,40})_([0-9]{1,3})", re.ASCII)


def pairs_of(body: bytes) -> Pairs:
    """The fields of a response in their order; only those of records may repeat. Raises BadMessage.

    A value with the separator of the signed text is refused: with it, the signed text of a response to another call,
    which has texts of merchants, could be cut into other fields.
    """
    pairs = pairs_from_xml(body, RECORD_FIELDS)
    for name, value in pairs:
        if "&" in value:
            raise BadMessage(f"{name} has a separator")
    return pairs


def records_of(pairs: Pairs) -> list[Mapping[str, str]]:
    """The records of a response by the names of their fields. Raises BadMessage."""
    numbered: defaultdict[int, dict[str, str]] = defaultdict(dict)
    plain: defaultdict[str, list[str]] = defaultdict(list)
    for name, value in pairs:
        suffixed = _SUFFIXED.fullmatch(name)
        if name in RECORD_FIELDS:
            plain[name].append(value)
        elif suffixed is not None and suffixed[1] in RECORD_FIELDS:
            numbered[int(suffixed[2])][suffixed[1]] = value
    repeated = {len(values) for values in plain.values()}
    if (numbered and plain) or len(repeated) > 1:
        raise BadMessage("the records are incomplete")
    count = next(iter(repeated), 0)
    records: list[Mapping[str, str]] = [numbered[number] for number in sorted(numbered)]
    records += [{name: values[place] for name, values in plain.items()} for place in range(count)]
    if dict(pairs).get(COUNT) != str(len(records)):
        raise BadMessage(f"{len(records)} records, another number than {COUNT}")
    return records


def is_settlement(text: str) -> bool:
    """Whether this is a response of the call, rather than an error of another one."""
    return f"<{COUNT}>" in text


def read(text: str) -> StatementContent:
    """The content of a file. Raises StatementRefused, with the line on which the response begins."""
    batches: dict[tuple[str, str], RemittedBatch] = {}
    identities: set[str] = set()
    for line, document in _documents(text):
        try:
            pairs = pairs_of(document.encode())
            records = records_of(pairs)
        except BadMessage as error:
            raise StatementRefused(f"not a response of settlementquery: {error}", line) from None
        identities.add(_identity(dict(pairs), line))
        for record in records:
            batch = _batch(_Record(record, line))
            key = batch.batch_no, batch.currency
            if key in batches:
                raise StatementRefused(f"batch {batch.batch_no} is there twice", line)
            batches[key] = batch
    if len(identities) != 1:
        raise StatementRefused("of several accounts")
    days = {batch.settled_on for batch in batches.values()}
    if len(days) > 1:
        raise StatementRefused(f"remittances of several days: {min(days)} and {max(days)}")
    return StatementContent(
        iter(()),
        remittances=tuple(batches.values()),
        kind=StatementKind.SETTLEMENT,
        day=next(iter(days), None),
        identity=identities.pop(),
    )


def _documents(text: str) -> Iterator[tuple[int, str]]:
    """Each response, and the line on which it begins."""
    *documents, rest = text.split(END)
    if rest.strip() or len(documents) > MAX_PAGES:
        raise StatementRefused(
            "the file is incomplete" if rest.strip() else f"more than {MAX_PAGES} responses"
        )
    line = 1
    for document in documents:
        begins = len(document) - len(document.lstrip())
        yield line + document.count("\n", 0, begins), document.strip() + END
        line += document.count("\n")


def _identity(fields: Mapping[str, str], line: int) -> str:
    """As `WeChatAccount.identity`."""
    if (fields.get("return_code"), fields.get("result_code")) != ("SUCCESS", "SUCCESS"):
        raise StatementRefused(f"an error of WeChat Pay: {fields.get('err_code', '')[:MAX_SHOWN]!r}", line)
    if not fields.get("mch_id"):
        raise StatementRefused("without the account's number", line, "mch_id")
    return f"{fields['mch_id']}/{fields.get('sub_mch_id', '')}"


class _Record:
    """One record. Each method reads a field, and raises StatementRefused with its place."""

    def __init__(self, fields: Mapping[str, str], line: int) -> None:
        self._fields = fields
        self._line = line

    def text(self, name: str, form: re.Pattern[str]) -> str:
        value = self._fields.get(name, "")
        if form.fullmatch(value) is None:
            raise self.refused(name, f"missing or malformed: {value[:MAX_SHOWN]!r}")
        return value

    def minor(self, name: str) -> int:
        return int(self.text(name, SIGNED_INTEGER))

    def day(self, name: str) -> date:
        text = self.text(name, DAY)[:8]
        try:
            return date(int(text[:4]), int(text[4:6]), int(text[6:]))
        except ValueError:
            raise self.refused(name, f"not a day: {text!r}") from None

    def check(self, name: str, expected_minor: int) -> None:
        if self.minor(name) != expected_minor:
            raise self.refused(name, f"{self.minor(name)}, but {expected_minor} by the other amounts")

    def refused(self, name: str, reason: str) -> StatementRefused:
        return StatementRefused(reason, self._line, name)


def _batch(record: _Record) -> RemittedBatch:
    """With amounts that agree: net is paid less refunded, and the fee is subtracted from it."""
    batch = RemittedBatch(
        batch_no=record.text("fbatchno", BATCH_NO),
        settled_on=record.day("date_settlement"),
        trades_from=record.day("date_start"),
        trades_to=record.day("date_end"),
        currency=record.text("settlementfee_type", CURRENCY),
        paid_minor=record.minor("pay_fee"),
        refunded_minor=record.minor("refund_fee"),
        fee_minor=record.minor("poundage_fee"),
    )
    for name, minor in (("pay_fee", batch.paid_minor), ("refund_fee", batch.refunded_minor)):
        if minor < 0:
            raise record.refused(name, f"negative: {minor}")
    if batch.trades_from > batch.trades_to:
        raise record.refused("date_end", "before date_start")
    record.check("pay_net_fee", batch.paid_minor - batch.refunded_minor)
    record.check("settlement_fee", batch.net_minor)
    return batch
