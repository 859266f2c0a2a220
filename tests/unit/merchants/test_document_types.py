"""What a file is, by its content. Examples of each type are in `tests/end_to_end/test_sign_up.py`."""

from contextlib import suppress

from hypothesis import given
from hypothesis.strategies import binary, sampled_from

from tael.merchants.document_types import MAX_PIXELS, UnusableDocument, media_type_of
from tael.merchants.domain.document import ENDINGS
from tests.support.documents import PDF, jpeg, png, webp

BEGINNINGS = (
    b"",
    png()[:33],
    png(),
    jpeg()[:20],
    jpeg(),
    webp()[:16],
    webp(),
    PDF,
    b"II*\0",
    b"\0\0\0 ftypheic",
)


@given(sampled_from(BEGINNINGS), binary(max_size=200))
def test_no_content_raises_anything_else(beginning: bytes, rest: bytes) -> None:
    with suppress(UnusableDocument):
        assert media_type_of(beginning + rest) in ENDINGS


def test_an_image_may_have_as_many_pixels_as_the_limit() -> None:
    assert media_type_of(png(MAX_PIXELS // 1000, 1000)) == "image/png"
