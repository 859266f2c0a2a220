"""The encryption keys in a setting: how they are written, and their ids."""

import base64
import traceback

import pytest

from tael.base.key_ring import MAX_KEYS, BadKeys, key_ring, read_keys

KEYS = [bytes([number]) * 32 for number in range(MAX_KEYS + 1)]
TEXTS = [base64.b64encode(key).decode() for key in KEYS]


def test_the_id_of_a_key_is_the_digest_computed_with_openssl() -> None:
    """SHA-256 of `tael: id of an encryption key`, NUL and the key; the first 8 bytes."""
    assert key_ring(bytes(range(32))).encrypting_id == "b0d41be9adfe131f"


@pytest.mark.parametrize(
    ("text", "separator"),
    [(",".join(TEXTS[:3]), ","), (" , ".join(TEXTS[:3]) + ",", ","), ("\n\n".join(TEXTS[:3]) + "\r\n", "\n")],
)
def test_several_keys_are_read_in_order_and_the_first_encrypts(text: str, separator: str) -> None:
    ring = read_keys(text, separator)
    assert [key.content for key in ring.keys] == KEYS[:3]
    assert ring.encrypting_id == key_ring(KEYS[0]).encrypting_id


def test_there_are_one_to_eight_different_keys() -> None:
    assert len(read_keys(",".join(TEXTS[:MAX_KEYS]), ",").keys) == MAX_KEYS == 8
    for text, reason in (
        (",".join(TEXTS), "has 9 keys"),
        ("", "has 0 keys"),
        (f"{TEXTS[0]},{TEXTS[0]}", "twice"),
    ):
        with pytest.raises(BadKeys, match=reason):
            read_keys(text, ",")


def test_one_wrong_key_refuses_all_and_nothing_shows_a_key() -> None:
    ring = read_keys(",".join(TEXTS[:2]), ",")
    with pytest.raises(BadKeys) as refused:
        read_keys(f"{TEXTS[1]},{TEXTS[2]}x", ",")
    shown = "".join(
        (repr(ring), repr(ring.keys), str(refused.value), *traceback.format_exception(refused.value))
    )
    assert not [text for text in TEXTS[:3] if text in shown]
