"""Texts without separators in names or values pass a shorter check. It must agree with the text itself."""

from collections.abc import Mapping
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from tael.qfpay.requests import CALL_NAMES
from tael.qfpay.signed_names import Names, misread

NAMES: Final = CALL_NAMES["payment"]
#: Names that the call reads, refuses and does not know, and pieces of which other readings are made.
PIECES: Final = st.sampled_from(
    [
        "txamt",
        "limit_pay",
        "syssn",
        "respmsg",
        "paysource",
        "sign",
        "other",
        "a",
        "1",
        "&",
        "=",
        "&txamt=1",
        "",
    ]
)
TEXTS: Final = st.lists(PIECES, max_size=4).map("".join)


def is_ambiguous(values: Mapping[str, str], names: Names) -> bool:
    """Whether the text, read literally, has a name more or less often than it was sent, or an unwanted one."""
    text = "&" + "&".join(f"{name}={value}" for name, value in sorted(values.items()) if name != "sign")
    wanted = dict.fromkeys(values, 1)
    for name in names.refused:
        wanted[name] = 0 if values.get(name) else wanted.get(name, 0)
    for name in names.foreign:
        wanted[name] = 0
    every = names.read | names.refused | names.foreign
    return any(text.count(f"&{name}=") != wanted.get(name, 0) for name in every)


@given(st.dictionaries(TEXTS, TEXTS, max_size=5))
def test_a_text_is_misread_if_and_only_if_it_says_so(values: dict[str, str]) -> None:
    assert bool(misread(values, NAMES)) is is_ambiguous(values, NAMES)
