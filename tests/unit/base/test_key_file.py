"""The file of the encryption keys: a process follows its changes, and no failure takes its keys away."""

import os
from pathlib import Path

import pytest
import structlog

from tael.base.cipher import Cipher, DecryptionFailed
from tael.base.key_file import KeyFile, changing, read_key_file, replace_keys
from tael.base.key_ring import BadKeys, KeyRing, key_ring
from tael.base.secret import Secret

A, B = bytes(32), bytes(range(32))
PLACE = b"place"


class Timer:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def written(path: Path, *keys: bytes) -> Path:
    """A new file with these keys, put in place at once."""
    new = path.with_name("other")
    new.write_text("".join(f"{key.secret.reveal()}\n" for key in key_ring(*keys).keys))
    new.chmod(0o600)
    return new.rename(path)


def followed(path: Path) -> tuple[KeyFile, Timer]:
    """A process that has looked at the file a moment ago."""
    timer = Timer()
    file = KeyFile(path, read_key_file(path), timer)
    file.current()
    return file, timer


def ids(*keys: bytes) -> tuple[str, ...]:
    return key_ring(*keys).key_ids


def test_a_change_is_seen_a_second_later(tmp_path: Path) -> None:
    path = written(tmp_path / "keys", A)
    file, timer = followed(path)
    written(path, B, A)
    timer.now_s += 0.9
    assert file.current().key_ids == ids(A)
    timer.now_s += 0.2
    assert file.current().key_ids == ids(B, A)


def test_a_ciphertext_of_an_unknown_key_makes_a_process_look_at_once(tmp_path: Path) -> None:
    """A process with the old file, at the moment when another one already encrypts with the new key."""
    path = written(tmp_path / "keys", A)
    old, _ = followed(path)
    written(path, B, A)
    new, _ = followed(path)
    ciphertext = Cipher(new).encrypt(Secret("a secret"), PLACE)
    assert old.current().key_ids == ids(A)
    assert Cipher(old).decrypt(ciphertext, PLACE) == Secret("a secret")
    assert Cipher(new).decrypt(
        Cipher(KeyFile(path, key_ring(A))).encrypt(Secret("x"), PLACE), PLACE
    ) == Secret("x")


def test_a_key_that_is_nowhere_is_named(tmp_path: Path) -> None:
    file, _ = followed(written(tmp_path / "keys", A))
    with pytest.raises(DecryptionFailed, match=f"it lacks the key {ids(B)[0]}"):
        Cipher(file).decrypt(Cipher(key_ring(B)).encrypt(Secret("x"), PLACE), PLACE)


@pytest.mark.parametrize("content", [None, "", "half a k", "é" * 3_000, "x" * 10_000])
def test_a_file_that_is_missing_or_broken_keeps_the_keys_and_is_logged_once(
    tmp_path: Path, content: str | None
) -> None:
    path = written(tmp_path / "keys", A)
    file, timer = followed(path)
    path.unlink()
    if content is not None:
        path.write_text(content)
    with structlog.testing.capture_logs() as events:
        for _ in range(3):
            timer.now_s += 2
            assert file.current().key_ids == ids(A)
            assert file.read_again().key_ids == ids(A)
    assert [(each["event"], each["log_level"]) for each in events] == [
        ("encryption_keys.unreadable", "error")
    ]
    written(path, B, A)
    timer.now_s += 2
    with structlog.testing.capture_logs() as events:
        assert file.current().key_ids == ids(B, A)
    assert [each["event"] for each in events] == ["encryption_keys.read"]
    assert events[0]["key_ids"] == ids(B, A)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400])
def test_a_replaced_file_keeps_its_mode_and_leaves_nothing_beside_it(tmp_path: Path, mode: int) -> None:
    path = written(tmp_path / "keys", A)
    path.chmod(mode)
    (tmp_path / "keys.new").write_text("left by a command that was killed")
    with changing(path) as ring:
        replace_keys(path, KeyRing([*ring.keys, *key_ring(B).keys]))
    assert path.stat().st_mode & 0o777 == mode
    assert read_key_file(path).key_ids == ids(A, B)
    assert [each.name for each in tmp_path.iterdir()] == ["keys"]


def test_a_link_to_the_file_stays_one(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    target, link = written(tmp_path / "secrets" / "keys", A), tmp_path / "link"
    link.symlink_to(target)
    with changing(link):
        replace_keys(link, key_ring(B))
    assert link.is_symlink()
    assert read_key_file(target).key_ids == ids(B)


def test_a_file_that_cannot_be_replaced_is_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "keys", A)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"), changing(path):
        replace_keys(path, key_ring(B))
    assert read_key_file(path).key_ids == ids(A)
    assert [each.name for each in tmp_path.iterdir()] == ["keys"]


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(bytes(9_000))
    with pytest.raises(BadKeys, match="longer than 4096 bytes"):
        read_key_file(path)
