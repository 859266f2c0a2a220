"""The payer's browser coming back after an Alipay payment. Nothing of it is signed.

Anybody can open such an address: show a page by it, and let a query or a webhook decide.
"""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl, urlsplit

from tael_client import reading
from tael_client.moments import moment_or_none
from tael_client.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserReturn:
    """What the address claims."""

    mchid: str
    syssn: str
    reference: str
    pay_type: str
    amount: Money | None
    respcd: str
    client_time: datetime | None
    device: str


def read_return(address: str) -> BrowserReturn:
    """Reads the address that was opened, or just what is behind its `?`. Raises ValueError if it names no payment.

    Parameters that your return URL had of its own stand before the payment's, so the last of a name counts.
    """
    query = urlsplit(address).query if "?" in address else address
    members = dict(parse_qsl(query, keep_blank_values=True))
    reference = members.get("out_trade_no", "")
    if not reference:
        raise ValueError("the address names no payment")
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
