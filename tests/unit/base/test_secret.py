"""Only `reveal` shows a secret."""

import copy
import dataclasses
import json
import pickle
import traceback

import pytest

from tael.base.secret import Secret

TEXT = "5d41402abc4b2a76b9719d911017c592"


@dataclasses.dataclass(frozen=True, slots=True)
class Holder:
    name: str
    key: Secret


def test_no_form_of_printing_shows_it() -> None:
    secret = Secret(TEXT)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>80}", repr([secret]), repr({1: secret})]
    assert all(TEXT not in text for text in shown)


def test_the_repr_of_a_dataclass_around_it_hides_it() -> None:
    assert TEXT not in repr(Holder("demo", Secret(TEXT)))


def test_a_traceback_with_it_in_the_message_hides_it() -> None:
    try:
        raise LookupError(Secret(TEXT))
    except LookupError:
        assert TEXT not in traceback.format_exc()


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps, json.dumps])
def test_it_is_not_pickled_copied_or_written_as_json(copied: object) -> None:
    assert callable(copied)
    with pytest.raises(TypeError):
        copied(Secret(TEXT))


def test_the_fields_of_a_dataclass_are_not_turned_into_plain_values() -> None:
    with pytest.raises(TypeError):
        dataclasses.asdict(Holder("demo", Secret(TEXT)))


def test_it_has_no_dictionary_to_look_into() -> None:
    assert not hasattr(Secret(TEXT), "__dict__")


def test_reveal_returns_its_text_and_equal_secrets_are_equal() -> None:
    assert Secret(TEXT).reveal() == TEXT
    assert Secret(TEXT) == Secret(TEXT)
    assert hash(Secret(TEXT)) == hash(Secret(TEXT))
    assert Secret(TEXT) != Secret("other")
    assert Secret(TEXT) != TEXT
