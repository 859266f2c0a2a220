"""A maintenance window: new operations are refused, operations in progress continue."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class MaintenanceWindow:
    reason: str  #: shown to developers; may be empty
    since: datetime
