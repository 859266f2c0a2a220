"""The end of a soak: time runs out, so that all that was promised for later is done, and the ledger is verified.

Both give sentences about what is wrong, none if all is well.
"""

import asyncio
import subprocess
import sys
import time
from datetime import timedelta
from typing import Final

from tests.soak.merchant import Street
from tests.soak.plan import WORKERS
from tests.soak.reading import DUE, Looking
from tests.soak.rig import ROOT, SoakRig

IDLE_LIMIT_S: Final = 240.0
STALLED_LIMIT_S: Final = 20.0
FIRST_NAP: Final = timedelta(seconds=5)
MAX_NAP: Final = timedelta(hours=2)
REST_S: Final = 0.05
VERIFY_LIMIT_S: Final = 120


async def run_until_idle(rig: SoakRig, street: Street, looking: Looking) -> list[str]:
    """Move the clock to what is due next, and wait until it is done, until nothing is due any more."""
    rig.kill(WORKERS)
    await looking.end_leases()
    nap, began = FIRST_NAP, time.monotonic()
    stalled_since = time.monotonic()
    while time.monotonic() - began < IDLE_LIMIT_S:
        rows = await looking.rows(DUE)
        if not rows:
            return []
        now = rig.clock.now()
        if rows[0]["at"] > now:
            stalled_since = time.monotonic()
            has_open = any(row["is_open"] for row in rows)
            to = max(next(r["at"] for r in rows if r["is_open"] or not has_open), now + nap)
            await street.advance((to - now).total_seconds() + 0.01)
            nap = min(nap * 1.5, timedelta(minutes=1)) if has_open else min(nap * 4, MAX_NAP)
        elif time.monotonic() - stalled_since > STALLED_LIMIT_S:
            return [f"{len(rows)} rows are due and are not done"]
        await asyncio.sleep(REST_S)
    return [f"the jobs never came to rest: {len(await looking.rows(DUE))} rows are still due"]


def ledger_verified(rig: SoakRig) -> list[str]:
    """`tael ledger verify`, as an operator would call it."""
    done = subprocess.run(
        [sys.executable, "-m", "tael.cli", "ledger", "verify", "--data", str(rig.place.data)],
        cwd=ROOT,
        env=rig.rig.environment,
        capture_output=True,
        text=True,
        timeout=VERIFY_LIMIT_S,
    )
    return [] if done.returncode == 0 else [f"ledger verify: {(done.stdout + done.stderr)[-600:]}"]
