"""What the checks of `tael doctor` and `tael cell check` find, as rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tael.operations.problem import Problem


class State(StrEnum):
    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"  #: another check has failed on which it depends


@dataclass(frozen=True, slots=True)
class Result:
    """What one check has found; `problems` are empty unless it failed."""

    check: str
    state: State
    problems: Sequence[Problem] = ()

    def rows(self) -> list[dict[str, Any]]:
        """One for each problem."""
        return [
            {"check": self.check, "state": self.state, "problem": each.problem, "remedy": each.remedy}
            for each in self.problems or (Problem("", ""),)
        ]


def result_of(check: str, problems: Iterable[Problem]) -> Result:
    """A problem that was found twice is shown once."""
    found = tuple(dict.fromkeys(problems))
    return Result(check, State.FAILED if found else State.OK, found)


def skipped(checks: Iterable[str]) -> list[Result]:
    return [Result(check, State.SKIPPED) for check in checks]


def results_of(found: Mapping[str, Iterable[Problem]]) -> list[Result]:
    """The results of several checks, by their names."""
    return [result_of(check, problems) for check, problems in found.items()]


def has_failed(results: Iterable[Result]) -> bool:
    return any(result.state is State.FAILED for result in results)
