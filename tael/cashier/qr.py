"""QR codes as SVG, drawn when a page is requested, not when a payment is opened."""

import asyncio
from functools import lru_cache
from typing import Final

import segno
from markupsafe import Markup

MAX_CACHED: Final = 256


async def qr_code(text: str) -> Markup:
    """`text` as a scalable SVG element. Drawn in a thread: a long address takes milliseconds."""
    return await asyncio.to_thread(_draw, text)


@lru_cache(MAX_CACHED)
def _draw(text: str) -> Markup:
    code = segno.make(text, error="l", boost_error=True, micro=False)
    # Dark on light with a quiet zone of four modules, whatever the page's colours are.
    svg = code.svg_inline(border=4, dark="#000", light="#fff", omitsize=True, svgclass=None, lineclass=None)
    svg = svg.replace("<svg", '<svg aria-hidden="true"', 1)  # the surrounding element is labelled
    return Markup(svg)  # noqa: S704 - only modules are drawn, the text is not in the SVG
