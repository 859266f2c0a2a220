"""The parameters of a request to OAuth's endpoints, as RFC 6749 wants them: UTF-8, each at most once.

Values are bounded, and those of the protocol are printable ASCII, so that they can be part of addresses and of errors.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

MAX_BYTES: Final = 8 * 1024
MAX_PARAMETERS: Final = 30
MAX_VALUE_CHARS: Final = 1024
#: RFC 6749's characters, without `"` and `\\`, which may not be part of an error's description.
VALUE: Final = re.compile(r"[ !#-\[\]-~]*")
PROTOCOL: Final = frozenset(
    {"client_id", "client_secret", "redirect_uri", "response_type", "grant_type", "scope", "state"}
    | {"code", "refresh_token", "code_challenge", "code_challenge_method", "code_verifier"}
)
#: May have any character.
SECRETS: Final = frozenset({"client_secret"})


class BadParameters(ValueError):
    """The message is an error's description: ASCII, with no value of the request."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """A parameter without a value counts as missing."""

    values: Mapping[str, str]
    repeated: frozenset[str]


def read(raw: bytes) -> Parameters:
    """The parameters of a query string or a form. Raises BadParameters."""
    pairs = list(_pairs(raw))
    for name, value in pairs:
        if name in PROTOCOL:
            _check(name, value)
    counts = Counter(name for name, _ in pairs)
    return Parameters(
        {name: value for name, value in pairs if value},
        frozenset(name for name, count in counts.items() if count > 1),
    )


def read_once(raw: bytes) -> Mapping[str, str]:
    """The same, where a repeated parameter is refused. Raises BadParameters."""
    parameters = read(raw)
    repeated = sorted(parameters.repeated & PROTOCOL)
    if repeated:
        raise BadParameters(f"{repeated[0]} is given more than once")
    return parameters.values


def _pairs(raw: bytes) -> Iterator[tuple[str, str]]:
    if len(raw) > MAX_BYTES:
        raise BadParameters(f"the parameters are longer than {MAX_BYTES} bytes")
    try:
        text = raw.decode("ascii")
        yield from parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS, separator="&"
        )
    except UnicodeDecodeError:
        raise BadParameters("the parameters are not a form in UTF-8") from None
    except ValueError:
        raise BadParameters(f"there are more than {MAX_PARAMETERS} parameters") from None


def _check(name: str, value: str) -> None:
    if len(value) > MAX_VALUE_CHARS:
        raise BadParameters(f"{name} has more than {MAX_VALUE_CHARS} characters")
    if name not in SECRETS and VALUE.fullmatch(value) is None:
        raise BadParameters(f"{name} has characters that are not allowed")
