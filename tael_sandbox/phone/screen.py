"""What one phone shows at one moment, as values: read from the books, compared, and only then drawn.

Two equal screens look the same, so that a stream tells nothing when nothing has changed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tael_sandbox.books import Books
from tael_sandbox.clock import Clock
from tael_sandbox.codes import read_code
from tael_sandbox.control import text_of, url_of
from tael_sandbox.fault_injection.faults import Faults
from tael_sandbox.payers import CASH_CURRENCY, WALLETS, Payer, all_payers, cash_price, payer_by_name, payer_of
from tael_sandbox.phone import words
from tael_sandbox.wallet import ControlError, Entry, Row, Wallet

HISTORY_LENGTH: Final = 30
MAX_LINK: Final = 4096
#: States in which a wallet would take a payer's money for the order.
OPEN_STATES: Final = ("TRADE_NOT_EXIST", "WAIT_BUYER_PAY", "NOTPAY", "USERPAYING")


@dataclass(frozen=True, slots=True)
class Choice:
    """Whose phone it is, and what is on it: a code that is shown, a link that was opened."""

    payer: Payer
    code: str | None = None
    opened: str | None = None


@dataclass(frozen=True, slots=True)
class ShownCode:
    auth_code: str
    behaviour: str
    used_by: str | None  #: the merchant's number of the order that took it
    is_too_old: bool


@dataclass(frozen=True, slots=True)
class Order:
    """An online order that was opened on this phone."""

    row: Row  #: as `/control/scan` shows it
    charged_minor: int
    charged_currency: str

    @property
    def is_open(self) -> bool:
        return self.row["state"] in OPEN_STATES


@dataclass(frozen=True, slots=True)
class Screen:
    choice: Choice
    payer: Payer  #: as rich as now
    waiting: list[Entry]
    history: list[Entry]
    code: ShownCode | None
    order: Order | None
    problem: str | None  #: why the opened link can no longer be shown
    offset_s: float
    faults: list[Row]


def read_link(link: str) -> str:
    """What was pasted, if it can be a code or a link at all. Raises ControlError."""
    if len(link) > MAX_LINK:
        raise ControlError("this is too long to be a code or a link", "link")
    if not link.isprintable():
        raise ControlError("this has characters in it that no code and no link has", "link")
    try:
        return url_of({"url": link}) or ""
    except ControlError:
        raise ControlError("this is neither a code nor a link", "link") from None


class Screens:
    def __init__(
        self, wallets: Sequence[Wallet], books: Books, clock: Clock, faults: Faults, tick: Callable[[], None]
    ) -> None:
        self._wallets = wallets
        self._books = books
        self._clock = clock
        self._faults = faults
        self._tick = tick

    def choose(self, asked: Mapping[str, str]) -> Choice:
        """What a query or form says. Raises ControlError for a payer or wallet that does not exist."""
        reader = self._books.reader
        name, wallet = text_of(asked, "payer"), text_of(asked, "wallet") or WALLETS[0]
        if wallet not in WALLETS:
            raise ControlError(f"there is no wallet {wallet!r}", "wallet")
        payer = payer_of(reader, wallet, None) if name is None else payer_by_name(reader, name)
        return Choice(payer, asked.get("code") or None, asked.get("opened") or None)

    def payers(self) -> list[Payer]:
        return all_payers(self._books.reader)

    def wallet_of(self, payer: Payer) -> Wallet:
        return next(wallet for wallet in self._wallets if payer.wallet in wallet.names)

    def is_wallets(self, url: str) -> bool:
        return any(wallet.is_link(url) for wallet in self._wallets)

    def look(self, choice: Choice) -> Screen:
        self._tick()
        payer = payer_by_name(self._books.reader, choice.payer.payer)
        wallet = self.wallet_of(payer)
        order, problem = self._opened(choice)
        history = sorted(wallet.history(payer.payer, HISTORY_LENGTH), key=lambda entry: -entry.at)
        return Screen(
            choice=choice,
            payer=payer,
            waiting=wallet.waiting(payer.payer),
            history=history[:HISTORY_LENGTH],
            code=self._code(choice),
            order=order,
            problem=problem,
            offset_s=self._clock.offset.total_seconds(),
            faults=self._faults.shown(),
        )

    def open(self, payer: Payer, link: str) -> Order:
        """Scans. Raises ControlError if the payer's wallet can do nothing with it."""
        seen = self.wallet_of(payer).scan(read_link(link))
        if seen is None:
            name = words.WALLET_NAMES[payer.wallet]
            raise ControlError(
                f"{name} does not know this. Paste a pay_url, a qrcode or a package, and choose its wallet above",
                "link",
            )
        charged_minor = cash_price(seen["amount"], seen["currency"], payer)
        return Order(seen, charged_minor, CASH_CURRENCY[payer.wallet])

    def _opened(self, choice: Choice) -> tuple[Order | None, str | None]:
        """Opens it again, to see how it is now or why it cannot be opened any more."""
        try:
            return (self.open(choice.payer, choice.opened) if choice.opened is not None else None), None
        except ControlError as refused:
            return None, words.sentence(refused.message)

    def _code(self, choice: Choice) -> ShownCode | None:
        code = read_code(self._books.reader, choice.code) if choice.code is not None else None
        if code is None or code.payer != choice.payer.payer:
            return None
        return ShownCode(
            auth_code=code.auth_code,
            behaviour=code.behaviour,
            used_by=code.used_by and code.used_by.rsplit("/", 1)[-1],
            is_too_old=code.behaviour != "expired" and code.is_expired(self._clock.now()),
        )
