"""A merchant's account at a wallet. What its protocol needs besides, a channel declares in a class of its own."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal, Protocol

from tael.base.pay_types import Wallet

#: What a contract covers. A merchant has one account per wallet and coverage.
Coverage = Literal["online", "offline", "both"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account(ABC):
    """What every account has. Its credentials are fields of the subclass that its protocol declares."""

    protocol: ClassVar[str]  #: the channel that serves it
    wallet: ClassVar[Wallet]
    account_id: str  #: ours, random; the last segment of the notice URL
    mchid: str
    scene: Coverage
    currency: str  #: price and settlement currency of the contract
    refund_window_days: int = 365
    supports_partial_refunds: bool = True  #: if false, a payment can only be refunded in full
    fee_rate_ppm: int = 0  #: our fee on each payment, in parts per million of its price
    wallet_fee_rate_ppm: int | None = (
        None  #: the wallet's fee, with which statements are compared; None: not compared
    )
    previous: "PreviousAccount | None" = None  #: before the last change of its credentials

    @property
    @abstractmethod
    def identity(self) -> str:
        """Its number at the wallet. It belongs to one merchant."""

    @property
    def merchant_number(self) -> str:
        """The wallet's number of the merchant itself, as the merchant knows it from the wallet."""
        return self.identity

    def verifiers(self, now: datetime) -> "tuple[Account, ...]":
        """The accounts whose keys verify the wallet's messages at `now`: this one, then in an overlap the previous one.

        Requests are signed with this one alone.
        """
        if self.previous is None or now >= self.previous.until:
            return (self,)
        return (self, self.previous.account)


@dataclass(frozen=True, slots=True)
class PreviousAccount:
    """An account with the credentials that it had before a change. `until` is the end of the overlap, UTC."""

    account: Account  #: without a previous one of its own
    until: datetime


@dataclass(frozen=True, slots=True)
class AccountCertificate:
    """A certificate of an account that its wallet requires; `expires_at` is UTC."""

    setting: str  #: in which the account has it
    serial: str  #: hexadecimal, as OpenSSL shows it
    expires_at: datetime


class UnknownProtocol(Exception):
    """No installed channel serves this protocol."""


class AccountFormats(Protocol):
    """How the credentials of each protocol's accounts are stored: as texts, by name."""

    def credentials_of(self, account: Account) -> Mapping[str, str]:
        """Raises UnknownProtocol."""
        ...

    def account_of(
        self, protocol: str, fields: Mapping[str, object], credentials: Mapping[str, str]
    ) -> Account:
        """The account with these `fields` of `Account`. Raises UnknownProtocol."""
        ...

    def certificates_of(self, account: Account) -> Sequence[AccountCertificate]:
        """The readable ones, the one that expires first first. Raises UnknownProtocol."""
        ...
