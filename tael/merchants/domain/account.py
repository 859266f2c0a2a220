"""A merchant's account at a wallet, with everything its protocol needs to speak for the merchant.

Read by the channels; kept by `merchants/store/accounts.py`, which encrypts the secrets. An account of Alipay is a PID
and is either online or offline; one of WeChat is a sub-merchant of a service provider and serves both.
"""

from dataclasses import dataclass
from typing import Final, Literal

from tael.base.secret import Secret

NO_SECRET: Final = Secret("")
AlipaySignType = Literal["MD5", "RSA", "RSA2"]
WeChatSignType = Literal["MD5", "HMAC-SHA256"]


@dataclass(frozen=True, slots=True)
class AlipayAccount:
    """A PID. `scene` is "online" or "offline", never both: that is Alipay's contract."""

    account_id: str  #: ours, random; the last part of the notice URL
    mchid: str
    scene: Literal["online", "offline"]
    currency: str  #: price and settlement currency of the contract
    pid: str
    sign_type: AlipaySignType
    key: Secret  #: the MD5 key; empty where RSA or RSA2 is used
    private_key_pem: Secret  #: ours; empty where MD5 is used
    alipay_public_key_pem: str  #: the wallet's; verifies its answers and notices
    supports_close: bool = True  #: the contract has `close_trade`
    refund_window_days: int = 365
    supports_partial_refunds: bool = True  #: off: only all of a payment may go back
    fee_rate_ppm: int = 0  #: what is kept of each payment, in parts per million of its price


@dataclass(frozen=True, slots=True)
class WeChatProvider:
    """The service provider that signs and holds the client certificate for all its sub-merchants."""

    mch_id: str
    appid: str
    key: Secret  #: the V2 API key
    certificate_pem: str
    certificate_key_pem: Secret


@dataclass(frozen=True, slots=True)
class WeChatAccount:
    """A sub-merchant of `provider`; serves online and offline."""

    account_id: str
    mchid: str
    currency: str
    provider: WeChatProvider
    sign_type: WeChatSignType
    sub_mch_id: str
    sub_appid: str  #: the merchant's official account; openids of 800207 belong to it
    sub_secret: Secret = NO_SECRET  #: of `sub_appid`; nothing needs it yet
    supports_wechat_hk: bool = False  #: 800228 was granted
    refund_window_days: int = 365
    supports_partial_refunds: bool = True  #: off: only all of a payment may go back
    fee_rate_ppm: int = 0  #: what is kept of each payment, in parts per million of its price
    scene: Literal["both"] = "both"


Account = AlipayAccount | WeChatAccount
