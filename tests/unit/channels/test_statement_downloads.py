"""What each documented response to a request for a statement means."""

import gzip

import pytest

from tael.channels.alipay_mapi import files
from tael.channels.statements import (
    Downloaded,
    DownloadFailed,
    DownloadOutcome,
    DownloadRefused,
    EmptyDay,
    NotReady,
)
from tael.channels.wechat_v2 import bills


def error(message: str) -> bytes:
    return (
        "<xml><return_code><![CDATA[FAIL]]></return_code>"
        f"<return_msg><![CDATA[{message}]]></return_msg><error_code>20001</error_code></xml>"
    ).encode()


@pytest.mark.parametrize(
    ("head", "is_late", "outcome"),
    [
        (gzip.compress(b"Transaction time", mtime=0), True, Downloaded()),
        (b"\xef\xbb\xbfTransaction time", True, Downloaded()),
        (error("No Bill Exist"), True, EmptyDay()),
        (error("No Bill Exist"), False, NotReady()),
        (error("Bill Creating"), True, NotReady()),
        (error("SYSTEMERROR"), True, DownloadFailed("SYSTEMERROR")),
        (error("CompressGZip Error"), True, DownloadFailed("CompressGZip Error")),
        (error("SIGN ERROR"), True, DownloadRefused("SIGN ERROR")),
        (error("invalid bill_date"), True, DownloadRefused("invalid bill_date")),
        (b"<html>", True, DownloadFailed("not documented")),
        (b"", True, DownloadFailed("an empty response")),
    ],
)
def test_wechats_responses(head: bytes, is_late: bool, outcome: DownloadOutcome) -> None:
    assert bills.outcome_of(head, is_late=is_late) == outcome


@pytest.mark.parametrize(
    ("head", "outcome"),
    [
        (b"1|10.00|HKD|20260102110405||P|0.12|P|\n", Downloaded()),
        (b"No balance account data in the period", EmptyDay()),
        (b"Finish date not ahead of today", NotReady()),
        (b"System exception", DownloadFailed("System exception")),
        (b"Illegal Date period!", DownloadRefused("Illegal Date period!")),
        (b"Over limit balance amount record", DownloadRefused("Over limit balance amount record")),
        (
            b"<alipay><is_success>F</is_success><error>ILLEGAL_PARTNER</error></alipay>",
            DownloadRefused("ILLEGAL_PARTNER"),
        ),
        (b"<html>", DownloadFailed("unreadable response: not valid XML: no element found")),
        (b"", DownloadFailed("an empty response")),
    ],
)
def test_alipays_responses(head: bytes, outcome: DownloadOutcome) -> None:
    assert files.outcome_of(head) == outcome
