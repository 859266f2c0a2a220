"""Garbage collection in long-running processes."""

import gc
from typing import Final

#: Of the three generations: new objects, collections of the first, collections of the second.
THRESHOLDS: Final = (20_000, 20, 50)


def collect_rarely() -> None:
    """Exempt all that was built so far from garbage collection, and collect what comes later less often.

    A payment leaves no cycles. With Python's thresholds, collections take 5 % of an API process, and stop all its
    requests for milliseconds.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
