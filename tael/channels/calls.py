"""A call to a wallet, for metrics and traces. A channel observes each of its calls once, and sends it within a span."""

from contextlib import AbstractContextManager
from enum import StrEnum

from tael.base import tracing
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


def call_span(protocol: str, operation: str) -> AbstractContextManager[tracing.Span]:
    """`operation` is the wallet's own name of the call."""
    if not tracing.is_on():
        return tracing.NO_SPAN
    attributes = {"tael.protocol": protocol, "tael.operation": operation}
    return tracing.span(f"{protocol} {operation}", tracing.SpanKind.CLIENT, attributes)


def observe_call(began_s: float, protocol: str, operation: str, result: CallResult) -> None:
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
