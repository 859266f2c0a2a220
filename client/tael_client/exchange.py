"""One call of the API: signed, sent, repeated only where that is safe, and its answer proven before it is believed.

Repeated without asking anybody: a query, whatever went wrong; the other calls only if nothing was sent, or if the
server said 1112, and then the very same bytes. All else is for the caller to decide, who is told what is known.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, Generic, TypeVar
from urllib.parse import urlencode

from tael_client import reading
from tael_client.codes import OUT_OF_SERVICE, SAID_UNSIGNED, SAYS_ALREADY, UNSIGNED_REFUSALS, Meaning
from tael_client.errors import (
    AnswerNotProven,
    OutcomePending,
    OutcomeUnknown,
    Refused,
    TaelClientError,
    Unreachable,
    Verdict,
)
from tael_client.injection import PAYMENT_NAMES, check_values
from tael_client.signing import Credentials, is_signed, sign_params, signing_text
from tael_client.steps import NoAnswer, NotSent, Reply, Script, Send, rested, sent

Answer = TypeVar("Answer")
Answer_co = TypeVar("Answer_co", covariant=True)

#: Seconds before the second, third … sending; the last one holds for all that follow.
REPEAT_RESTS_S: Final = (0.5, 2.0, 5.0)
MAX_ATTEMPTS: Final = 10


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for every call of a client."""

    credentials: Credentials
    attempts: int
    signed_answers: bool

    def __post_init__(self) -> None:
        if not 1 <= self.attempts <= MAX_ATTEMPTS:
            raise ValueError(f"attempts must be from 1 to {MAX_ATTEMPTS}")


@dataclass(frozen=True, slots=True)
class Call(Generic[Answer_co]):
    """A request before it is signed, and how its answer is read.

    `echoed` are members that an answer repeats if it has them: one that says something else is not the answer to this
    request, however well it is signed.
    """

    path: str
    params: Mapping[str, str]
    read: Callable[[Mapping[str, Any]], Answer_co]
    echoed: Mapping[str, str] = field(default_factory=dict)
    is_query: bool = False


def signed_request(call: Call[Any], credentials: Credentials) -> Send:
    """The bytes to post. Raises ValueError for a value that could be read as another parameter.

    Values that are empty are not sent: servers disagree on whether those are signed.
    """
    params = {name: value for name, value in call.params.items() if value}
    check_values(params, PAYMENT_NAMES)
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-QF-APPCODE": credentials.appcode,
        "X-QF-SIGN": sign_params(params, credentials),
        "X-QF-SIGNTYPE": credentials.sign_type.value,
    }
    return Send(call.path, headers, urlencode(params).encode(), signing_text(params))


def exchange(call: Call[Answer], rules: Rules) -> Script[Answer]:
    """The answer to `call`. Raises the errors of `errors`, and ValueError before anything is sent."""
    request = signed_request(call, rules.credentials)
    out_of_service: Refused | None = None
    for attempt in count(1):
        heard = yield from sent(request)
        try:
            return read_heard(heard, call, rules)
        except TaelClientError as error:
            verdict = after_repeats(error, out_of_service)
            if attempt >= rules.attempts or not may_repeat(call, error):
                raise verdict from None
            if isinstance(error, Refused):
                out_of_service = error
        yield from rested(REPEAT_RESTS_S[min(attempt, len(REPEAT_RESTS_S)) - 1])
    raise AssertionError("unreachable")


def may_repeat(call: Call[Any], error: TaelClientError) -> bool:
    """Whether the same bytes may be sent again with nobody asked."""
    if call.is_query:
        return not (isinstance(error, Refused) and error.is_final) and not _is_unsigned_refusal(error)
    is_out_of_service = isinstance(error, Refused) and error.respcd == OUT_OF_SERVICE
    return is_out_of_service or isinstance(error, Unreachable)


def _is_unsigned_refusal(error: TaelClientError) -> bool:
    """A wrong key or base URL is the same at each repeat."""
    return isinstance(error, AnswerNotProven) and error.respcd in UNSIGNED_REFUSALS


def after_repeats(error: TaelClientError, out_of_service: Refused | None) -> TaelClientError:
    """What to tell when an earlier sending of the same request was answered 1112.

    "Nothing was sent" would no longer be true, and "there is one already" may mean ourselves.
    """
    if out_of_service is None:
        return error
    if isinstance(error, Unreachable):
        return out_of_service
    if isinstance(error, Refused) and error.respcd in SAYS_ALREADY:
        return OutcomeUnknown(f"{error}, after a sending that was answered {OUT_OF_SERVICE}", error.respcd)
    return error


# ---- answers -----------------------------------------------------------------------------------------------


def read_heard(heard: Reply | NotSent | NoAnswer, call: Call[Answer], rules: Rules) -> Answer:
    """The answer, if it is one, is proven and says 0000."""
    match heard:
        case NotSent(reason):
            raise Unreachable(reason)
        case NoAnswer(reason):
            raise OutcomeUnknown(reason)
        case Reply():
            return read_reply(heard, call, rules)


def read_reply(reply: Reply, call: Call[Answer], rules: Rules) -> Answer:
    credentials = rules.credentials
    if reply.sign and not is_signed(reply.body, reply.sign, credentials.key, credentials.response_sign_type):
        raise AnswerNotProven("the signature of the answer is wrong")
    try:
        members = reading.json_object(reply.body)
        if "notify_type" in members:
            raise AnswerNotProven("a webhook, not an answer; both are signed with the same key")
        verdict = reading.verdict(members)
        others = {
            name for name, asked in call.echoed.items() if reading.echo(members, name) not in ("", asked)
        }
    except ValueError as problem:
        raise OutcomeUnknown(f"HTTP {reply.status}, and an answer that cannot be read: {problem}") from None
    is_proven = bool(reply.sign) or not rules.signed_answers
    if not is_proven and verdict.respcd not in SAID_UNSIGNED:
        raise _not_signed(verdict)
    if others:
        raise AnswerNotProven(f"the answer is about another {', '.join(sorted(others))}")
    check_verdict(verdict, reply.status)
    try:
        return call.read(members)
    except (ValueError, TypeError) as problem:
        raise OutcomeUnknown(f"0000, and an answer that cannot be read: {problem}") from None


def _not_signed(verdict: Verdict) -> AnswerNotProven:
    """Names the refusals that a server cannot sign: mostly it is the key that is wrong, or the base URL."""
    if verdict.respcd not in UNSIGNED_REFUSALS:
        return AnswerNotProven("the answer is not signed")
    words = f"{verdict.respcd} {verdict.respmsg or verdict.resperr}".rstrip()
    return AnswerNotProven(f"{words} (the answer is not signed, so it decides nothing)", verdict.respcd)


def check_verdict(verdict: Verdict, status: int) -> None:
    """Raises for everything but 0000."""
    match verdict.meaning:
        case Meaning.DONE:
            if status != 200:
                raise OutcomeUnknown(f"HTTP {status} with respcd {verdict.respcd}")
        case Meaning.PENDING:
            raise OutcomePending(verdict)
        case Meaning.RETRY | Meaning.FINAL:
            raise Refused(verdict)
        case Meaning.UNKNOWN:
            raise OutcomeUnknown(f"respcd {verdict.respcd!r} {verdict.respmsg}".rstrip(), verdict.respcd)
