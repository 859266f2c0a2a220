"""`python -m tests.support.confined MODULE ARGUMENTS` runs it as systemd does with `MemoryDenyWriteExecute=yes`.

It holds for what the process starts, and cannot be undone. Without a module, it exits with 0 if the kernel can do it:
Linux 6.3 can.
"""

import ctypes
import runpy
import sys
from typing import Final

PR_SET_MDWE: Final = 65
PR_MDWE_REFUSE_EXEC_GAIN: Final = 1


def main(arguments: list[str]) -> int:
    if ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0):
        return 1
    if arguments:
        sys.argv = arguments
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
