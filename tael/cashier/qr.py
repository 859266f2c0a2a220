"""QR codes as SVG, drawn when a page asks for one and never on the way of a payment."""

import asyncio
from functools import lru_cache
from typing import Final

import segno
from markupsafe import Markup

MAX_REMEMBERED: Final = 256


async def qr_code(text: str) -> Markup:
    """`text` as an SVG element that fits its place. Off the loop: a long address takes milliseconds."""
    return await asyncio.to_thread(_drawn, text)


@lru_cache(MAX_REMEMBERED)
def _drawn(text: str) -> Markup:
    code = segno.make(text, error="l", boost_error=True, micro=False)
    # Dark on light with four modules of quiet around it, whatever the page's own colours are.
    svg = code.svg_inline(border=4, dark="#000", light="#fff", omitsize=True, svgclass=None, lineclass=None)
    svg = svg.replace("<svg", '<svg aria-hidden="true"', 1)  # what surrounds it has the words
    return Markup(svg)  # noqa: S704 - drawn from modules, the text itself is not in it
