"""One call of the API: signs and sends it, repeats it only where that is safe, and verifies the response.

A query is repeated after any failure. The other calls are repeated only if nothing was sent, or if the server returned
1112 or HTTP 429, and then with the same bytes. Every other case is raised for the caller to decide. A server that wants
to be left alone for longer than `MAX_RETRY_AFTER_S` is not waited for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, Generic, Literal, TypeVar
from urllib.parse import urlencode

from tael_client import reading
from tael_client.codes import ACCEPTED_UNSIGNED, ALREADY_DONE, OUT_OF_SERVICE, UNSIGNED_REFUSALS, Meaning
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

#: Seconds before the second, third … sending. The last value is used for all further ones.
REPEAT_RESTS_S: Final = (0.5, 2.0, 5.0)
MAX_ATTEMPTS: Final = 10
MAX_RETRY_AFTER_S: Final = 10
TOO_MANY_REQUESTS: Final = 429
#: A refusal is JSON, which cannot begin so.
ZIP_BEGINNING: Final = b"PK"


@dataclass(frozen=True, slots=True)
class Rules:
    """Settings that apply to every call of a client."""

    credentials: Credentials
    attempts: int
    signed_answers: bool

    def __post_init__(self) -> None:
        if not 1 <= self.attempts <= MAX_ATTEMPTS:
            raise ValueError(f"attempts must be from 1 to {MAX_ATTEMPTS}")


@dataclass(frozen=True, slots=True)
class Call(Generic[Answer_co]):
    """An unsigned request, and how to read its response.

    `echoed` are members that the response repeats. A response with another value belongs to another request, even if
    its signature is valid.
    """

    path: str
    params: Mapping[str, str]
    read: Callable[[Mapping[str, Any]], Answer_co]
    echoed: Mapping[str, str] = field(default_factory=dict)
    is_query: bool = False
    method: Literal["POST", "GET"] = "POST"
    read_file: Callable[[bytes], Answer_co] | None = None  #: for a call whose result is a zip file


def signed_request(call: Call[Any], credentials: Credentials) -> Send:
    """The bytes to send. Raises ValueError for a value that could be read as another parameter.

    Empty values are not sent: servers disagree on whether they are signed.
    """
    params = {name: value for name, value in call.params.items() if value}
    check_values(params, PAYMENT_NAMES)
    headers = {
        "X-QF-APPCODE": credentials.appcode,
        "X-QF-SIGN": sign_params(params, credentials),
        "X-QF-SIGNTYPE": credentials.sign_type.value,
    }
    form, text = urlencode(params), signing_text(params)
    if call.method == "GET":
        wants_file = call.read_file is not None
        return Send(f"{call.path}?{form}", headers, b"", text, "GET", wants_file)
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    return Send(call.path, headers, form.encode(), text)


def exchange(call: Call[Answer], rules: Rules) -> Script[Answer]:
    """Send `call` and return its result. Raises TaelClientError, and ValueError before anything is sent."""
    request = signed_request(call, rules.credentials)
    out_of_service: Refused | None = None
    for attempt in count(1):
        result = yield from sent(request)
        try:
            return read_result(result, call, rules)
        except TaelClientError as error:
            final_error = after_repeats(error, out_of_service)
            retry_after_s = error.retry_after_s if isinstance(error, Refused) else 0
            if attempt >= rules.attempts or retry_after_s > MAX_RETRY_AFTER_S or not may_repeat(call, error):
                raise final_error from None
            if isinstance(error, Refused):
                out_of_service = error
        yield from rested(max(REPEAT_RESTS_S[min(attempt, len(REPEAT_RESTS_S)) - 1], retry_after_s))
    raise AssertionError("unreachable")


def may_repeat(call: Call[Any], error: TaelClientError) -> bool:
    """Whether the same bytes may be sent again without the caller's decision."""
    if call.is_query:
        return not (isinstance(error, Refused) and error.is_final) and not _is_unsigned_refusal(error)
    is_out_of_service = isinstance(error, Refused) and error.respcd == OUT_OF_SERVICE
    return is_out_of_service or isinstance(error, Unreachable)


def _is_unsigned_refusal(error: TaelClientError) -> bool:
    """A wrong key or base URL gives the same result at each repeat."""
    return isinstance(error, AnswerNotProven) and error.respcd in UNSIGNED_REFUSALS


def after_repeats(error: TaelClientError, out_of_service: Refused | None) -> TaelClientError:
    """The error to raise if an earlier sending of the same request got 1112.

    "Nothing was sent" would be wrong then, and "already exists" may refer to our own earlier sending.
    """
    if out_of_service is None:
        return error
    if isinstance(error, Unreachable):
        return out_of_service
    if isinstance(error, Refused) and error.respcd in ALREADY_DONE:
        return OutcomeUnknown(f"{error}, after an earlier sending got {OUT_OF_SERVICE}", error.respcd)
    return error


# ---- responses ---------------------------------------------------------------------------------------------


def read_result(result: Reply | NotSent | NoAnswer, call: Call[Answer], rules: Rules) -> Answer:
    """The result of a proven response with respcd 0000. Raises TaelClientError otherwise."""
    match result:
        case NotSent(reason):
            raise Unreachable(reason)
        case NoAnswer(reason):
            raise OutcomeUnknown(reason)
        case Reply():
            return read_reply(result, call, rules)


def read_reply(reply: Reply, call: Call[Answer], rules: Rules) -> Answer:
    credentials = rules.credentials
    if reply.sign and not is_signed(reply.body, reply.sign, credentials.key, credentials.response_sign_type):
        raise AnswerNotProven("the signature of the response is wrong")
    if call.read_file is not None and reply.body.startswith(ZIP_BEGINNING):
        if reply.status != 200 or not (reply.sign or not rules.signed_answers):
            raise AnswerNotProven(f"HTTP {reply.status} with a file that is not signed")
        return call.read_file(reply.body)
    try:
        members = reading.json_object(reply.body)
        if "notify_type" in members:
            raise AnswerNotProven("this is a webhook, not a response; both are signed with the same key")
        verdict = reading.verdict(members)
        mismatches = {
            name for name, value in call.echoed.items() if reading.echo(members, name) not in ("", value)
        }
    except ValueError as problem:
        if reply.status == TOO_MANY_REQUESTS:  # by a proxy, or by a server that sends no JSON with it
            raise Refused(
                Verdict(OUT_OF_SERVICE, "HTTP 429: too many requests"), reply.retry_after_s
            ) from None
        raise OutcomeUnknown(f"HTTP {reply.status} with an unreadable response: {problem}") from None
    is_proven = bool(reply.sign) or not rules.signed_answers
    if not is_proven and verdict.respcd not in ACCEPTED_UNSIGNED:
        raise _not_signed(verdict)
    if mismatches:
        raise AnswerNotProven(f"the response is about another {', '.join(sorted(mismatches))}")
    check_verdict(verdict, reply)
    try:
        return call.read(members)
    except (ValueError, TypeError) as problem:
        raise OutcomeUnknown(f"0000 with an unreadable response: {problem}") from None


def _not_signed(verdict: Verdict) -> AnswerNotProven:
    """The error for an unsigned response. It reports refusals that mostly mean a wrong key or base URL."""
    if verdict.respcd not in UNSIGNED_REFUSALS:
        return AnswerNotProven("the response is not signed")
    text = f"{verdict.respcd} {verdict.respmsg or verdict.resperr}".rstrip()
    return AnswerNotProven(f"{text} (the response is not signed, so it decides nothing)", verdict.respcd)


def check_verdict(verdict: Verdict, reply: Reply) -> None:
    """Raises TaelClientError for every code but 0000."""
    match verdict.meaning:
        case Meaning.DONE:
            if reply.status != 200:
                raise OutcomeUnknown(f"HTTP {reply.status} with respcd {verdict.respcd}")
        case Meaning.PENDING:
            raise OutcomePending(verdict)
        case Meaning.RETRY | Meaning.FINAL:
            raise Refused(verdict, reply.retry_after_s if reply.status == TOO_MANY_REQUESTS else 0)
        case Meaning.UNKNOWN:
            raise OutcomeUnknown(f"respcd {verdict.respcd!r} {verdict.respmsg}".rstrip(), verdict.respcd)
