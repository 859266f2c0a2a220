"""The errors of a call. A call returns only for respcd 0000; otherwise the class of the error shows what to do:

TaelClientError
  Refused            the server refused; `is_final`: the same request will never succeed
  Undecided          it may have happened: query, or send the same request again; never a new reference
    OutcomePending   not decided yet, according to the server
    OutcomeUnknown   no response, or none that shows what happened
      AnswerNotProven  a response with a wrong signature or about another subject (also a BadSignature)
  Unreachable        no connection: nothing was sent, so nothing happened
  BadSignature       bytes that the server did not sign
  PagesDoNotEnd      a query whose pages have no end
"""

from dataclasses import dataclass

from tael_client.codes import Meaning, meaning_of


@dataclass(frozen=True, slots=True)
class Verdict:
    """The members that every response has. Missing ones are ""."""

    respcd: str
    respmsg: str = ""  #: for the developer
    resperr: str = ""  #: for the cashier or the payer, mostly in Chinese
    reference: str = ""  #: the merchant's own number (`out_trade_no`)
    syssn: str = ""  #: the server's number of the payment, refund, reversal or close
    orig_syssn: str = ""  #: of a close, refund or reversal: the payment's number

    @property
    def meaning(self) -> Meaning:
        return meaning_of(self.respcd)


class TaelClientError(Exception):
    """Base class of all errors of this package, except ValueError and TypeError for invalid arguments."""


class _WithVerdict(TaelClientError):
    """An error with the server's response."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        text = verdict.respmsg or verdict.resperr
        super().__init__(f"{verdict.respcd} {text}".rstrip())

    @property
    def respcd(self) -> str:
        return self.verdict.respcd

    @property
    def respmsg(self) -> str:
        return self.verdict.respmsg

    @property
    def resperr(self) -> str:
        return self.verdict.resperr

    @property
    def syssn(self) -> str:
        return self.verdict.syssn

    @property
    def reference(self) -> str:
        return self.verdict.reference


class Refused(_WithVerdict):
    """The server refused the request. Nothing was done.

    `retry_after_s` is above 0 if there were too many requests (HTTP 429): wait for so many seconds, at least.
    """

    def __init__(self, verdict: Verdict, retry_after_s: int = 0) -> None:
        super().__init__(verdict)
        self.retry_after_s = retry_after_s

    @property
    def is_final(self) -> bool:
        """True: this request will never succeed. False: the same request, with the same reference, may succeed."""
        return self.verdict.meaning is Meaning.FINAL


class Undecided(TaelClientError):
    """It may or may not have happened. Query until a row decides."""


class OutcomePending(_WithVerdict, Undecided):
    """Accepted, not decided: the payer is entering a password, or the wallet is processing. Query after 5 s."""


class OutcomeUnknown(Undecided):
    """The request was sent, and its result is unknown. `respcd` is "" unless the server returned such a code."""

    def __init__(self, reason: str, respcd: str = "") -> None:
        self.reason = reason
        self.respcd = respcd
        super().__init__(reason)


class BadSignature(TaelClientError):
    """These bytes were not signed with our key, or do not have the required form. Do not trust their content."""


class AnswerNotProven(OutcomeUnknown, BadSignature):
    """A response that is not proven to be the server's response to this request.

    `respcd` is 1103 or 1108 if the response has one of them: servers cannot sign these. Check the base URL and the key.
    """


class Unreachable(TaelClientError):
    """No connection could be made: nothing was sent, so nothing happened."""


class PagesDoNotEnd(TaelClientError):
    """The server repeats the same page, or has more pages than possible."""
