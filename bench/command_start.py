"""Measures the CPU time of `tael --help`, which is what every command costs before it does anything.

    python -m bench.command_start [--rounds 20]

CPU time, since a busy machine distorts it less than the time that passes. Ends with 1 if the median is over the limit.
"""

import argparse
import os
import statistics
import subprocess
import sys
from typing import Final

LIMIT_S: Final = 0.35
COMMAND: Final = (sys.executable, "-m", "tael.cli", "--help")


def main() -> int:
    parser = argparse.ArgumentParser("python -m bench.command_start")
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    took_s = sorted(cpu_s() for _ in range(rounds))
    median_s = statistics.median(took_s)
    print(
        f"tael --help: median {median_s:.3f} s of CPU in {rounds} rounds, "
        f"from {took_s[0]:.3f} to {took_s[-1]:.3f}; limit {LIMIT_S}"
    )
    return int(median_s > LIMIT_S)


def cpu_s() -> float:
    """The CPU time of one run, its kernel time included."""
    before = os.times()
    subprocess.run(COMMAND, stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


if __name__ == "__main__":
    sys.exit(main())
