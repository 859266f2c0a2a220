"""How much of one process a single wallet may hold, unless an operator sets it otherwise."""

from typing import Final

#: Calls under way to one wallet. An account may use half of them.
DEFAULT_CONNECTIONS: Final = 200
#: How long a call waits for a free connection: long enough for a burst, and short for a shopper at the till.
DEFAULT_WAIT_S: Final = 2.0
