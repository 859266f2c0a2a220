"""An SDK at work in its own environment, and a merchant's server that lets the SDK judge each notice."""

import json
import os
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import pytest

from tests.sandbox.conftest import Receiver, Sandbox
from tests.sdk.environments import Environment, NoEnvironment

CALL_LIMIT_S: Final = 30
END_LIMIT_S: Final = 10


def environment_or_skip(make: Callable[[str], Environment], name: str) -> Environment:
    """Where an SDK cannot be installed, its tests are skipped and say why."""
    try:
        return make(name)
    except NoEnvironment as why:
        pytest.skip(str(why))


class SdkRefused(Exception):
    """The SDK raised: `kind` is the name or code of its error, `answer` what it kept of the wallet's reply."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__(f"{told['raised']}: {told['says']}")
        self.kind: str = told["raised"]
        self.says: str = told["says"]
        self.status: int | None = told.get("status")
        self.answer: Any = told.get("data")


class Sdk:
    """A driver's process. One call at a time, whichever thread asks."""

    def __init__(
        self, environment: Environment, settings: Mapping[str, Any], variables: Mapping[str, str]
    ) -> None:
        self._turn = threading.Lock()
        self._process = subprocess.Popen(
            environment.command,
            env={**os.environ, **environment.variables, **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._say(settings)

    def _say(self, line: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()

    def call(self, name: str, *, secured: bool = False, **fields: Any) -> Any:
        """What the SDK's method returns. Raises SdkRefused."""
        with self._turn:
            limit = threading.Timer(CALL_LIMIT_S, self._process.kill)
            limit.start()
            self._say({"call": name, "fields": fields, "secured": secured})
            assert self._process.stdout is not None
            line = self._process.stdout.readline()
            limit.cancel()
        assert line, f"the driver ended at {name}"
        told: dict[str, Any] = json.loads(line)
        assert told["call"] == name
        if "raised" in told:
            raise SdkRefused(told)
        return told["answer"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


@dataclass(frozen=True, slots=True)
class Words:
    """What a merchant answers a notice that it believes, or does not."""

    thanks: bytes
    sorry: bytes


class Judge(Receiver):
    """A merchant's server that asks the SDK first, and acknowledges only what the SDK believes.

    `verdicts` has what the SDK read in each notice, or None where it raised.
    """

    def __init__(self, read: Callable[[bytes], Any], words: Words) -> None:
        self._read = read
        self._words = words
        self.verdicts: list[Any] = []
        super().__init__()

    def _take(self, body: bytes, content_type: str) -> tuple[int, bytes]:
        try:
            verdict = self._read(body)
        except SdkRefused:
            verdict = None
        self.verdicts.append(verdict)
        self.answer = (200, self._words.thanks if verdict else self._words.sorry)
        return super()._take(body, content_type)

    @property
    def address(self) -> str:
        """Without a query, which WeChat Pay refuses."""
        return self.url.split("?")[0]


def put_fault(sandbox: Sandbox, fault: Mapping[str, Any]) -> None:
    status, answer = sandbox.call("PUT", "/control/faults", json.dumps([fault]).encode())
    assert status == 200, answer
