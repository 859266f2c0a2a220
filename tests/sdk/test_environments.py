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
    php_environment,
    ruby_environment,
)
from tests.sdk.sdk import environment_or_skip


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


@pytest.mark.usefixtures("no_programs")
def test_php_and_ruby_are_used_from_a_folder_that_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for make, variable, program in (
        (php_environment, "TAEL_SDK_PHP", "php"),
        (ruby_environment, "TAEL_SDK_RUBY", "ruby"),
    ):
        monkeypatch.delenv(variable, raising=False)
        with pytest.raises(NoEnvironment, match=f"{variable} names, which is not set"):
            make("an-sdk")
        monkeypatch.setenv(variable, str(tmp_path / "nothing"))
        with pytest.raises(NoEnvironment, match=f"nothing of {variable}, which does not exist"):
            make("an-sdk")
        monkeypatch.setenv(variable, str(tmp_path))
        with pytest.raises(NoEnvironment, match=f"^an-sdk needs {program}$"):
            make("an-sdk")


def test_the_reason_is_that_of_the_skipped_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAEL_SDK_PHP", raising=False)
    with pytest.raises(pytest.skip.Exception, match="TAEL_SDK_PHP names, which is not set"):
        environment_or_skip(php_environment, "an-sdk")


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
