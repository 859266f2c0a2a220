"""Starts a PostgreSQL program so that it dies with its parent and runs as a user of its own.

`launch` is called by the supervisor in `embedded.py`. This file is also the program between the two: run by
its path, it gives up root, asks the kernel for a signal at its parent's death, and becomes PostgreSQL. The
order is what it is for: the kernel forgets that wish when the user changes, and a parent that died before
the wish was made would never be noticed. It therefore imports the standard library only.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

PR_SET_PDEATHSIG: Final = 1
PARENT_IS_GONE: Final = 3  #: exit code

#: Nothing of ours goes along: TAEL_* holds secrets, and a process's environment can be read by its user.
ENVIRONMENT: Final = {"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/local/bin:/usr/bin:/bin"}


def launch(
    command: Sequence[str | Path],
    *,
    uid: int,
    gid: int,
    output: int,
    stdin: IO[str] | int = subprocess.DEVNULL,
) -> subprocess.Popen[str]:
    """Runs `command` as `uid`; it gets SIGINT when this thread ends.

    SIGINT tells PostgreSQL to roll back, write out and leave. A session of its own keeps it away from the
    terminal's Ctrl-C, which would take the database from processes that are still finishing.
    """
    wishes = [str(os.getpid()), str(uid), str(gid)]  # the environment is dropped at the second step
    return subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, *wishes, *map(str, command)],
        stdin=stdin,
        stdout=output,
        stderr=output,
        cwd="/",
        start_new_session=True,
        text=True,
    )


def become(parent: int, uid: int, gid: int, command: list[str]) -> None:
    """Turns this process into `command`; never returns."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs inherit it ignored
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.umask(0o077)
    libc = ctypes.CDLL(None, use_errno=True)  # loaded while root can still read everything
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    if libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        sys.exit(PARENT_IS_GONE)
    os.execve(command[0], command, ENVIRONMENT)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    become(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
