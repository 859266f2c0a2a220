"""The installed protocols. Those of other packages are entry points of `GROUP`; each names a `WalletProtocol`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Final

from tael.channels.protocols import WalletProtocol
from tael.merchants.domain.account import Account, AccountCertificate, UnknownProtocol

GROUP: Final = "tael.protocols"


@dataclass(frozen=True, slots=True)
class InstalledProtocols:
    """The protocols by name. Implements `merchants.domain.account.AccountFormats`."""

    by_name: Mapping[str, WalletProtocol]

    def named(self, name: str) -> WalletProtocol:
        """Raises UnknownProtocol."""
        try:
            return self.by_name[name]
        except KeyError:
            raise UnknownProtocol(
                f"no protocol {name} is installed; there are {', '.join(self.by_name)}"
            ) from None

    def credentials_of(self, account: Account) -> Mapping[str, str]:
        return self.named(account.protocol).credentials_of(account)

    def account_of(
        self, protocol: str, fields: Mapping[str, object], credentials: Mapping[str, str]
    ) -> Account:
        return self.named(protocol).account_of(fields, credentials)

    def certificates_of(self, account: Account) -> Sequence[AccountCertificate]:
        return self.named(account.protocol).certificates_of(account)


@cache
def installed_protocols() -> InstalledProtocols:
    """Our own protocols, and those of other installed packages."""
    from tael.channels.alipay_mapi.account import ALIPAY_MAPI
    from tael.channels.wechat_v2.account import WECHAT_V2

    found = {protocol.name: protocol for protocol in (ALIPAY_MAPI, WECHAT_V2)}
    for entry_point in entry_points(group=GROUP):
        protocol: WalletProtocol = entry_point.load()
        found.setdefault(protocol.name, protocol)
    return InstalledProtocols(found)
