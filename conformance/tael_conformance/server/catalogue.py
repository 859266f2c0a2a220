"""All checks of a server, in the order in which they are made."""

from typing import Final

from tael_conformance.checks import Check
from tael_conformance.server import (
    closes,
    fields,
    money,
    payments,
    queries,
    responses,
    settlements,
    signatures,
    webhooks,
)
from tael_conformance.server.session import Server

GROUPS: Final = (
    signatures.GROUP,
    responses.GROUP,
    *fields.GROUPS,
    payments.GROUP,
    queries.GROUP,
    settlements.GROUP,
    closes.GROUP,
    *money.GROUPS,
    webhooks.GROUP,
)
CHECKS: Final[list[Check[Server]]] = [check for group in GROUPS for check in group.checks]
