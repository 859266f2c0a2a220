"""Calls that no route has: each wallet answers its own in its own form, with the call named in it.

An SDK shows its user what the wallet said, so that a call which is not simulated is recognised at once. A wallet is
known by its host's name, where an SDK was led here by that, else by the call.
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
    """A request as far as its answer needs it."""

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
        """Wallets refuse with HTTP 200, which is when SDKs read the answer; 405 stays for who takes another method."""
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
