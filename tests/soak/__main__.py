"""`python -m tests.soak --seed N --minutes M`: random merchants, payers, faults, crashes, clock jumps.

The last line is JSON; the exit code is 0 if there was no mismatch.
"""

import argparse
import os
import sys
from contextlib import nullcontext
from pathlib import Path

from tests.end_to_end.rig import free_port_block
from tests.soak.mutants import BUGS
from tests.soak.run import run
from tests.support.postgres import open_folder


def main() -> int:
    parser = argparse.ArgumentParser("tests.soak")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument(
        "--planted", choices=BUGS, default="", help="run with this bug; exit 0 if the soak finds it"
    )
    parser.add_argument("--data", type=Path, help="an empty folder to keep everything in")
    options = parser.parse_args()
    for name in [name for name in os.environ if name.startswith("TAEL_")]:
        del os.environ[name]  # the caller's settings would redirect the soak
    with nullcontext(options.data) if options.data else open_folder() as folder:
        print(
            f"soak        seed {options.seed}, {options.minutes:g} minutes, logs in {folder / 'logs'}",
            flush=True,
        )
        figures = run(options.seed, options.minutes, free_port_block(), folder, options.planted)
    print(figures.line(), flush=True)
    return 0 if bool(figures.mismatches) == bool(options.planted) else 1


if __name__ == "__main__":
    sys.exit(main())
