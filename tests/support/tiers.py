"""What each tier of the tests took, as a table at the end of a run, with or without workers.

A tier is a folder of `tests/`. Its seconds are those of its tests with their fixtures, added up over all workers: a
fixture for many tests counts where it was first asked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

import pytest

#: From the smallest parts to the whole.
ORDER: Final = (
    "unit",
    "contract",
    "integration",
    "end_to_end",
    "property",
    "fault",
    "sandbox",
    "client",
    "conformance",
    "sdk",
    "browser",
    "architecture",
)


@dataclass(slots=True)
class Tier:
    tests: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)
    seconds: float = 0.0


class TierTable:
    """A plugin. Where tests run in workers, it is registered with the process that hears from them all."""

    def __init__(self) -> None:
        self.tiers: dict[str, Tier] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = tier_of(report.nodeid)
        if name is None:
            return
        tier = self.tiers.setdefault(name, Tier())
        tier.tests.add(report.nodeid)
        tier.seconds += report.duration
        if report.skipped:
            tier.skipped.add(report.nodeid)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.tiers:
            terminalreporter.section("tiers")
            for line in self.lines():
                terminalreporter.write_line(line)

    def lines(self) -> Iterator[str]:
        known = [name for name in ORDER if name in self.tiers]
        rows = [(name, self.tiers[name]) for name in (*known, *sorted(self.tiers.keys() - set(ORDER)))]
        yield f"{'tier':<14}{'tests':>8}{'skipped':>10}{'seconds':>10}"
        for name, tier in rows:
            yield _line(name, len(tier.tests), len(tier.skipped), tier.seconds)
        yield _line(
            "all",
            sum(len(tier.tests) for _, tier in rows),
            sum(len(tier.skipped) for _, tier in rows),
            sum(tier.seconds for _, tier in rows),
        )


def tier_of(nodeid: str) -> str | None:
    """The folder of `tests/` that a test is in."""
    parts = PurePosixPath(nodeid.partition("::")[0]).parts
    return parts[1] if len(parts) > 2 and parts[0] == "tests" else None


def _line(name: str, tests: int, skipped: int, seconds: float) -> str:
    return f"{name:<14}{tests:>8}{skipped:>10}{seconds:>10.1f}"
