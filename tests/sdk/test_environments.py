"""An SDK that cannot be installed is skipped with the reason, and a jar that was exchanged is not used."""

import hashlib
from pathlib import Path

import pytest

from tests.sdk import environments
from tests.sdk.environments import (
    NoEnvironment,
    check_jars,
    go_environment,
    java_environment,
    node_environment,
)


@pytest.fixture
def no_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("no_programs")
def test_a_missing_runtime_is_named() -> None:
    with pytest.raises(NoEnvironment, match=r"^gopay needs go$"):
        go_environment("gopay")
    with pytest.raises(NoEnvironment, match=r"^weixin-java-pay needs java and javac and mvn$"):
        java_environment("weixin-java-pay")
    with pytest.raises(NoEnvironment, match=r"^tenpay needs node and npm$"):
        node_environment("tenpay")


def test_an_installation_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder without its stamp is built again, so that an interrupted installation is not used."""
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho go: reading the module: not available >&2\nexit 1\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(environments, "CACHE", tmp_path / "cache")
    for _ in range(2):
        with pytest.raises(NoEnvironment, match=r"^gopay could not be installed: .*: not available$"):
            go_environment("gopay")
    assert not (tmp_path / "cache" / "gopay" / "made-from").exists()


def test_a_jar_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    jar = tmp_path / "jars" / "sdk-1.jar"
    jar.parent.mkdir()
    jar.write_bytes(b"as pinned")
    (tmp_path / "jars.sha256").write_text(f"{hashlib.sha256(b'as pinned').hexdigest()}  sdk-1.jar\n")
    check_jars(tmp_path)
    (tmp_path / "jars" / "more-1.jar").write_bytes(b"not pinned")
    jar.write_bytes(b"exchanged")
    with pytest.raises(NoEnvironment, match=r"other jars than its lock file: more-1\.jar, sdk-1\.jar$"):
        check_jars(tmp_path)
