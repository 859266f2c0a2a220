"""`python -m tael_demo.testing --time`: measures the start of an instance, and prints the machine's load."""

import argparse
import os
import statistics
import time

from tael_demo.testing.instance import Instance

STARTS = 5


def main() -> None:
    parser = argparse.ArgumentParser("python -m tael_demo.testing", description="Start private instances.")
    parser.add_argument("--time", action="store_true", required=True, help=f"time {STARTS} starts")
    parser.parse_args()
    took_s = sorted(_start_s() for _ in range(STARTS))
    print(
        f"median {statistics.median(took_s):.2f} s of {STARTS} starts, "
        f"from {took_s[0]:.2f} to {took_s[-1]:.2f} s; "
        f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
    )


def _start_s() -> float:
    began_s = time.monotonic()
    instance = Instance.start()
    took_s = time.monotonic() - began_s
    instance.end()
    return took_s


if __name__ == "__main__":
    main()
