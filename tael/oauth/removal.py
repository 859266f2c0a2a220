"""Removes expired sessions, codes, tokens and attempts to sign in, every ten minutes."""

from datetime import timedelta
from typing import Final

from tael.base.clock import Clock
from tael.oauth.store.removal import Removal, Removals

INTERVAL: Final = timedelta(minutes=10)


async def remove_expired(removal: Removal, removals: Removals, clock: Clock) -> None:
    """Remove a batch. If it was a full one, the next is due at once."""
    now = clock.now()
    has_more = await removals.remove_expired(now)
    await removals.reschedule(removal, now if has_more else now + INTERVAL)
