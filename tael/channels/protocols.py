"""What a wallet's protocol declares: its account with the settings, and how its channel is opened."""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tael.base.clock import Clock
from tael.base.pay_types import Wallet
from tael.base.secret import Secret
from tael.channels.settings import BadSetting, Kind, Setting, certificate_of
from tael.channels.statements import StatementFormat
from tael.merchants.domain.account import Account, AccountCertificate

if TYPE_CHECKING:
    from tael.base.transport import Transport
    from tael.channels.base import Channel, NoteAnswer


@dataclass(frozen=True, slots=True)
class ChannelEnvironment:
    """What the gateway gives to a channel. A protocol of another package reads its own settings."""

    transport: "Transport"  #: of this channel alone
    clock: Clock
    note_answer: "NoteAnswer"
    urls: Mapping[str, str]  #: the wallets' addresses, by name
    wechat_ca_pem: str | None
    server_ip: str


def _until_expiry(lifetime: timedelta) -> timedelta:
    return lifetime


@dataclass(frozen=True, slots=True)
class WalletProtocol:
    """A wallet's protocol. The name is stored with each account and its payments: rename none."""

    name: str
    wallet: Wallet
    title: str  #: for operators
    account: type[Account]
    settings: tuple[Setting, ...]
    #: Checks texts that were read against each other, and returns them complete. The second argument has the names that
    #: the operator gave. Raises BadSetting.
    check: Callable[[Mapping[str, str], Collection[str], datetime], Mapping[str, str]]
    open_channel: Callable[[ChannelEnvironment], "Channel"]
    #: For the longest lifetime of an order: the longest time from its creation to the channel's `deadline`.
    max_deadline: Callable[[timedelta], timedelta] = _until_expiry
    certificates: tuple[str, ...] = ()  #: settings that are X.509 certificates; their expiry is watched
    statements: StatementFormat | None = None  #: of the wallet's files; None if they cannot be imported

    def read(
        self,
        given: Mapping[str, str],
        now: datetime,
        current: Mapping[str, str] | None = None,
    ) -> Mapping[str, str]:
        """The credentials with these texts of an operator, in place of `current` ones. Raises BadSetting."""
        known = {setting.name: setting for setting in self.settings}
        texts = {name: setting.default for name, setting in known.items() if setting.default is not None}
        texts |= current or {}
        for name, text in given.items():
            if name not in known:
                raise BadSetting(name, f"no setting of {self.name}, which has {', '.join(known)}")
            if current is not None and known[name].is_fixed:
                raise BadSetting(name, "identifies the account and cannot be changed; add another account")
            texts[name] = _read(known[name], text)
        for name in known:
            if name not in texts:
                raise BadSetting(name, f"required; {known[name].description}")
        return self.check(texts, frozenset(given), now)

    def shown(self, account: Account) -> dict[str, Any]:
        """The settings of `account` that may be shown."""
        return {setting.name: getattr(account, setting.name) for setting in self.settings if setting.is_shown}

    def account_of(self, fields: Mapping[str, object], credentials: Mapping[str, str]) -> Account:
        """The account with these fields of `Account` and credentials that were read."""
        return self.account(**{**fields, **self._values(credentials)})

    def changed(self, account: Account, given: Mapping[str, str], now: datetime) -> Account:
        """`account` with these texts of an operator. Raises BadSetting."""
        return replace(account, **self._values(self.read(given, now, self.credentials_of(account))))

    def has_same_keys(self, account: Account, other: Account) -> bool:
        """Whether both sign and verify in the same way: no credential differs."""
        names = [setting.name for setting in self.settings if setting.is_credential]
        return all(getattr(account, name) == getattr(other, name) for name in names)

    def certificates_of(self, account: Account) -> tuple[AccountCertificate, ...]:
        """The certificates of `account`, the one that expires first first.

        One that cannot be read is left out: it is refused on input, and calls with it are not sent.
        """
        found: list[AccountCertificate] = []
        for name in self.certificates:
            with suppress(ValueError):
                certificate = certificate_of(getattr(account, name))
                serial, end = f"{certificate.serial_number:X}", certificate.not_valid_after_utc
                found.append(AccountCertificate(name, serial, end))
        return tuple(sorted(found, key=lambda certificate: certificate.expires_at))

    def credentials_of(self, account: Account) -> Mapping[str, str]:
        """The inverse of `account_of`."""
        return {setting.name: _text_of(getattr(account, setting.name)) for setting in self.settings}

    def _values(self, credentials: Mapping[str, str]) -> dict[str, Any]:
        return {setting.name: _value_of(setting, _stored(setting, credentials)) for setting in self.settings}


def _stored(setting: Setting, credentials: Mapping[str, str]) -> str:
    """Accounts that were stored before a setting existed have its default."""
    if setting.name not in credentials and setting.default is not None:
        return setting.default
    return credentials[setting.name]


def _read(setting: Setting, text: str) -> str:
    try:
        return setting.read(text)
    except ValueError as error:
        raise BadSetting(setting.name, str(error)) from None


def _value_of(setting: Setting, text: str) -> object:
    match setting.kind:
        case Kind.SECRET:
            return Secret(text)
        case Kind.FLAG:
            return text == "true"
        case Kind.TEXT | Kind.DOCUMENT:
            return text


def _text_of(value: object) -> str:
    match value:
        case Secret():
            return value.reveal()
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)
