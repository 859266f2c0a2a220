"""An account of Alipay's overseas MAPI: a PID. Its contract covers one scene, online or offline, never both."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from tael.base.pay_types import Wallet
from tael.base.secret import Secret
from tael.channels.alipay_mapi.statements import STATEMENTS
from tael.channels.alipay_mapi.timing import max_deadline
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
#: The minimum length of both sides' RSA keys in Alipay's documents, by sign type. With MD5 they are for apps.
MIN_BITS: Final = {"MD5": 1024, "RSA": 1024, "RSA2": 2048}
#: Ours and the wallet's.
KEY_PAIR: Final = ("private_key", "alipay_public_key")
NO_SECRET: Final = Secret("")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlipayAccount(Account):
    """A PID with its keys."""

    protocol: ClassVar[str] = "alipay_mapi"
    wallet: ClassVar[Wallet] = Wallet.ALIPAY
    pid: str
    sign_type: AlipaySignType
    key: Secret = NO_SECRET  #: shared with the wallet; empty for RSA and RSA2
    private_key: Secret = NO_SECRET  #: ours, PEM; with MD5 only for payments in apps, or empty
    alipay_public_key: str = (
        ""  #: the wallet's, PEM; verifies its responses and notices; with MD5 as `private_key`
    )
    supports_close: bool = True  #: the contract includes `close_trade`
    supports_alipay_hk: bool = False  #: the contract is one for merchants in Hong Kong

    @property
    def sign_types(self) -> frozenset[str]:
        """Of the wallet's genuine messages. Payments in apps are signed with RSA, also under a contract with MD5."""
        has_both = self.sign_type == "MD5" and bool(self.alipay_public_key)
        return frozenset({"MD5", "RSA"}) if has_both else frozenset({self.sign_type})

    @property
    def identity(self) -> str:
        return self.pid


def checked(texts: Mapping[str, str], given: Collection[str], now: datetime) -> Mapping[str, str]:
    """The keys of the sign type; with MD5 also a key pair for apps, or none. Raises BadSetting."""
    sign_type = texts["sign_type"]
    if sign_type != "MD5":
        if "key" in given:
            raise BadSetting("key", f"not used with sign_type {sign_type}")
        return _with_key_pair({**texts, "key": ""}, f"required with sign_type {sign_type}")
    if not texts["key"]:
        raise BadSetting("key", "required with sign_type MD5")
    is_another_types = "sign_type" in given and not set(KEY_PAIR) & set(given)
    if is_another_types or not any(texts[name] for name in KEY_PAIR):
        return {**texts, **dict.fromkeys(KEY_PAIR, "")}
    return _with_key_pair(texts, "required for payments in apps")


def _with_key_pair(texts: Mapping[str, str], needed: str) -> Mapping[str, str]:
    """`texts`, if they have a pair that can be used. Raises BadSetting."""
    for name in KEY_PAIR:
        if not texts[name]:
            raise BadSetting(name, needed)
        if rsa_bits(texts[name]) < MIN_BITS[texts["sign_type"]]:
            raise BadSetting(name, f"must be an RSA key of at least {MIN_BITS[texts['sign_type']]} bits")
    if is_key_pair(texts["alipay_public_key"], texts["private_key"]):
        # Alipay's pages show both public keys side by side. With the merchant's own, no response would verify.
        raise BadSetting(
            "alipay_public_key",
            "this is the public key of the merchant's own private key; "
            "use the Alipay public key shown beside it",
        )
    return texts


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
            "sign_type",
            "the contract's signature algorithm: MD5, RSA or RSA2",
            one_of("MD5", "RSA", "RSA2"),
            is_sign_type=True,
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
            "the merchant's private key, for RSA and RSA2; with MD5 only for payments in apps (801110, 801510)",
            read_rsa_private_key,
            Kind.SECRET,
            default="",
        ),
        Setting(
            "alipay_public_key",
            "Alipay's public key, for RSA and RSA2; with MD5 only for payments in apps",
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
        Setting(
            "supports_alipay_hk",
            "whether the contract is one for merchants in Hong Kong (8015xx): true or false",
            read_flag,
            Kind.FLAG,
            default="false",
        ),
    ),
    check=checked,
    open_channel=_open,
    max_deadline=max_deadline,
    statements=STATEMENTS,
)
