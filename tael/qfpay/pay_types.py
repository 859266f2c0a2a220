"""What each pay type adds to a payment's fields, and the members of the answer with its pay data: one row for each.

Source: QFPay's page of each pay type.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from tael.base.pay_types import Region


class PayData(Enum):
    """The members of a payment's answer that the payer's side needs."""

    PAGE = auto()  #: `pay_url`; `qrcode` is the same, for older clients
    CODE = auto()  #: `qrcode`; `code_url` and `pay_url` are the same, for older clients
    PAGE_PARAMS = (
        auto()
    )  #: `pay_params`, for a page in the wallet's browser; `pay_url` is such a page of ours
    PARAMS = auto()  #: `pay_params`, for an app or a mini program
    NONE = auto()  #: `cardcd`, the payer, once paid


@dataclass(frozen=True, slots=True)
class Fields:
    """`needs` are fields that are required beside the common ones."""

    pay_data: PayData
    needs: tuple[str, ...] = ()
    default_region: Region | None = None  #: of a pay type that reads `pay_tag`
    above_minor: Mapping[str, int] | None = None  #: by currency: amounts up to this are refused


PAGE: Final = Fields(PayData.PAGE)
SCANNED: Final = Fields(PayData.NONE, ("auth_code",))
IN_HONG_KONG: Final = Region.HONG_KONG

FIELDS: Final[Mapping[str, Fields]] = {
    "800008": SCANNED,
    "800101": Fields(PayData.CODE),
    "800108": SCANNED,
    "800151": PAGE,
    "800152": PAGE,
    "800201": Fields(PayData.CODE),
    "800207": Fields(PayData.PAGE_PARAMS, ("sub_openid",)),
    "800208": SCANNED,
    "800210": Fields(PayData.PARAMS),
    "800212": Fields(PayData.PAGE, ("extend_info",)),
    "800213": Fields(PayData.PARAMS, ("sub_openid",)),
    "800228": SCANNED,
    "801008": SCANNED,
    "801010": Fields(PayData.PARAMS),
    "801101": Fields(PayData.PAGE, above_minor={"HKD": 100}),
    "801107": PAGE,
    "801110": Fields(PayData.PARAMS),
    "801501": Fields(PayData.CODE, default_region=IN_HONG_KONG),
    "801510": Fields(PayData.PARAMS, default_region=IN_HONG_KONG),
    "801512": Fields(PayData.PAGE, default_region=IN_HONG_KONG),
    "801514": Fields(PayData.PAGE, default_region=IN_HONG_KONG),
}
