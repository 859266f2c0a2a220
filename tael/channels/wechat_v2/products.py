"""How WeChat Pay serves each pay type: one row for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

TradeType = Literal["MICROPAY", "NATIVE", "JSAPI", "APP", "MWEB"]


@dataclass(frozen=True, slots=True)
class Product:
    """A product of WeChat Pay. An account has it if it has all settings in `needs`."""

    trade_type: TradeType
    appid: Literal["official_appid", "mini_appid", "app_appid"] = (
        "official_appid"  #: the merchant's, for its orders
    )
    needs: tuple[str, ...] = ()


HONG_KONG: Final = "supports_wechat_hk"

PRODUCTS: Final[Mapping[str, Product]] = {
    "800008": Product("MICROPAY"),
    "800201": Product("NATIVE"),
    "800207": Product("JSAPI"),
    "800208": Product("MICROPAY"),
    "800210": Product("APP", "app_appid", ("app_appid",)),
    "800212": Product("MWEB", needs=("supports_h5",)),
    "800213": Product("JSAPI", "mini_appid", ("mini_appid",)),
    "800228": Product("MICROPAY", needs=(HONG_KONG,)),
    "801008": Product("MICROPAY", needs=(HONG_KONG,)),
    "801010": Product("APP", "app_appid", (HONG_KONG, "app_appid")),
}
