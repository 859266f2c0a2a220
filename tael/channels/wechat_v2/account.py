"""An account of WeChat Pay V2: a merchant with a contract of its own, or a sub-merchant of a service provider.

It serves both scenes. The provider's key and client certificate sign for all its sub-merchants; each of their accounts
has them. A direct merchant has no `sub_mch_id`, and its appids stand where a sub-merchant's provider has its own.
"""

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
    certificate_of,
    is_certified,
    one_of,
    read_certificate,
    read_flag,
    read_private_key,
    text_of,
)
from tael.channels.wechat_v2.statements import STATEMENTS
from tael.merchants.domain.account import Account, Coverage

if TYPE_CHECKING:
    from tael.channels.base import Channel

NO_SECRET: Final = Secret("")
WeChatSignType = Literal["MD5", "HMAC-SHA256"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WeChatAccount(Account):
    """A direct merchant, or a sub-merchant with the key and the certificate of its service provider."""

    protocol: ClassVar[str] = "wechat_v2"
    wallet: ClassVar[Wallet] = Wallet.WECHAT
    scene: Coverage = "both"
    mch_id: str  #: the number of the service provider, or of the direct merchant
    appid: str  #: the service provider's; of a direct merchant its official account
    key: Secret  #: the V2 API key of `mch_id`
    certificate: str  #: the client certificate of `mch_id`, PEM
    certificate_key: Secret  #: of the certificate, PEM
    sign_type: WeChatSignType
    sub_mch_id: str = ""  #: the sub-merchant's number; "" for a direct merchant
    sub_appid: str = ""  #: the sub-merchant's official account
    official_secret: Secret = NO_SECRET  #: the app secret of `official_appid`
    mini_appid: str = ""  #: the merchant's mini program; openids of 800213 belong to it
    app_appid: str = ""  #: the merchant's mobile app
    supports_h5: bool = False  #: payments in a phone's browser are granted
    supports_wechat_hk: bool = False  #: WeChat Pay HK is granted

    @property
    def identity(self) -> str:
        return f"{self.mch_id}/{self.sub_mch_id}"

    @property
    def merchant_number(self) -> str:
        """The sub-merchant's; a direct merchant's own."""
        return self.sub_mch_id or self.mch_id

    @property
    def is_direct(self) -> bool:
        return not self.sub_mch_id

    @property
    def official_appid(self) -> str:
        """The merchant's official account; openids of 800207 belong to it."""
        return self.appid if self.is_direct else self.sub_appid


def checked(texts: Mapping[str, str], given: Collection[str], now: datetime) -> Mapping[str, str]:
    """A certificate that is valid at `now`, with its own key; a sub-merchant has an appid. Raises BadSetting."""
    if texts["sub_mch_id"] and not texts["sub_appid"]:
        raise BadSetting("sub_appid", "required with sub_mch_id; the sub-merchant's appid")
    if texts["sub_appid"] and not texts["sub_mch_id"]:
        raise BadSetting("sub_appid", "not used without sub_mch_id; a direct merchant has appid")
    certificate = certificate_of(texts["certificate"])
    if now < certificate.not_valid_before_utc:
        begins = f"{certificate.not_valid_before_utc:%Y-%m-%d}"
        raise BadSetting("certificate", f"the certificate is not valid before {begins}")
    if now > certificate.not_valid_after_utc:
        ended = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
        raise BadSetting("certificate", f"the certificate expired on {ended}")
    if not is_certified(texts["certificate"], texts["certificate_key"]):
        raise BadSetting("certificate_key", "the key does not match the certificate")
    return texts


def _open(environment: ChannelEnvironment) -> "Channel":
    from tael.channels.wechat_v2.adapter import WeChatV2
    from tael.channels.wechat_v2.oauth import OAuth

    return WeChatV2(
        environment.transport,
        environment.clock,
        environment.urls["wechat"],
        environment.wechat_ca_pem,
        environment.server_ip,
        environment.note_answer,
        OAuth(environment.transport, environment.urls["wechat_authorize"], environment.urls["wechat_api"]),
    )


read_number: Final = text_of(r"[0-9]{6,32}", "a WeChat Pay merchant number: 6 to 32 digits")
read_appid: Final = text_of(r"[A-Za-z0-9_-]{6,32}", "an appid, such as wx0123456789abcdef")

WECHAT_V2: Final = WalletProtocol(
    name="wechat_v2",
    wallet=Wallet.WECHAT,
    title="WeChat Pay V2",
    account=WeChatAccount,
    settings=(
        Setting(
            "mch_id",
            "WeChat Pay's number of the merchant, or of its service provider",
            read_number,
            is_fixed=True,
        ),
        Setting(
            "appid",
            "the appid that belongs to mch_id; payers' openids belong to a direct merchant's",
            read_appid,
        ),
        Setting(
            "sign_type",
            "the signature algorithm: MD5 or HMAC-SHA256",
            one_of("MD5", "HMAC-SHA256"),
            is_sign_type=True,
        ),
        Setting(
            "sub_mch_id",
            "WeChat Pay's number of the sub-merchant of a service provider; not for a direct merchant",
            read_number,
            default="",
            is_fixed=True,
        ),
        Setting(
            "sub_appid", "the sub-merchant's appid; payers' openids belong to it", read_appid, default=""
        ),
        Setting(
            "key",
            "the V2 API key of mch_id",
            text_of(r"[A-Za-z0-9]{32}", "32 letters and digits"),
            Kind.SECRET,
        ),
        Setting("certificate", "the client certificate of mch_id, PEM", read_certificate, Kind.DOCUMENT),
        Setting("certificate_key", "the certificate's private key, PEM", read_private_key, Kind.SECRET),
        Setting(
            "official_secret",
            "the app secret of the merchant's official account, with which its payers' openids are read",
            text_of(r"[A-Za-z0-9]{32}", "32 letters and digits"),
            Kind.SECRET,
            default="",
            is_for_messages=False,
        ),
        Setting("mini_appid", "the appid of the merchant's mini program, for 800213", read_appid, default=""),
        Setting(
            "app_appid", "the appid of the merchant's app, for 800210 and 801010", read_appid, default=""
        ),
        Setting(
            "supports_h5",
            "whether H5 payments (800212) are granted: true or false",
            read_flag,
            Kind.FLAG,
            default="false",
        ),
        Setting(
            "supports_wechat_hk",
            "whether WeChat Pay HK (800228, 801008, 801010) is granted: true or false",
            read_flag,
            Kind.FLAG,
            default="false",
        ),
    ),
    check=checked,
    open_channel=_open,
    certificates=("certificate",),
    statements=STATEMENTS,
)
