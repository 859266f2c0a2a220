"""The context in which a request or a clock tick runs: an open transaction, the keys and the time."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tael_sandbox.alipay.checks import Parameters
from tael_sandbox.alipay.messages import Request
from tael_sandbox.alipay.signing import Keyring
from tael_sandbox.shops import AlipayContract, Shop


@dataclass(frozen=True, slots=True)
class Preconditions:
    connection: sqlite3.Connection
    keys: Keyring
    now: datetime


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose sender, signature and contract are verified."""

    preconditions: Preconditions
    shop: Shop
    contract: AlipayContract
    contracts: Sequence[AlipayContract]  #: of all merchants: a day is closed for all of them at once
    request: Request
    service: str
    sign_type: str

    @property
    def pid(self) -> str:
        return self.contract.pid

    def parameters(self, fault: str) -> Parameters:
        """The non-empty parameters; an empty value means the same as an absent one."""
        return Parameters({name: value for name, value in self.request.fields.items() if value}, fault)
