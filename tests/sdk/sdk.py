"""An SDK as a process in its own environment, and a merchant's server that verifies notices with the SDK."""

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
    """Skips the tests of an SDK that cannot be installed, with the reason; all of a module, when it is imported."""
    try:
        return make(name)
    except NoEnvironment as reason:
        pytest.skip(str(reason), allow_module_level=True)


class SdkRefused(Exception):
    """The SDK raised: `kind` is the name or code of its error, `answer` the wallet's reply as far as it has it."""

    def __init__(self, result: dict[str, Any]) -> None:
        super().__init__(f"{result['raised']}: {result['message']}")
        self.kind: str = result["raised"]
        self.message: str = result["message"]
        self.status: int | None = result.get("status")
        self.answer: Any = result.get("data")


class Sdk:
    """A driver's process. Makes one call at a time; safe for several threads."""

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
        self._write(settings)

    def _write(self, line: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()

    def call(self, name: str, *, secured: bool = False, **fields: Any) -> Any:
        """Calls the SDK's method and returns its result. Raises SdkRefused."""
        with self._turn:
            limit = threading.Timer(CALL_LIMIT_S, self._process.kill)
            limit.start()
            self._write({"call": name, "fields": fields, "secured": secured})
            assert self._process.stdout is not None
            line = self._process.stdout.readline()
            limit.cancel()
        assert line, f"the driver ended at {name}"
        result: dict[str, Any] = json.loads(line)
        assert result["call"] == name
        if "raised" in result:
            raise SdkRefused(result)
        return result["answer"]

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
class Acknowledgements:
    """A merchant's responses to a verified notice and to an invalid one."""

    accepted: bytes
    refused: bytes


class VerifyingReceiver(Receiver):
    """A merchant's server that acknowledges only notices that the SDK verifies.


    `results` has the SDK's result for each notice, or None where it raised.
    """

    def __init__(self, read: Callable[[bytes], Any], acknowledgements: Acknowledgements) -> None:
        self._read = read
        self._acknowledgements = acknowledgements
        self.results: list[Any] = []
        super().__init__()

    def _take(self, body: bytes, content_type: str) -> tuple[int, bytes]:
        try:
            result = self._read(body)
        except SdkRefused:
            result = None
        self.results.append(result)
        self.answer = (200, self._acknowledgements.accepted if result else self._acknowledgements.refused)
        return super()._take(body, content_type)

    @property
    def address(self) -> str:
        """The URL without a query, which WeChat Pay refuses."""
        return self.url.split("?")[0]


def put_fault(sandbox: Sandbox, fault: Mapping[str, Any]) -> None:
    status, answer = sandbox.call("PUT", "/control/faults", json.dumps([fault]).encode())
    assert status == 200, answer
