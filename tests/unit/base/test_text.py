"""Characters that XML cannot hold: the same blank for both wallets; all others stay."""

import pytest
from defusedxml.ElementTree import fromstring

from tael.base.text import is_writable, writable


@pytest.mark.parametrize(
    "character",
    [
        "\x01",
        "\x08",
        "\t",
        "\n",
        "\x0b",
        "\r",
        "\x1f",
        "\x7f",
        "\x80",
        "\x85",
        "\x9f",
        "\u2028",
        "\u2029",
        "\ud800",
        "\ufffe",
        "\uffff",
    ],
)
def test_a_character_that_cannot_be_written_becomes_a_blank(character: str) -> None:
    assert not is_writable(f"tea{character}leaf")
    assert writable(f"tea{character}leaf") == "tea leaf"


@pytest.mark.parametrize(
    "text", ["tea & <leaf>", "茶葉", "🍵", "\u00a0", "ＡＢ", "e\u0301", "\ue000", "\ufffd", "\u2027\u202a"]
)
def test_all_other_characters_stay(text: str) -> None:
    assert is_writable(text)
    assert writable(text) == text


def test_every_written_text_reads_back_from_xml() -> None:
    everything = "".join(map(chr, range(0x1_1000)))
    kept = writable(everything)
    assert fromstring(f"<a><![CDATA[{kept}]]></a>").text == kept
