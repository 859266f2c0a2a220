"""Draws payment codes as SVG: a barcode (Code 128, set C) and a QR code.

Always black on white, with the quiet zones that the symbologies require: dark mode must not break a scan.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import segno
from markupsafe import Markup

START_C: Final = 105
STOP: Final = 106
CHECK_MODULUS: Final = 103
QUIET_MODULES: Final = 10
#: Pages draw the same code again and again; a QR code takes 10 ms.
MAX_KEPT: Final = 256
BAR_HEIGHT: Final = 38
#: Widths of bar, space, bar, space … of each symbol value, in order; the stop symbol has an additional bar.
_WIDTHS: Final = (
    "212222 222122 222221 121223 121322 131222 122213 122312 132212 221213 221312 231212 112232 122132 122231"
    " 113222 123122 123221 223211 221132 221231 213212 223112 312131 311222 321122 321221 312212 322112 322211"
    " 212123 212321 232121 111323 131123 131321 112313 132113 132311 211313 231113 231311 112133 112331 132131"
    " 113123 113321 133121 313121 211331 231131 213113 213311 213131 311123 311321 331121 312113 312311 332111"
    " 314111 221411 431111 111224 111422 121124 121421 141122 141221 112214 112412 122114 122411 142112 142211"
    " 241211 221114 413111 241112 134111 111242 121142 121241 114212 124112 124211 411212 421112 421211 212141"
    " 214121 412121 111143 111341 131141 114113 114311 411113 411311 113141 114131 311141 411131 211412 211214"
    " 211232 2331112"
)
WIDTHS: Final = _WIDTHS.split()


def symbols(digits: str) -> list[int]:
    """The values of start, each pair of digits, the check symbol and stop."""
    if len(digits) % 2 or not (digits.isascii() and digits.isdigit()):
        raise ValueError("set C encodes an even number of digits")
    values = [int(digits[place : place + 2]) for place in range(0, len(digits), 2)]
    check = START_C + sum(place * value for place, value in enumerate(values, 1))
    return [START_C, *values, check % CHECK_MODULUS, STOP]


def barcode(digits: str) -> Markup:
    widths = [int(width) for symbol in symbols(digits) for width in WIDTHS[symbol]]
    whole = sum(widths) + 2 * QUIET_MODULES
    return Markup('<svg class="bars" viewBox="0 0 {} {}" role="img" aria-label="Barcode">{}</svg>').format(
        whole, BAR_HEIGHT, Markup('<path d="{}"/>').format("".join(_bars(widths)))
    )


def _bars(widths: Iterable[int]) -> Iterable[str]:
    left = QUIET_MODULES
    for place, width in enumerate(widths):
        if place % 2 == 0:
            yield f"M{left} 0h{width}v{BAR_HEIGHT}h-{width}z"
        left += width


@lru_cache(MAX_KEPT)
def qr(text: str) -> Markup:
    """One path of unit squares, without style attributes, which the content security policy blocks."""
    modules = segno.make_qr(text, error="m")
    side = modules.symbol_size()[0]
    squares = (
        f"M{x} {y}h1v1h-1z"
        for y, row in enumerate(modules.matrix_iter(border=modules.default_border_size))
        for x, is_dark in enumerate(row)
        if is_dark
    )
    return Markup(
        '<svg class="qr" viewBox="0 0 {} {}" role="img" aria-label="QR code"><path d="{}"/></svg>'
    ).format(side, side, "".join(squares))
