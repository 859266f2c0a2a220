"""An operator with a shell."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from typer.testing import CliRunner

from tael.cli.app import app
from tael.cli.finding import with_store
from tael.merchants.domain.merchant import App
from tael.operations.store import Store
from tests.support.store import ENCRYPTION_KEY, entered_store

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator with a shell: runs commands and reads the store as the gateway would."""

    environment: dict[str, str]
    folder: Path

    def run(self, *arguments: str) -> str:
        """Standard output of a command that succeeds without a warning."""
        result = CliRunner().invoke(app, list(arguments), env=self.environment)
        assert (result.exit_code, result.stderr) == (0, ""), result.output
        return result.stdout

    def run_json(self, *arguments: str) -> Any:
        """The parsed `--json` output of a command that succeeds: one compact line."""
        text = self.run(*arguments, "--json")
        assert text.count("\n") == 1
        return json.loads(text)

    def is_refused(self, *arguments: str, code: int) -> str:
        """The single line on standard error of a command that fails without standard output."""
        result = CliRunner().invoke(app, list(arguments), env=self.environment)
        assert (result.exit_code, result.stdout) == (code, ""), result.output
        assert result.stderr.startswith("tael: ")
        assert result.stderr.count("\n") == 1
        return result.stderr

    def in_store(self, work: Callable[[Store], Awaitable[Answer]]) -> Answer:
        """Run `work` on a gateway's store."""

        async def with_time(store: Store, _: datetime) -> Answer:
            return await work(store)

        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            return with_store(None, with_time)

    def app(self, appcode: str) -> App:
        found = self.in_store(lambda store: store.merchants.app(appcode))
        assert found is not None
        return found

    def file(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)


def operator_of(database_url: str, folder: Path) -> Operator:
    """Of the gateway on this database; `folder` is for files of theirs."""
    encryption_key = base64.b64encode(ENCRYPTION_KEY).decode()
    return Operator({"TAEL_DATABASE_URL": database_url, "TAEL_ENCRYPTION_KEY": encryption_key}, folder)


def fill(database_url: str, work: Callable[[Store], Awaitable[object]]) -> None:
    """Let `work` fill the database."""

    async def filling() -> None:
        async with entered_store(database_url) as store:
            await work(store)

    asyncio.run(filling())
