"""Random numbers and texts: their range, their distribution, and that none is used twice."""

import os
from collections import Counter

import pytest

from tael.base import ids


def test_nonces_and_request_ids_are_hex_and_all_different() -> None:
    nonces, numbers = [ids.nonce() for _ in range(1000)], [ids.request_id() for _ in range(1000)]

    assert len({*nonces, *numbers}) == 2000
    assert {len(nonce) for nonce in nonces} == {32}
    assert {len(number) for number in numbers} == {16}
    assert all(int(text, 16) >= 0 for text in (*nonces, *numbers))


@pytest.mark.parametrize("maximum", [1, 2, 15, 200, 256])
def test_steps_are_from_1_to_the_maximum_and_none_is_favoured(maximum: int) -> None:
    draws = 400 * maximum
    counts = Counter(ids.small_step(maximum) for _ in range(draws))

    assert set(counts) == set(range(1, maximum + 1))
    # Chi-squared: the mean is maximum - 1; ten standard deviations above it is no accident.
    deviation = sum((count - 400) ** 2 / 400 for count in counts.values())
    assert deviation <= maximum - 1 + 10 * (2 * maximum) ** 0.5


def test_a_copy_of_the_process_draws_other_numbers() -> None:
    ids.nonce()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, ids.nonce().encode())
        os._exit(0)
    theirs = os.read(reader, 32).decode()
    os.waitpid(child, 0)
    os.close(reader)
    os.close(writer)

    assert len(theirs) == 32
    assert theirs != ids.nonce()
