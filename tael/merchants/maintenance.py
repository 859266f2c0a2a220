"""What an operator does with the maintenance window. Gateways follow within `ttl_s` of their cache."""

from tael.audit_log.domain.entry import Origin
from tael.merchants.domain.forms import REASON, check
from tael.merchants.domain.maintenance import MaintenanceWindow
from tael.merchants.store.maintenance import MaintenanceWindows


async def begin_maintenance(
    windows: MaintenanceWindows, reason: str, origin: Origin
) -> MaintenanceWindow | None:
    """Open a window, or change the reason of the current one, which keeps its beginning. Raises InvalidValue.

    None if another operator has ended it meanwhile.
    """
    if reason:
        check(reason, REASON, "reason")
    await windows.begin(reason, origin)
    return await windows.now()


async def end_maintenance(windows: MaintenanceWindows, origin: Origin) -> None:
    """End the window if there is one."""
    await windows.end(origin)


async def current_maintenance(windows: MaintenanceWindows) -> MaintenanceWindow | None:
    """The window, or None while every call is served."""
    return await windows.now()
