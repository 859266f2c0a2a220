"""A settlement of Alipay, imported as an operator does it, and the merchant's query of settlements."""

import io
import json
from pathlib import Path
from typing import Final
from urllib.parse import urlencode
from zipfile import ZipFile

from tests.end_to_end.merchant import Merchant, send
from tests.end_to_end.rig import Members
from tests.support.http_calls import Answer

SETTLEMENTS: Final = "/settlement/v1/query"
BILL: Final = "/download/v1/trade_bill"


def import_settlement(shop: Merchant, file: Path, day: str, *trades: tuple[str, str]) -> None:
    """Alipay's file about `day` (YYYYMMDD): these payments in a shop, by syssn, with their amounts in HKD."""
    (account_id,) = [
        row["account_id"]
        for row in shop.demo.ask("account", "list", "--mchid", shop.mchid)
        if (row["wallet"], row["scene"]) == ("alipay", "offline")
    ]
    lines = [f"{syssn}|{amount}|HKD|20260102110405|{day}090000|P|1.20|L|\n" for syssn, amount in trades]
    file.write_text("".join(lines))
    shop.demo.ask("statement", "import", str(file), "--account", account_id)


def signed_get(shop: Merchant, path: str, **params: str) -> Answer:
    """A GET with these parameters alone, signed; the response is not checked."""
    headers = shop.headers(shop.sign(params), None)
    return send(shop.demo.gateway, "GET", f"{path}?{urlencode(params)}", headers=headers)


def bill_rows(content: bytes) -> list[Members]:
    """The rows of all merchants in a bill."""
    with ZipFile(io.BytesIO(content)) as archive:
        texts = [archive.read(name) for name in archive.namelist() if name.endswith(".json")]
    return [row for text in texts for row in json.loads(text)["data"]]
