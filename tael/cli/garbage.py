"""Garbage collection in long-running processes."""

import gc
from typing import Final

#: Of the three generations: new objects, collections of the first, collections of the second. Cycles of so many objects
#: take about 10 MB.
THRESHOLDS: Final = (100_000, 20, 50)


def collect_rarely() -> None:
    """Exempt all that was built so far from garbage collection, and collect what comes later less often.

    A payment leaves no cycles. With Python's thresholds, collections would stop all requests of a process for
    milliseconds, many times a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
