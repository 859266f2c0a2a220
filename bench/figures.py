"""Figures of a run: a value for each round, printed with their spread and written as JSON."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

RESULT: Final = Path("bench-result.json")


@dataclass(slots=True)
class Figures:
    """Values by name, one for each round."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        self.values.setdefault(name, []).append(value)
        print(f"  {name} {value:.4g}", flush=True)

    def add_ratio(self, name: str, above: float, below: float) -> None:
        self.add(name, above / below)

    def summary(self) -> dict[str, dict[str, float]]:
        return {
            name: {
                "median": statistics.median(values),
                "min": min(values),
                "max": max(values),
                "rounds": len(values),
            }
            for name, values in self.values.items()
        }


@dataclass(frozen=True, slots=True)
class Bound:
    """What a figure must reach, and what we want it to reach. `is_most`: it must not exceed them."""

    must: float
    goal: float
    is_most: bool = False
    unit: str = ""

    def is_met_by(self, value: float, bound: float) -> bool:
        return value <= bound if self.is_most else value >= bound


BOUNDS: Final[Mapping[str, Bound]] = {
    "inprocess_vs_single": Bound(1.2, 2.0),
    "inprocess_vs_batch32": Bound(0.15, 0.5),
    "wire_vs_single": Bound(1.0, 1.5),
    "p99_ms_two_thirds": Bound(20, 10, is_most=True, unit="ms"),
    "webhooks_per_s": Bound(4000, 8000, unit="/s"),
    "growth_1e7_vs_1e4": Bound(0.85, 1.0),
    "query_syssn": Bound(3, 1.5, is_most=True),
    "query_reference": Bound(3, 1.5, is_most=True),
    "query_month_page1": Bound(3, 1.5, is_most=True),
    "query_month_page1000": Bound(10, 1.5, is_most=True),
    "uss_mb": Bound(60, 40, is_most=True, unit="MB"),
    "overload": Bound(100, 50, is_most=True, unit="ms"),
    "gateway_us": Bound(3, 1.5, is_most=True),
    "cpu_ratio_plain": Bound(1.15, 1.05, is_most=True),
}


def table(summary: Mapping[str, Mapping[str, float]]) -> str:
    """One line for each figure, those with bounds first."""
    lines = [f"{'figure':<28}{'median':>10}{'min':>10}{'max':>10}{'rounds':>8}   must      goal"]
    for name in (*BOUNDS, *(name for name in summary if name not in BOUNDS)):
        if name in summary:
            lines.append(_line(name, summary[name]))
    return "\n".join(lines)


def _line(name: str, found: Mapping[str, float]) -> str:
    numbers = "".join(f"{found[key]:>10.3g}" for key in ("median", "min", "max"))
    line = f"{name:<28}{numbers}{found['rounds']:>8.0f}"
    if name not in BOUNDS:
        return line
    bound = BOUNDS[name]
    sign = "<=" if bound.is_most else ">="
    marks = "".join(
        f" {sign} {limit:<4g}{'yes' if bound.is_met_by(found['median'], limit) else 'no ':<4}"
        for limit in (bound.must, bound.goal)
    )
    return f"{line}  {marks} {bound.unit}".rstrip()


def write_result(rig: Any, summary: Mapping[str, Mapping[str, float]], path: Path = RESULT) -> None:
    path.write_text(json.dumps({"rig": asdict(rig), "ratios": summary}, indent=2) + "\n")


def median(values: Sequence[float]) -> float:
    return statistics.median(values)
