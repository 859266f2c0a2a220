"""The reason that each refusal of a wallet becomes. Pure."""

from collections.abc import Mapping
from typing import Final

from tael.base.reasons import Reason
from tael.channels.outcomes import Refusal

#: Fails on import if a refusal has no reason of its name.
REASONS: Final[Mapping[Refusal, Reason]] = {refusal: Reason[refusal.name] for refusal in Refusal}


def reason_of(refusal: Refusal) -> Reason:
    """The reason a wallet's explicit refusal becomes; every refusal has one."""
    return REASONS[refusal]
