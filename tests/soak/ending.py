"""The end of a soak: moves the clock until all scheduled work is done, and verifies the ledger.

Both functions return a sentence per failure, none on success.
"""

import asyncio
import subprocess
import sys
import time
from datetime import timedelta
from typing import Final

from tests.soak.merchant import SoakClient
from tests.soak.plan import WORKERS
from tests.soak.reading import BookReader
from tests.soak.rig import ROOT, SoakStack

IDLE_LIMIT_S: Final = 240.0
STALLED_LIMIT_S: Final = 20.0
FIRST_STEP: Final = timedelta(seconds=5)
MAX_STEP: Final = timedelta(hours=2)
#: What is held is checked once more after the last fault, so that a false record is corrected.
RECHECKED: Final = timedelta(hours=25)
REST_S: Final = 0.05
VERIFY_LIMIT_S: Final = 120


async def run_until_idle(stack: SoakStack, client: SoakClient, reader: BookReader) -> list[str]:
    """Move the clock to the next due row and wait until it is done, until nothing is due."""
    stack.kill(WORKERS)
    await reader.end_leases()
    step, began = FIRST_STEP, time.monotonic()
    rechecked_until = stack.clock.now() + RECHECKED
    stalled_since, seen = time.monotonic(), (0, stack.clock.now())
    while time.monotonic() - began < IDLE_LIMIT_S:
        rows = await reader.due(rechecked_until)
        if not rows:
            return []
        now = stack.clock.now()
        if seen != (seen := (len(rows), rows[0]["at"])):
            stalled_since = time.monotonic()
        if rows[0]["at"] > now:
            stalled_since = time.monotonic()
            has_open = any(row["is_open"] for row in rows)
            to = max(next(r["at"] for r in rows if r["is_open"] or not has_open), now + step)
            await client.advance((to - now).total_seconds() + 0.01)
            step = min(step * 1.5, timedelta(minutes=1)) if has_open else min(step * 4, MAX_STEP)
        elif time.monotonic() - stalled_since > STALLED_LIMIT_S:
            return [f"{len(rows)} rows are due and are not done"]
        await asyncio.sleep(REST_S)
    return [f"the jobs never came to rest: {len(await reader.due(rechecked_until))} rows are still due"]


def ledger_verified(stack: SoakStack) -> list[str]:
    """Run `tael ledger verify` as an operator would."""
    done = subprocess.run(
        [sys.executable, "-m", "tael.cli", "ledger", "verify", "--data", str(stack.place.data)],
        cwd=ROOT,
        env=stack.demo_stack.environment,
        capture_output=True,
        text=True,
        timeout=VERIFY_LIMIT_S,
    )
    return [] if done.returncode == 0 else [f"ledger verify: {(done.stdout + done.stderr)[-600:]}"]
