"""An account of Alipay's overseas MAPI: a PID. Its contract covers one scene, online or offline, never both."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from tael.base.pay_types import Wallet
from tael.base.secret import Secret
from tael.channels.protocols import ChannelEnvironment, WalletProtocol
from tael.channels.settings import (
    BadSetting,
    Kind,
    Setting,
    is_key_pair,
    one_of,
    read_flag,
    read_rsa_private_key,
    read_rsa_public_key,
    rsa_bits,
    text_of,
)
from tael.merchants.domain.account import Account

if TYPE_CHECKING:
    from tael.channels.base import Channel

AlipaySignType = Literal["MD5", "RSA", "RSA2"]
#: The minimum length of both sides' keys in Alipay's documents, by sign type.
MIN_BITS: Final = {"RSA": 1024, "RSA2": 2048}
NO_SECRET: Final = Secret("")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlipayAccount(Account):
    """A PID with its keys."""

    protocol: ClassVar[str] = "alipay_mapi"
    wallet: ClassVar[Wallet] = Wallet.ALIPAY
    pid: str
    sign_type: AlipaySignType
    key: Secret = NO_SECRET  #: shared with the wallet; empty for RSA and RSA2
    private_key: Secret = NO_SECRET  #: ours, PEM; empty for MD5
    alipay_public_key: str = ""  #: the wallet's, PEM; verifies its responses and notices
    supports_close: bool = True  #: the contract includes `close_trade`

    @property
    def identity(self) -> str:
        return self.pid


def checked(texts: Mapping[str, str], given: Collection[str], now: datetime) -> Mapping[str, str]:
    """The keys of the sign type, and no others. Raises BadSetting."""
    sign_type = texts["sign_type"]
    used = ("key",) if sign_type == "MD5" else ("private_key", "alipay_public_key")
    unused = {"key", "private_key", "alipay_public_key"} - set(used)
    for name in sorted(unused & set(given)):
        raise BadSetting(name, f"not used with sign_type {sign_type}")
    for name in used:
        if not texts[name]:
            raise BadSetting(name, f"required with sign_type {sign_type}")
        if name != "key" and rsa_bits(texts[name]) < MIN_BITS[sign_type]:
            raise BadSetting(name, f"must be an RSA key of at least {MIN_BITS[sign_type]} bits")
    if sign_type != "MD5" and is_key_pair(texts["alipay_public_key"], texts["private_key"]):
        # Alipay's pages show both public keys side by side. With the merchant's own, no response would verify.
        raise BadSetting(
            "alipay_public_key",
            "this is the public key of the merchant's own private key; "
            "use the Alipay public key shown beside it",
        )
    return {**texts, **dict.fromkeys(unused, "")}


def _open(environment: ChannelEnvironment) -> "Channel":
    from tael.channels.alipay_mapi.adapter import AlipayMapi

    return AlipayMapi(
        environment.transport,
        environment.clock,
        environment.urls["alipay"],
        environment.urls["alipay_instore"],
        environment.note_answer,
    )


ALIPAY_MAPI: Final = WalletProtocol(
    name="alipay_mapi",
    wallet=Wallet.ALIPAY,
    title="Alipay, overseas MAPI",
    account=AlipayAccount,
    settings=(
        Setting(
            "pid",
            "the contract's PID",
            text_of(r"2088[0-9]{12}", "a PID: 16 digits beginning with 2088"),
            is_fixed=True,
        ),
        Setting(
            "scene", "what the contract covers: online or offline", one_of("online", "offline"), is_fixed=True
        ),
        Setting(
            "sign_type", "the contract's signature algorithm: MD5, RSA or RSA2", one_of("MD5", "RSA", "RSA2")
        ),
        Setting(
            "key",
            "the shared key, for MD5",
            text_of(r"[A-Za-z0-9]{32}", "32 letters and digits"),
            Kind.SECRET,
            default="",
        ),
        Setting(
            "private_key",
            "the merchant's private key, for RSA and RSA2",
            read_rsa_private_key,
            Kind.SECRET,
            default="",
        ),
        Setting(
            "alipay_public_key",
            "Alipay's public key, for RSA and RSA2",
            read_rsa_public_key,
            Kind.DOCUMENT,
            default="",
        ),
        Setting(
            "supports_close",
            "whether the contract includes `close_trade`: true or false",
            read_flag,
            Kind.FLAG,
            default="true",
        ),
    ),
    check=checked,
    open_channel=_open,
)
