"""The audit log's values: who made a change, and which values it replaced. Pure.

A secret is shown as a digest: two equal keys have equal digests, and a key in a file can be compared with
`sha256sum`.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from typing import Any, Final

from tael.base.money import Money
from tael.base.secret import Secret

#: 64 bits of a digest: enough to compare two keys.
DIGEST_DIGITS: Final = 16
#: A longer text, such as a certificate, is shown as its digest.
MAX_SHOWN_CHARACTERS: Final = 300

#: Field by field, as JSON: texts, numbers, booleans, null, and lists or objects of them.
Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Origin:
    """Who makes a change, from where, by which command or request, and when (UTC)."""

    actor: str  #: a user of the operating system, or "app 123456"
    address: str  #: the host of the command, or the IP address of the request
    action: str  #: "tael app set", "POST /mch/v1/signup"
    at: datetime


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change of one row. `before` and `after` have the fields that differ; one is None for a new or removed row."""

    at: datetime
    actor: str
    address: str
    action: str
    subject_kind: str  #: the table
    subject_id: str  #: the row's key
    before: Values | None
    after: Values | None


def entry_of(
    origin: Origin, subject_kind: str, subject_id: str, before: object | None, after: object | None
) -> AuditEntry | None:
    """The change from one value of a dataclass to another. None if they are equal."""
    old, new = (None if value is None else shown(value) for value in (before, after))
    if old is not None and new is not None:
        names = [name for name in new if old[name] != new[name]]
        old, new = ({name: values[name] for name in names} for values in (old, new))
        if not names:
            return None
    return AuditEntry(
        origin.at, origin.actor, origin.address, origin.action, subject_kind, subject_id, old, new
    )


def shown(row: Any) -> dict[str, Any]:
    """The fields of a dataclass, or the members of a mapping, as they may be stored and shown."""
    if isinstance(row, Mapping):
        return {str(name): _shown(value) for name, value in row.items()}
    return {field.name: _shown(getattr(row, field.name)) for field in dataclasses.fields(row)}


def digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:DIGEST_DIGITS]}"


def _shown(value: Any) -> Any:
    match value:
        case Secret():
            return digest(value.reveal())
        case Enum():
            return value.value
        case str():
            return value if len(value) <= MAX_SHOWN_CHARACTERS else digest(value)
        case None | bool() | int():
            return value
        case date():  # datetimes too
            return value.isoformat()
        case Money():
            return str(value)
        case frozenset():
            return sorted(map(_shown, value))
        case tuple() | list():
            return [_shown(each) for each in value]
    if isinstance(value, Mapping) or dataclasses.is_dataclass(value):
        return shown(value)
    raise TypeError(f"{type(value).__name__} cannot be shown in the audit log")
