"""A merchant's account at a wallet, with the credentials that its protocol needs.

`merchants/store/accounts.py` encrypts the secrets. An Alipay account is a PID and serves one scene, online or offline.
A WeChat account is a sub-merchant of a service provider and serves both.
"""

from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from tael.base.pay_types import Wallet
from tael.base.secret import Secret

NO_SECRET: Final = Secret("")
AlipaySignType = Literal["MD5", "RSA", "RSA2"]
WeChatSignType = Literal["MD5", "HMAC-SHA256"]


@dataclass(frozen=True, slots=True)
class AlipayAccount:
    """A PID. Alipay's contract covers one scene, online or offline, never both."""

    wallet: ClassVar[Wallet] = Wallet.ALIPAY
    protocol: ClassVar[str] = "alipay_mapi"  #: the channel that serves it
    account_id: str  #: ours, random; the last segment of the notice URL
    mchid: str
    scene: Literal["online", "offline"]
    currency: str  #: price and settlement currency of the contract
    pid: str
    sign_type: AlipaySignType
    key: Secret  #: the MD5 key; empty for RSA and RSA2
    private_key_pem: Secret  #: ours; empty for MD5
    alipay_public_key_pem: str  #: the wallet's; verifies its responses and notices
    supports_close: bool = True  #: the contract includes `close_trade`
    refund_window_days: int = 365
    supports_partial_refunds: bool = True  #: if false, a payment can only be refunded in full
    fee_rate_ppm: int = 0  #: our fee on each payment, in parts per million of its price


@dataclass(frozen=True, slots=True)
class WeChatProvider:
    """The service provider whose key and client certificate sign for all its sub-merchants."""

    mch_id: str
    appid: str
    key: Secret  #: the V2 API key
    certificate_pem: str
    certificate_key_pem: Secret


@dataclass(frozen=True, slots=True)
class WeChatAccount:
    """A sub-merchant of `provider`; serves online and offline."""

    wallet: ClassVar[Wallet] = Wallet.WECHAT
    protocol: ClassVar[str] = "wechat_v2"  #: the channel that serves it
    account_id: str
    mchid: str
    currency: str
    provider: WeChatProvider
    sign_type: WeChatSignType
    sub_mch_id: str
    sub_appid: str  #: the merchant's official account; openids of 800207 belong to it
    sub_secret: Secret = NO_SECRET  #: of `sub_appid`; not used yet
    supports_wechat_hk: bool = False  #: pay type 800228 is granted
    refund_window_days: int = 365
    supports_partial_refunds: bool = True  #: if false, a payment can only be refunded in full
    fee_rate_ppm: int = 0  #: our fee on each payment, in parts per million of its price
    scene: Literal["both"] = "both"


Account = AlipayAccount | WeChatAccount
