"""Hashes and checks passwords with argon2id, in threads of their own.

A check takes tens of milliseconds and 19 MiB, so a process does two at a time and lets few wait; further ones are
refused. A check without a user takes as long as one with a user.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from tael.base import ids
from tael.base.errors import OutOfService
from tael.base.secret import Secret

MAX_CONCURRENT: Final = 2
MAX_WAITING: Final = 20
#: The second of the equivalent recommendations in OWASP's Password Storage Cheat Sheet.
HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


class Passwords:
    """Created once per process."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(MAX_CONCURRENT, thread_name_prefix="password")
        self._running = 0

    async def is_correct(self, password: Secret, password_hash: Secret | None) -> bool:
        """Whether `password` has this hash; never without one. Raises OutOfService if too many checks wait."""
        if self._running >= MAX_CONCURRENT + MAX_WAITING:
            raise OutOfService("too many sign-ins at once")
        self._running += 1
        try:
            checking = asyncio.get_running_loop().run_in_executor(
                self._threads, _verify, password, password_hash or _hash_of_nothing()
            )
            return await checking and password_hash is not None
        finally:
            self._running -= 1


def hash_of(password: Secret) -> Secret:
    """For an operator's command, which waits for nothing else."""
    return Secret(HASHER.hash(password.reveal()))


def _verify(password: Secret, password_hash: Secret) -> bool:
    try:
        return HASHER.verify(password_hash.reveal(), password.reveal())
    except VerificationError:
        return False


@cache
def _hash_of_nothing() -> Secret:
    return hash_of(Secret(ids.password()))
