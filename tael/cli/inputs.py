"""Validation of an operator's options before anything is stored: the forms of values, key files, certificates.

An invalid value ends the command with one line that names the option. Secrets are read from files only: every user of
the machine can read a command's arguments.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from tael.base.secret import Secret
from tael.cli.showing import UNUSABLE, refused
from tael.merchants.domain import forms
from tael.merchants.domain.forms import Form, InvalidValue, check

MAX_FILE: Final = 65_536
#: 30 days, in which a replaced key is still accepted.
MAX_OVERLAP_HOURS: Final = 720
#: The options of members, where the names differ.
OPTIONS: Final = {
    "allowed_addresses": "--allowed-address",
    "denied": "--deny and --allow",
    "key": "--key-file",
    "max_request_age_s": "--max-request-age",
    "redirect_uris": "--redirect-uri",
}


def checked(value: str, form: Form, option: str) -> str:
    """`value`, if it has the form."""
    try:
        return check(value, form, option)
    except InvalidValue as error:
        raise refused(str(error), UNUSABLE) from error


def checked_note(note: str) -> str:
    """An operator's note, without surrounding whitespace."""
    try:
        return forms.check_note(note, "--note")
    except InvalidValue as error:
        raise refused(str(error), UNUSABLE) from error


@contextmanager
def options_named() -> Iterator[None]:
    """Within the block, an invalid value ends the command with one line that names its option."""
    try:
        yield
    except InvalidValue as error:
        option = OPTIONS.get(error.field) or f"--{error.field.replace('_', '-')}"
        raise refused(f"{option}: {error.reason}", UNUSABLE) from error


def is_loopback_host(host: str) -> bool:
    """Whether a URL's host is this machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def secret_in(path: Path, form: Form, option: str) -> Secret:
    """The whole file, without surrounding whitespace."""
    text = text_in(path, option).strip()
    if re.fullmatch(form.pattern, text) is None:
        raise refused(f"{option}: {path} must contain {form.description}", UNUSABLE)
    return Secret(text)


def text_in(path: Path, option: str) -> str:
    """The content of a file with a key or a certificate."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE + 1)
        text = content.decode()
    except OSError as error:
        raise refused(f"{option}: {path} cannot be read: {error.strerror}", UNUSABLE) from error
    except UnicodeDecodeError as error:
        raise refused(f"{option}: {path} is not a text file", UNUSABLE) from error
    if len(content) > MAX_FILE:
        raise refused(f"{option}: {path} is too large for a key", UNUSABLE)
    return text
