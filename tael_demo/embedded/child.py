"""Starts a PostgreSQL program that runs as a user of its own and stops with its parent.

This file is also the program that runs between the two: it gives up root, asks the kernel for a signal at its parent's
death (PR_SET_PDEATHSIG), and executes PostgreSQL. The order matters: the kernel clears the setting when the user
changes, and a parent that died before it was set must be detected. It imports the standard library only.
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

#: Our environment is not inherited: TAEL_* contains secrets, and a process's user can read its environment.
ENVIRONMENT: Final = {"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/local/bin:/usr/bin:/bin"}


def launch(
    command: Sequence[str | Path],
    *,
    uid: int,
    gid: int,
    output: int,
    stdin: IO[str] | int = subprocess.DEVNULL,
) -> subprocess.Popen[str]:
    """Run `command` as `uid`; it gets SIGINT when this thread ends.

    SIGINT makes PostgreSQL roll back, write a checkpoint and exit. A session of its own shields it from the terminal's
    Ctrl-C, which would stop the database under processes that are still finishing.
    """
    arguments = [str(os.getpid()), str(uid), str(gid)]  # as arguments, since the environment is dropped
    return subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, *arguments, *map(str, command)],
        stdin=stdin,
        stdout=output,
        stderr=output,
        cwd="/",
        start_new_session=True,
        text=True,
    )


def become(parent: int, uid: int, gid: int, command: list[str]) -> None:
    """Replace this process with `command`; never returns."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored in a shell's background jobs, and inherited
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
    os.execve(command[0], command, ENVIRONMENT)  # noqa: S606 - without a shell on purpose


if __name__ == "__main__":
    become(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
