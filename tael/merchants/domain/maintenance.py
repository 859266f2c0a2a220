"""A planned stop: while it lasts nothing new is begun, and all that was begun goes on."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class MaintenanceWindow:
    reason: str  #: for developers; may be empty
    since: datetime
