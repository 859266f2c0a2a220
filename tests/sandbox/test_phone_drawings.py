"""Code 128, compared with symbols and bars that were calculated by hand from its table."""

import re

import pytest

from tael_sandbox.phone.drawings import WIDTHS, barcode, symbols

#: The check value is 105 + 1 x the first pair + 2 x the second ..., modulo 103.
CALCULATED = {
    "00": [105, 0, 2, 106],  # 105 = 1 x 103 + 2
    "123456": [105, 12, 34, 56, 44, 106],  # 105 + 12 + 68 + 168 = 353 = 3 x 103 + 44
    # 105 + 28 + 2 + 69 + 180 + 335 + 534 + 7 + 184 + 405 = 1849 = 17 x 103 + 98
    "280123456789012345": [105, 28, 1, 23, 45, 67, 89, 1, 23, 45, 98, 106],
}


@pytest.mark.parametrize(("digits", "expected"), CALCULATED.items())
def test_the_symbols_are_start_pairs_check_and_stop(digits: str, expected: list[int]) -> None:
    assert symbols(digits) == expected


@pytest.mark.parametrize("text", ["", "1", "123", "12a4", "-1", "１２", " 12 "])
def test_text_that_set_c_cannot_encode_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        symbols(text)


def test_every_symbol_has_eleven_modules_an_even_number_of_them_black_and_a_shape_of_its_own() -> None:
    assert len(WIDTHS) == len(set(WIDTHS)) == 107
    assert {sum(map(int, symbol)) for symbol in WIDTHS[:-1]} == {11}
    assert sum(map(int, WIDTHS[-1])) == 13
    assert not [symbol for symbol in WIDTHS if sum(map(int, symbol[::2])) % 2]


def test_the_bars_follow_the_table() -> None:
    # start C 211232, value 0 212222, check 2 222221, stop 2331112; ten modules of white on either side
    drawn = str(barcode("00"))
    bars = [(int(left), int(width)) for left, width in re.findall(r"M(\d+) 0h(\d+)v", drawn)]
    start, zero, check = [(10, 2), (13, 1), (16, 3)], [(21, 2), (24, 2), (28, 2)], [(32, 2), (36, 2), (40, 2)]
    assert bars == [*start, *zero, *check, (43, 2), (48, 3), (52, 1), (54, 2)]
    assert 'viewBox="0 0 66 ' in drawn
