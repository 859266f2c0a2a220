"""Calls without a route: the wallet that was called refuses them in its own form and names the call.

SDKs show the wallet's error to their users, so a call that is not simulated is recognised at once. The wallet is
identified by the Host if it is one of the wallet's hosts, otherwise by the call.
"""

from dataclasses import dataclass
from typing import Final

HOSTS: Final = {
    "alipay": ("alipay.com", "alipaydev.com", "alipay.net"),
    "wechat": ("weixin.qq.com", "tenpay.com", "wechatpay.cn"),
}
MAX_NAME: Final = 100


@dataclass(frozen=True, slots=True)
class UnservedCall:
    """The parts of a request that its refusal needs."""

    method: str
    path: str
    host: str  #: without the port
    query: bytes
    body: bytes
    status: int  #: 404, or 405 where another method is served

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"[:MAX_NAME]

    @property
    def text(self) -> str:
        return f"{self.name} is not served by this sandbox"

    @property
    def status_or_ok(self) -> int:
        """HTTP 200, with which wallets refuse and SDKs read the body. 405 stays if the path has another method."""
        return 405 if self.status == 405 else 200

    @property
    def is_over_get(self) -> bool:
        return self.method in ("GET", "HEAD", "OPTIONS")

    @property
    def wallet_of_host(self) -> str | None:
        for wallet, domains in HOSTS.items():
            if any(self.host == domain or self.host.endswith(f".{domain}") for domain in domains):
                return wallet
        return None
