"""Statements of both wallets as texts, and their import by an operator."""

from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Final

from tael.channels.registry import installed_protocols
from tael.operations.store import Store
from tael.statements.files import read_file
from tael.statements.imports import Imported, ImportOptions, import_statement
from tael.statements.store.statements import Statements
from tests.support.values import NOW, origin_at
from tests.unit.channels.test_wechat_settlements import FIRST, SECOND, page
from tests.unit.channels.test_wechat_statements import GOOD

WECHAT: Final = "wechat1"
NO_OPTIONS: Final = ImportOptions()
#: Two remittances: 54.34 HKD with a fee of 0.33, and -89 JPY with a fee of -1.
SETTLEMENT: Final = page([FIRST, SECOND])
OTHER_SETTLEMENT: Final = page(
    [FIRST | {"fbatchno": "20260105C", "poundage_fee": "0", "settlement_fee": "5467"}]
)
#: 10.00 HKD paid and 4.00 HKD returned, for 1.28 USD and 0.51 USD.
BILL: Final = "".join(GOOD).encode()
OTHER_BILL: Final = BILL.replace(b"`4.00", b"`5.00").replace(b"`0.51", b"`0.52")


@dataclass(frozen=True)
class Importer:
    """Imports files into `store`, through `statements` if that is a process which may crash."""

    store: Store
    statements: Statements | None = None

    async def put(self, content: bytes, at: datetime = NOW, options: ImportOptions = NO_OPTIONS) -> Imported:
        account = await self.store.accounts.by_id(WECHAT)
        assert account is not None
        form = installed_protocols().named(account.protocol).statements
        assert form is not None
        return await import_statement(
            self.statements or self.store.statements,
            account,
            form,
            read_file(BytesIO(content)),
            "",
            options,
            origin_at(at),
            lambda lines: None,
        )

    async def replace(self, content: bytes, at: datetime) -> Imported:
        return await self.put(content, at, ImportOptions(is_replacing=True))
