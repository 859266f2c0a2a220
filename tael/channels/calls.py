"""How a call to a wallet ended, for the metrics. A channel observes each of its calls once."""

from enum import StrEnum

from tael.base.metrics import WALLET_CALLS
from tael.base.transport import Answer, NoAnswer, NothingSent, Result


class CallResult(StrEnum):
    """What became of a request."""

    ANSWERED = "answered"
    REFUSED = "refused"  #: with an error code, which need not be final
    UNVERIFIED = "unverified"  #: the signature is missing or wrong
    UNREADABLE = "unreadable"
    NO_ANSWER = "no_answer"  #: the request may have arrived
    NOT_SENT = "not_sent"


def observe_call(began_s: float, protocol: str, operation: str, result: CallResult) -> None:
    """`operation` is the wallet's own name of the call."""
    WALLET_CALLS.observe_since(began_s, protocol, operation, result)


def unsigned_result(result: Result) -> CallResult:
    """Of a call whose response is not signed."""
    match result:
        case Answer(status=200):
            return CallResult.ANSWERED
        case Answer():
            return CallResult.REFUSED
        case NoAnswer():
            return CallResult.NO_ANSWER
        case NothingSent():
            return CallResult.NOT_SENT
