"""Each code has one meaning: that of the documents, and UNKNOWN for all that no document has."""

import re
from pathlib import Path

import pytest
from tael_client import MEANINGS, Meaning, meaning_of

PAGE = (Path(__file__).parents[2] / "docs" / "codes.md").read_text("utf-8")
#: A row of either table: code, what it means, class.
ROW = re.compile(r"^\| (\d{4}) \| [^|]+ \| (\w+) \|", re.MULTILINE)


@pytest.mark.parametrize("respcd", ["1145", "1143", "2999", "1161", "1298"])
def test_what_is_under_way_is_pending(respcd: str) -> None:
    assert meaning_of(respcd) is Meaning.PENDING


@pytest.mark.parametrize("respcd", ["1101", "1127", "1131", "1144", "1154", "1252", "1254", "2010"])
def test_what_nobody_can_say_is_unknown(respcd: str) -> None:
    assert meaning_of(respcd) is Meaning.UNKNOWN


@pytest.mark.parametrize("respcd", ["1100", "1111", "1112", "1120", "1180", "1269", "1296", "2009"])
def test_what_may_be_sent_again_is_to_be_retried(respcd: str) -> None:
    assert meaning_of(respcd) is Meaning.RETRY


@pytest.mark.parametrize(
    "respcd", ["1102", "1104", "1108", "1124", "1142", "1181", "1201", "1272", "2005", "2007"]
)
def test_a_plain_no_is_final(respcd: str) -> None:
    assert meaning_of(respcd) is Meaning.FINAL


@pytest.mark.parametrize("respcd", ["9999", "1299", "0001", "", "OK", "00000"])
def test_a_code_that_no_document_has_is_unknown_and_never_final(respcd: str) -> None:
    assert meaning_of(respcd) is Meaning.UNKNOWN


def test_the_client_reads_every_code_as_the_published_page_says() -> None:
    documented = dict(ROW.findall(PAGE))
    assert len(documented) > 100
    assert {respcd: meaning.value for respcd, meaning in MEANINGS.items()} == documented
