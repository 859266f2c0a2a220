"""Who runs a command, and from where, for the audit log.

These are claims of the operator's machine: with the database's password others can be written.
"""

import os
import pwd
import socket
from datetime import datetime
from typing import Final

from tael.audit_log.domain.entry import Origin

#: Set by sudo: the user who became another.
SUDO_USER: Final = "SUDO_USER"
#: Set by sshd: the client's address and port, and the server's.
SSH_CONNECTION: Final = "SSH_CONNECTION"


def origin_of_command(command: str, now: datetime) -> Origin:
    """Of a command, such as "app set". `now` is by the gateway's clock."""
    return Origin(_actor(), _address(), f"tael {command}", now)


def _actor() -> str:
    user = _user()
    before = os.environ.get(SUDO_USER, user)
    return user if before == user else f"{before} as {user}"


def _user() -> str:
    """By the system's own list: LOGNAME and USER are anyone's to set."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user may have no name
        return f"uid {os.getuid()}"


def _address() -> str:
    host = socket.gethostname()
    client = os.environ.get(SSH_CONNECTION, "").partition(" ")[0]
    return f"{host} from {client}" if client else host
