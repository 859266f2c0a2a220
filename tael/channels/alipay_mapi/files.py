"""Downloads Alipay's files of a day. Neither files nor their errors are signed: TLS alone says whose they are."""

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import BinaryIO, Final, assert_never

from tael.base.metrics import timer_s
from tael.base.moments import UTC8
from tael.base.transport import Answer, NoAnswer, NothingSent, Transport
from tael.channels.alipay_mapi import requests
from tael.channels.alipay_mapi.account import AlipayAccount
from tael.channels.alipay_mapi.messages import Rejected, Unreadable, read_envelope
from tael.channels.alipay_mapi.signing import UnusableKey
from tael.channels.alipay_mapi.statements import ERRORS, NOTHING
from tael.channels.calls import call_span, observe_call, unsigned_result
from tael.channels.statements import (
    MAX_FILE_BYTES,
    Downloaded,
    DownloadFailed,
    DownloadOutcome,
    DownloadRefused,
    EmptyDay,
    NotReady,
    StatementKind,
)
from tael.merchants.domain.account import Account

TIMEOUT_S: Final = 120.0
#: Of the next day: a moment after it has begun, by the wallet's clock too.
READY_AT: Final = time(0, 10)
SERVICES: Final[Mapping[StatementKind, str]] = {
    StatementKind.TRANSACTIONS: "forex_compare_file",
    StatementKind.SETTLEMENT: "forex_liquidation_file",
}
#: The day is not over.
TOO_EARLY: Final = "Finish date not ahead of today"
#: Alipay's own failures; a repeat can succeed.
FAILURES: Final = ("System exception", "Internet connected exception")


class Files:
    """The transactions and the settlements of a day."""

    kinds: Final = frozenset(SERVICES)

    def __init__(self, transport: Transport, gateway_url: str, instore_url: str) -> None:
        self._transport = transport
        self._gateway_url = gateway_url
        self._instore_url = instore_url

    def available_at(self, day: date, kind: StatementKind) -> datetime:
        return datetime.combine(day + timedelta(days=1), READY_AT, UTC8)

    async def download(
        self, account: Account, day: date, kind: StatementKind, target: BinaryIO
    ) -> DownloadOutcome:
        assert isinstance(account, AlipayAccount)
        try:
            fields = requests.signed(requests.statement_file(SERVICES[kind], day), account)
        except UnusableKey as error:
            return DownloadRefused(str(error))
        url = self._gateway_url if account.scene == "online" else self._instore_url
        began_s = timer_s()
        with call_span(account.protocol, SERVICES[kind]):
            result = await self._transport.download(
                "GET",
                f"{url}?{requests.encoded(fields)}",
                timeout_s=TIMEOUT_S,
                account=account.account_id,
                target=target,
                max_bytes=MAX_FILE_BYTES,
            )
        observe_call(began_s, account.protocol, SERVICES[kind], unsigned_result(result))
        match result:
            case NothingSent(reason) | NoAnswer(reason):
                return DownloadFailed(reason)
            case Answer() if result.status != 200:
                return DownloadFailed(f"HTTP {result.status}")
            case Answer():
                return outcome_of(result.body)
            case _:
                assert_never(result)


def outcome_of(head: bytes) -> DownloadOutcome:
    """What a response that begins with `head` means."""
    text = head.decode("utf-8", "replace").strip()
    if text.startswith("<"):
        return _refusal(head)
    if not text:
        return DownloadFailed("an empty response")
    if NOTHING in text:
        return EmptyDay()
    if text.startswith(TOO_EARLY):
        return NotReady()
    if text.startswith(FAILURES):
        return DownloadFailed(text[:64])
    if text.startswith(ERRORS):
        return DownloadRefused(text[:64])
    return Downloaded()


def _refusal(head: bytes) -> DownloadOutcome:
    try:
        envelope = read_envelope(head)
    except Unreadable as error:
        return DownloadFailed(f"unreadable response: {error}")
    return DownloadRefused(envelope.code) if isinstance(envelope, Rejected) else DownloadFailed("no file")
