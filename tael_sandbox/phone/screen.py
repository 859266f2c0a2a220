"""The content of a phone at one moment, as values that are read from the books and compared before rendering.

Equal screens look the same, so a stream sends nothing while nothing changes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tael_sandbox.books import Books
from tael_sandbox.clock import Clock
from tael_sandbox.codes import read_code
from tael_sandbox.control import is_printable, text_of, url_of
from tael_sandbox.fault_injection.faults import Faults
from tael_sandbox.payers import CASH_CURRENCY, WALLETS, Payer, all_payers, cash_price, payer_by_name, payer_of
from tael_sandbox.phone import texts
from tael_sandbox.wallet import ControlError, Entry, Row, Wallet

HISTORY_LENGTH: Final = 30
MAX_LINK: Final = 4096
#: States in which the order can be paid.
OPEN_STATES: Final = ("TRADE_NOT_EXIST", "WAIT_BUYER_PAY", "NOTPAY", "USERPAYING")


@dataclass(frozen=True, slots=True)
class Choice:
    """The payer whose phone is shown, and the shown code and opened link on it."""

    payer: Payer
    code: str | None = None
    opened: str | None = None


@dataclass(frozen=True, slots=True)
class ShownCode:
    auth_code: str
    behaviour: str
    used_by: str | None  #: the merchant's number of the order that used it
    is_too_old: bool


@dataclass(frozen=True, slots=True)
class Order:
    """An online order that was opened on this phone."""

    row: Row  #: as returned by `/control/scan`
    charged_minor: int
    charged_currency: str

    @property
    def is_open(self) -> bool:
        return self.row["state"] in OPEN_STATES


@dataclass(frozen=True, slots=True)
class Screen:
    choice: Choice
    payer: Payer  #: with the current balance
    waiting: list[Entry]
    history: list[Entry]
    code: ShownCode | None
    order: Order | None
    problem: str | None  #: why the opened link cannot be shown any more
    offset_s: float
    faults: list[Row]


def read_link(link: str) -> str:
    """Returns the pasted text. Raises ControlError if it cannot be a code or a link."""
    if len(link) > MAX_LINK:
        raise ControlError("this is too long to be a code or a link", "link")
    if not is_printable(link):
        raise ControlError("this has characters that are not allowed in a code or a link", "link")
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

    def choose(self, fields: Mapping[str, str]) -> Choice:
        """Reads the choice from a query or form. Raises ControlError for an unknown payer or wallet."""
        reader = self._books.reader
        name, wallet = text_of(fields, "payer"), text_of(fields, "wallet") or WALLETS[0]
        if wallet not in WALLETS:
            raise ControlError(f"there is no wallet {wallet!r}", "wallet")
        payer = payer_of(reader, wallet, None) if name is None else payer_by_name(reader, name)
        return Choice(payer, fields.get("code") or None, fields.get("opened") or None)

    def payers(self) -> list[Payer]:
        return all_payers(self._books.reader)

    def wallet_of(self, payer: Payer) -> Wallet:
        return next(wallet for wallet in self._wallets if payer.wallet in wallet.names)

    def is_wallet_link(self, url: str) -> bool:
        return any(wallet.is_link(url) for wallet in self._wallets)

    def current(self, choice: Choice) -> Screen:
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
            faults=self._faults.as_rows(),
        )

    def open(self, payer: Payer, link: str) -> Order:
        """Scans the link. Raises ControlError if the payer's wallet does not know it."""
        view = self.wallet_of(payer).scan(read_link(link))
        if view is None:
            name = texts.WALLET_NAMES[payer.wallet]
            raise ControlError(
                f"{name} does not know this. Paste a pay_url, a qrcode, pay_params or an app's order string,"
                " and choose its wallet above",
                "link",
            )
        charged_minor = cash_price(view["amount"], view["currency"], payer)
        return Order(view, charged_minor, CASH_CURRENCY[payer.wallet])

    def _opened(self, choice: Choice) -> tuple[Order | None, str | None]:
        """Opens the chosen link again, for its current state or the reason why it cannot be opened any more."""
        try:
            return (self.open(choice.payer, choice.opened) if choice.opened is not None else None), None
        except ControlError as refused:
            return None, texts.sentence(refused.message)

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
