"""Checks and their results. A check is a function that raises `Departure` where the subject departs from its rule."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from time import monotonic
from typing import Final, Generic, TypeVar

from tael_conformance.credentials import Redactor

Subject = TypeVar("Subject")
#: The longest text shown of what was sent or received.
MAX_SHOWN: Final = 1200


class Level(StrEnum):
    MUST = "must"  #: a documented rule
    SHOULD = "should"  #: documents are silent or disagree; a departure is a warning


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    WARNING = "warning"
    SKIPPED = "skipped"


class Departure(Exception):
    """The subject departs from a rule. Texts may contain secrets until they are redacted."""

    def __init__(self, expected: str, received: str, sent: str = "") -> None:
        super().__init__(expected)
        self.expected = expected
        self.received = received
        self.sent = sent


class Skipped(Exception):
    """A check could not be made; the message is the reason."""


class Unusable(Exception):
    """The run cannot go on; the message is one line."""


@dataclass(frozen=True, slots=True)
class Check(Generic[Subject]):
    """`id` is stable: `server.signature.wrong`. `section` is a heading of the merchant manual."""

    id: str
    title: str
    rule: str
    section: str
    level: Level
    run: Callable[[Subject], None]

    @property
    def group(self) -> str:
        return self.id.split(".")[1]


@dataclass(frozen=True, slots=True)
class Group(Generic[Subject]):
    """Checks of one topic, whose ids begin with `prefix`, in the order in which they are made."""

    prefix: str
    section: str
    checks: list[Check[Subject]] = field(default_factory=list)

    def must(
        self, name: str, title: str, rule: str
    ) -> Callable[[Callable[[Subject], None]], Callable[[Subject], None]]:
        return self._adder(name, title, rule, Level.MUST)

    def should(
        self, name: str, title: str, rule: str
    ) -> Callable[[Callable[[Subject], None]], Callable[[Subject], None]]:
        return self._adder(name, title, rule, Level.SHOULD)

    def _adder(
        self, name: str, title: str, rule: str, level: Level
    ) -> Callable[[Callable[[Subject], None]], Callable[[Subject], None]]:
        def add(run: Callable[[Subject], None]) -> Callable[[Subject], None]:
            self.checks.append(Check(f"{self.prefix}.{name}", title, rule, self.section, level, run))
            return run

        return add


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one check, without secrets. `reason` says why it was skipped."""

    id: str
    group: str
    title: str
    rule: str
    section: str
    level: Level
    outcome: Outcome
    seconds: float
    sent: str = ""
    expected: str = ""
    received: str = ""
    reason: str = ""


def run_checks(
    checks: Iterable[Check[Subject]],
    subject: Subject,
    redact: Redactor,
    strict: bool = False,
    reason_to_skip: Callable[[str], str] = lambda check_id: "",
) -> Iterator[Result]:
    """The result of each check, in order. `strict` makes a warning a failure.

    `reason_to_skip` is asked for each check by its id; "" makes it.
    """
    for check in checks:
        started = monotonic()
        reason = reason_to_skip(check.id)
        texts: dict[str, str] = {"reason": reason}
        outcome = Outcome.SKIPPED
        if not reason:
            outcome, texts = _run(check, subject, strict)
        shown = {name: shortened(redact(text)) for name, text in texts.items()}
        yield Result(
            check.id,
            check.group,
            check.title,
            check.rule,
            check.section,
            check.level,
            outcome,
            monotonic() - started,
            **shown,
        )


def _run(check: Check[Subject], subject: Subject, strict: bool) -> tuple[Outcome, dict[str, str]]:
    try:
        check.run(subject)
    except Departure as found:
        fails = strict or check.level is Level.MUST
        texts = {"sent": found.sent, "expected": found.expected, "received": found.received}
        return (Outcome.FAILED if fails else Outcome.WARNING), texts
    except Skipped as skipped:
        return Outcome.SKIPPED, {"reason": str(skipped)}
    except Unusable:
        raise
    except Exception as error:  # whatever the subject sends, the other checks are made
        return Outcome.FAILED, {"expected": check.rule, "received": f"what cannot be read: {error!r}"}
    return Outcome.PASSED, {}


def selected(
    checks: Iterable[Check[Subject]], only: Iterable[str], skip: Iterable[str] = ()
) -> list[Check[Subject]]:
    """The checks whose id is in `only` or below it (`server.signature`), by default all, without those in `skip`."""
    wanted, unwanted = tuple(only), tuple(skip)
    return [
        check
        for check in checks
        if (not wanted or _is_named(check.id, wanted)) and not _is_named(check.id, unwanted)
    ]


def _is_named(check_id: str, names: Iterable[str]) -> bool:
    return any(check_id == name or check_id.startswith(f"{name}.") for name in names)


def shortened(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}… ({len(text)} characters)"
