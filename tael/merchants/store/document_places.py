"""Where the encrypted contents of documents are: a folder, or a bucket of an S3-compatible store.

No part of a name comes from a request.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol

UNFINISHED: Final = ".part"
S3: Final = "s3://"
#: Of one call to a bucket, with its repeats.
CALL_S: Final = 20
MAX_RETRIES: Final = 2


class Place(Protocol):
    """Contents by name. The methods block, and raise OSError."""

    def write(self, name: str, content: bytes) -> None:
        """All of it or nothing."""
        ...

    def read(self, name: str) -> bytes: ...

    def read_head(self, name: str, size: int) -> bytes:
        """The first `size` bytes. Raises FileNotFoundError if there is no such content."""
        ...

    def remove(self, name: str) -> None:
        """It may be missing."""
        ...


def place_at(location: str) -> Place:
    """`location` is the path of a folder, or `s3://bucket/prefix`."""
    return Bucket(location) if location.startswith(S3) else Folder(Path(location))


class Folder:
    """Files that only their owner can read. A file gets its name when it is complete, also after a power failure."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, name: str, content: bytes) -> None:
        path = self._path / name
        part = path.with_name(name + UNFINISHED)
        try:
            part.unlink(missing_ok=True)  # left by a process that was killed
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.rename(path)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        self._sync()

    def read(self, name: str) -> bytes:
        return (self._path / name).read_bytes()

    def read_head(self, name: str, size: int) -> bytes:
        with (self._path / name).open("rb") as file:
            return file.read(size)

    def remove(self, name: str) -> None:
        (self._path / name).unlink(missing_ok=True)

    def _sync(self) -> None:
        """So that the new name is on the disk as well."""
        descriptor = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Bucket:
    """Objects in a bucket. Region, endpoint and credentials are in the usual AWS_* variables."""

    def __init__(self, url: str) -> None:
        import obstore  # brings a runtime of its own, which a folder does not need
        from obstore.store import S3Store

        self._obstore = obstore
        self._url = url
        bucket, _, prefix = url.removeprefix(S3).partition("/")
        self._store = S3Store(
            bucket,
            prefix=prefix or None,
            client_options={
                "timeout": f"{CALL_S}s",
                "connect_timeout": "5s",
                # Options given here replace this variable.
                "allow_http": os.environ.get("AWS_ALLOW_HTTP") == "true",
            },
            retry_config={"max_retries": MAX_RETRIES, "retry_timeout": timedelta(seconds=CALL_S)},
        )

    def write(self, name: str, content: bytes) -> None:
        try:
            self._obstore.put(self._store, name, content, use_multipart=False)
        except self._obstore.exceptions.BaseError as error:
            raise self._failed(error) from error

    def read(self, name: str) -> bytes:
        try:
            return bytes(self._obstore.get(self._store, name).bytes())
        except self._obstore.exceptions.BaseError as error:
            raise self._failed(error) from error

    def read_head(self, name: str, size: int) -> bytes:
        try:
            return bytes(self._obstore.get_range(self._store, name, start=0, length=size))
        except (self._obstore.exceptions.NotFoundError, FileNotFoundError) as error:
            raise FileNotFoundError(f"{self._url}: no such content") from error
        except self._obstore.exceptions.BaseError as error:
            raise self._failed(error) from error

    def remove(self, name: str) -> None:
        try:
            self._obstore.delete(self._store, name)
        except self._obstore.exceptions.BaseError as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> OSError:
        """Without the error's text, which has whole responses of the store."""
        return OSError(f"{self._url}: {type(error).__name__}")
