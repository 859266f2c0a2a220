"""What a run found: printed for people, as JUnit XML and as JSON, and the exit code."""

import json
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from tael_conformance.checks import Outcome, Result

ALL_PASSED: Final = 0
SOME_FAILED: Final = 1
UNUSABLE: Final = 2
MARKS: Final = {
    Outcome.PASSED: ("✓", "green"),
    Outcome.FAILED: ("✗", "red"),
    Outcome.WARNING: ("!", "yellow"),
    Outcome.SKIPPED: ("-", "dim"),
}
#: Characters that XML 1.0 cannot represent.
NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Report:
    """`subject` is what was checked, such as an address, without secrets."""

    command: str
    subject: str
    results: tuple[Result, ...]

    def count(self, outcome: Outcome) -> int:
        return Counter(result.outcome for result in self.results)[outcome]

    @property
    def exit_code(self) -> int:
        return SOME_FAILED if self.count(Outcome.FAILED) else ALL_PASSED


def show_results(console: Console, results: Iterable[Result]) -> Iterator[Result]:
    """Print each result as it comes, under the heading of its group, and pass it on."""
    group = ""
    for result in results:
        if result.group != group:
            group = result.group
            console.print(Text(f"\n{group}", style="bold"))
        _show(console, result)
        yield result


def _show(console: Console, result: Result) -> None:
    mark, style = MARKS[result.outcome]
    line = Text(f" {mark} ", style=style).append(f"{result.title}  ", style="default")
    line.append(result.id, style="dim")
    if result.reason:
        line.append(f"  skipped: {result.reason}", style="dim")
    console.print(line, soft_wrap=True)
    if result.outcome in (Outcome.FAILED, Outcome.WARNING):
        for name, text in details(result):
            console.print(Text(f"     {name:<9} ", style=style).append(text, style="default"), soft_wrap=True)


def details(result: Result) -> Iterator[tuple[str, str]]:
    """What a reader needs to reproduce a departure."""
    yield "rule", f"{result.rule} ({result.section}; {result.level})"
    for name in ("sent", "expected", "received"):
        text = getattr(result, name)
        if text:
            yield name, text


def show_summary(console: Console, report: Report) -> None:
    parts = [f"{report.count(outcome)} {outcome}" for outcome in Outcome if report.count(outcome)]
    style = "red" if report.exit_code else "green"
    console.print(Text(f"\n{report.subject}: {', '.join(parts) or 'no checks'}", style=style), soft_wrap=True)


def write_junit(report: Report, path: Path) -> None:
    """JUnit XML: a test suite for each group. A warning is a passed test case with a system-out."""
    root = ElementTree.Element("testsuites", {"name": f"tael conformance {report.command}"})
    for group in dict.fromkeys(result.group for result in report.results):
        _add_suite(root, group, [result for result in report.results if result.group == group])
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path, "utf-8", xml_declaration=True)


def _add_suite(root: ElementTree.Element, group: str, results: list[Result]) -> None:
    counts = Counter(result.outcome for result in results)
    attributes = {
        "name": group,
        "tests": str(len(results)),
        "failures": str(counts[Outcome.FAILED]),
        "errors": "0",
        "skipped": str(counts[Outcome.SKIPPED]),
        "time": f"{sum(result.seconds for result in results):.3f}",
    }
    suite = ElementTree.SubElement(root, "testsuite", attributes)
    for result in results:
        _add_case(suite, result)


def _add_case(suite: ElementTree.Element, result: Result) -> None:
    attributes = {
        "classname": result.id.rpartition(".")[0],
        "name": result.id,
        "time": f"{result.seconds:.3f}",
    }
    case = ElementTree.SubElement(suite, "testcase", attributes)
    text = NOT_XML.sub("?", "\n".join(f"{name}: {value}" for name, value in details(result)))
    match result.outcome:
        case Outcome.FAILED:
            expected = NOT_XML.sub("?", f"{result.title}: expected {result.expected}")
            ElementTree.SubElement(case, "failure", {"message": expected}).text = text
        case Outcome.SKIPPED:
            ElementTree.SubElement(case, "skipped", {"message": NOT_XML.sub("?", result.reason)})
        case Outcome.WARNING:
            ElementTree.SubElement(case, "system-out").text = text
        case Outcome.PASSED:
            pass


def as_json(report: Report) -> str:
    return json.dumps(
        {
            "command": report.command,
            "subject": report.subject,
            "counts": {outcome.value: report.count(outcome) for outcome in Outcome},
            "results": [asdict(result) for result in report.results],
        },
        ensure_ascii=False,
        indent=2,
    )
