"""Everything a call can end with that is not its answer.

A call returns only when the server said 0000. What to do otherwise is the class of the error:

    TaelClientError
      Refused            the server said no; `is_final` tells whether the same request can ever succeed
      Undecided          it may have happened: query, or send the same request again; never a new reference
        OutcomePending   the server says that it is not decided yet
        OutcomeUnknown   no answer, or none that says what happened
          AnswerNotProven  an answer whose signature, or whose subject, is wrong (a BadSignature as well)
      Unreachable        no connection: nothing was sent, so nothing happened
      BadSignature       bytes that are not the server's
      PagesDoNotEnd      a query whose pages have no end
"""

from dataclasses import dataclass

from tael_client.codes import Meaning, meaning_of


@dataclass(frozen=True, slots=True)
class Verdict:
    """What every answer has. Members that it lacks are ""."""

    respcd: str
    respmsg: str = ""  #: for the developer
    resperr: str = ""  #: for the cashier or the payer, mostly in Chinese
    reference: str = ""  #: the merchant's own number (`out_trade_no`)
    syssn: str = ""  #: the server's number of what was asked for
    orig_syssn: str = ""  #: of a close, refund or reversal: the payment's number

    @property
    def meaning(self) -> Meaning:
        return meaning_of(self.respcd)


class TaelClientError(Exception):
    """Anything this package raises but ValueError and TypeError for wrong arguments."""


class _WithVerdict(TaelClientError):
    """Says what the server said."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        words = verdict.respmsg or verdict.resperr
        super().__init__(f"{verdict.respcd} {words}".rstrip())

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
    """The server said no, and nothing was done."""

    @property
    def is_final(self) -> bool:
        """Never as it stands. False: the very same request, with the same reference, may succeed later."""
        return self.verdict.meaning is Meaning.FINAL


class Undecided(TaelClientError):
    """It may have happened and it may not. Query until a row says which."""


class OutcomePending(_WithVerdict, Undecided):
    """Accepted, and not decided: the payer is typing a password, or the wallet is at work. Query after 5 s."""


class OutcomeUnknown(Undecided):
    """Something was sent, and nobody said what became of it. `respcd` is "" unless a server said just that."""

    def __init__(self, reason: str, respcd: str = "") -> None:
        self.reason = reason
        self.respcd = respcd
        super().__init__(reason)


class BadSignature(TaelClientError):
    """These bytes were not signed with our key, or do not say what such bytes must say. Believe nothing of them."""


class AnswerNotProven(OutcomeUnknown, BadSignature):
    """An answer came that is not proven to be the server's answer to this request.

    `respcd` is 1103 or 1108 where it says so: a server cannot sign these, so a wrong base URL or key looks like this.
    """


class Unreachable(TaelClientError):
    """No connection came to be: nothing was sent, so nothing happened."""


class PagesDoNotEnd(TaelClientError):
    """The server gives the same page again and again, or more pages than there can be."""
