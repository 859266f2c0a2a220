"""Each code has one meaning: the documented one, and UNKNOWN for undocumented codes."""

import re
from pathlib import Path

import pytest
from tael_client import MEANINGS, Meaning, meaning_of

PAGE = (Path(__file__).parents[2] / "docs" / "codes.md").read_text("utf-8")
#: A row of either table: code, what it means, class.
ROW = re.compile(r"^\| (\d{4}) \| [^|]+ \| (\w+) \|", re.MULTILINE)


@pytest.mark.parametrize("respcd", ["1145", "1143", "2999", "1161", "1298"])
def test_a_code_in_progress_is_pending(respcd: str) -> None:
    assert meaning_of(respcd) is Meaning.PENDING


@pytest.mark.parametrize("respcd", ["1101", "1127", "1131", "1144", "1154", "1252", "1254", "2010"])
def test_an_uncertain_code_is_unknown(respcd: str) -> None:
    assert meaning_of(respcd) is Meaning.UNKNOWN


@pytest.mark.parametrize("respcd", ["1100", "1111", "1112", "1120", "1180", "1269", "1296", "2009"])
def test_a_repeatable_code_is_to_be_retried(respcd: str) -> None:
    assert meaning_of(respcd) is Meaning.RETRY


@pytest.mark.parametrize(
    "respcd", ["1102", "1104", "1108", "1124", "1142", "1181", "1201", "1272", "2005", "2007"]
)
def test_a_refusal_is_final(respcd: str) -> None:
    assert meaning_of(respcd) is Meaning.FINAL


@pytest.mark.parametrize("respcd", ["9999", "1299", "0001", "", "OK", "00000"])
def test_an_undocumented_code_is_unknown_and_never_final(respcd: str) -> None:
    assert meaning_of(respcd) is Meaning.UNKNOWN


def test_the_client_reads_every_code_as_published() -> None:
    documented = dict(ROW.findall(PAGE))
    assert len(documented) > 100
    assert {respcd: meaning.value for respcd, meaning in MEANINGS.items()} == documented
