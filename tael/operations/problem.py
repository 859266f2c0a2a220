"""What a check of a deployment finds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong, and what an operator can do about it."""

    problem: str
    remedy: str
