"""The return of a payer's browser after an Alipay payment. Its address is not signed.

Anyone can open such an address: use it only to select the page to show; a query or a webhook decides.
"""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl, urlsplit

from tael_client import reading
from tael_client.moments import moment_or_none
from tael_client.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserReturn:
    """The unverified claims of the address."""

    mchid: str
    syssn: str
    reference: str
    pay_type: str
    amount: Money | None
    respcd: str
    client_time: datetime | None
    device: str


def read_return(address: str) -> BrowserReturn:
    """Read the opened address, or only its query string. Raises ValueError if it has no payment.

    Parameters of your own return URL come before the payment's, so the last parameter of a name counts.
    """
    query = urlsplit(address).query if "?" in address else address
    members = dict(parse_qsl(query, keep_blank_values=True))
    reference = members.get("out_trade_no", "")
    if not reference:
        raise ValueError("the address has no out_trade_no")
    return BrowserReturn(
        mchid=members.get("mchid", ""),
        syssn=reading.digits(members, "syssn"),
        reference=reference,
        pay_type=members.get("pay_type", ""),
        amount=reading.money(members) if members.get("txamt") else None,
        respcd=members.get("respcd", ""),
        client_time=moment_or_none(members.get("txdtm", "")),
        device=members.get("udid", ""),
    )
