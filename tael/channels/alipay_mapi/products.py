"""How Alipay serves each pay type: one row for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Service = Literal[
    "create_forex_trade",
    "create_forex_trade_wap",
    "mobile.securitypay.pay",
    "alipay.acquire.precreate",
    "alipay.acquire.overseas.spot.pay",
]
#: Covered by the contract for shops; every other service by the contract for web sites and apps.
IN_STORE: Final = frozenset({"alipay.acquire.precreate", "alipay.acquire.overseas.spot.pay"})


@dataclass(frozen=True, slots=True)
class Product:
    """The service that opens the order, and what an account needs for it."""

    service: Service
    is_hong_kong: bool = False  #: for merchants in Hong Kong

    @property
    def scene(self) -> Literal["online", "offline"]:
        """The contract's."""
        return "offline" if self.service in IN_STORE else "online"

    @property
    def product_code(self) -> str:
        """Also a refund names the payment's."""
        match self.service:
            case "create_forex_trade":
                return "NEW_OVERSEAS_SELLER"
            case "create_forex_trade_wap" | "mobile.securitypay.pay":
                return "NEW_WAP_OVERSEAS_SELLER"
            case "alipay.acquire.precreate" | "alipay.acquire.overseas.spot.pay":
                return "OVERSEAS_MBARCODE_PAY"


PRODUCTS: Final[Mapping[str, Product]] = {
    "800008": Product("alipay.acquire.overseas.spot.pay"),
    "800101": Product("alipay.acquire.precreate"),
    "800108": Product("alipay.acquire.overseas.spot.pay"),
    "800151": Product("create_forex_trade"),
    "800152": Product("create_forex_trade_wap"),
    "801101": Product("create_forex_trade"),
    "801107": Product("create_forex_trade_wap"),
    "801110": Product("mobile.securitypay.pay"),
    "801501": Product("alipay.acquire.precreate", is_hong_kong=True),
    "801510": Product("mobile.securitypay.pay", is_hong_kong=True),
    "801512": Product("create_forex_trade_wap", is_hong_kong=True),
    "801514": Product("create_forex_trade", is_hong_kong=True),
}
