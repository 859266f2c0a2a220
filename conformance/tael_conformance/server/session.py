"""The server under test: signed calls, and orders that several checks use."""

import itertools
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode

from tael_conformance.checks import Departure, Skipped
from tael_conformance.credentials import Credentials, masked_code
from tael_conformance.listener import Listener
from tael_conformance.pay_types import ONLINE, PAY_TYPES, PayType
from tael_conformance.server.payer import Payer
from tael_conformance.signing import Algorithm, sign_params
from tael_conformance.wire import SIGN_HEADER, Exchange, Members, Wire, until

MOMENT: Final = "%Y-%m-%d %H:%M:%S"
FORM: Final = "application/x-www-form-urlencoded"
OK: Final = "0000"
PENDING: Final = ("1145", "1143")
REFUND_PENDING: Final = (*PENDING, "2999")
#: How respmsg begins if a pay type is not granted.
NOT_GRANTED: Final = ("filter_error", "filter error")
#: The merchant's site, for the pay type 800212.
EXTEND_INFO: Final = json.dumps(
    {
        "scene_info": {"h5_info": {"type": "Wap", "wap_url": "http://127.0.0.1/shop", "wap_name": "Tea"}},
        "spbill_create_ip": "127.0.0.1",
    }
)
#: How long to wait for a result when the payer is the sandbox, and between two queries.
UNATTENDED_LIMIT_S: Final = 15.0
UNATTENDED_REST_S: Final = 0.05
ATTENDED_REST_S: Final = 5.0

_numbers: Final = itertools.count(1)
_run: Final = os.urandom(4).hex()


def new_reference() -> str:
    """An `out_trade_no` that was never used."""
    return f"kit-{_run}-{next(_numbers)}"


@dataclass(frozen=True, slots=True)
class Options:
    """`pay_types` are those that must be granted; empty: all that are granted. `wait_s` limits a person's payment."""

    algorithm: Algorithm = "MD5"
    response_algorithm: Algorithm = "MD5"
    amount: int = 200
    pay_types: tuple[str, ...] = ()
    move_money: bool = False
    wait_s: float = 180.0
    webhook_style: str = ""
    foreign_syssn: str = ""
    foreign_mchid: str = ""


@dataclass(slots=True)
class Server:
    wire: Wire
    credentials: Credentials
    payer: Payer
    options: Options
    listener: Listener | None = None
    is_locked_out: bool = False  #: not even a correctly signed request is accepted
    _made: dict[str, Exchange] = field(default_factory=dict)
    _failed: dict[str, str] = field(default_factory=dict)
    _opened: list[str] = field(default_factory=list)
    _started: float = field(default_factory=time.monotonic)
    _advanced_s: float = 0.0

    def reason_to_skip(self, check_id: str) -> str:
        """Why a check would show nothing; "" if it would."""
        is_about_signatures = check_id.startswith("server.signature.")
        if self.is_locked_out and not is_about_signatures:
            return "no correctly signed request is accepted; see server.signature.accepted"
        return ""

    # ---- calls ---------------------------------------------------------------------------------------------

    def params(self, call: str, given: Mapping[str, str | None]) -> dict[str, str]:
        """`given` with mchid and txdtm filled in; None leaves a parameter out."""
        filled: dict[str, str | None] = {"mchid": self.credentials.mchid or None}
        if call != "query":
            filled["txdtm"] = self.payer.now().strftime(MOMENT)
        return {name: value for name, value in (filled | dict(given)).items() if value is not None}

    def call(self, name: str, /, **given: str | None) -> Exchange:
        """POST /trade/v1/NAME, signed."""
        return self.send(name, self.params(name, given))

    def send(
        self,
        name: str,
        params: Mapping[str, str],
        *,
        method: str = "POST",
        sign: str | None = None,
        body: str | None = None,
        headers: Mapping[str, str | None] | None = None,
        note: str = "",
    ) -> Exchange:
        """Any call, by its name in /trade/v1 or its path.

        `sign`, `body` and `headers` replace what a correct client sends; None leaves a header out.
        """
        algorithm = self.options.algorithm
        encoded = urlencode(params) if body is None else body
        signature = sign if sign is not None else sign_params(params, self.credentials.key, algorithm)
        sent_headers: dict[str, str | None] = {
            "X-QF-APPCODE": self.credentials.appcode,
            SIGN_HEADER: signature,
            "X-QF-SIGNTYPE": algorithm,
            "Content-Type": FORM if method == "POST" else None,
            **(headers or {}),
        }
        path = name if name.startswith("/") else f"/trade/v1/{name}"
        target, content = (path, encoded) if method == "POST" else (f"{path}?{encoded}", "")
        present = {name: value for name, value in sent_headers.items() if value is not None}
        return self.wire.send(
            method, target, content.encode(), present, described(method, path, params, note)
        )

    def rows(self, **filters: str) -> list[Members]:
        return rows_of(self.call("query", **filters))

    def row(self, syssn: str) -> Members:
        """The only row of this transaction. Raises Departure."""
        answer = self.call("query", syssn=syssn)
        rows = rows_of(answer)
        answer.expect(len(rows) == 1, "exactly one row")
        return rows[0]

    # ---- orders --------------------------------------------------------------------------------------------

    def payment_params(self, pay_type: PayType, /, **given: str | None) -> dict[str, str]:
        """Complete parameters of a payment. A barcode's `auth_code` is the caller's."""
        more: dict[str, str | None] = {}
        if pay_type.required == "sub_openid":
            more["sub_openid"] = self.payer.openid(pay_type)
        if pay_type.required == "extend_info":
            more["extend_info"] = EXTEND_INFO
        filled = {
            "pay_type": pay_type.code,
            "out_trade_no": new_reference(),
            "txamt": str(self.options.amount),
            **more,
            **given,
        }
        return self.params("payment", filled)

    def open(self, pay_type: PayType, /, **given: str | None) -> Exchange:
        """Send a payment. Raises Skipped if the pay type is not granted and none demands it."""
        params = self.payment_params(pay_type, **given)
        opened = self.send("payment", params)
        is_named = pay_type.code in self.options.pay_types or params.get("pay_type") != pay_type.code
        if opened.text("respmsg").startswith(NOT_GRANTED) and not is_named:
            raise Skipped(f"{pay_type.code} is not granted to this merchant")
        if opened.respcd == OK and not pay_type.is_barcode and opened.text("syssn"):
            self._opened.append(opened.text("syssn"))
        return opened

    def online_type(self) -> PayType:
        """The first online pay type that is to be checked."""
        wanted = [each for each in ONLINE if self.is_wanted(each)]
        if not wanted:
            raise Skipped("needs an online pay type")
        return wanted[0]

    def is_wanted(self, pay_type: PayType) -> bool:
        return not self.options.pay_types or pay_type.code in self.options.pay_types

    def unpaid(self, purpose: str = "") -> Exchange:
        """An unpaid online order, opened once for each purpose. Raises Skipped if none can be opened."""
        return self._attempt(f"unpaid {purpose}", self._open_unpaid)

    def _open_unpaid(self) -> Exchange:
        opened = self.open(self.online_type())
        if opened.respcd != OK or not opened.text("syssn"):
            raise Skipped(f"needs an unpaid order, and opening one was refused: {opened.received}")
        return opened

    def paid(self, pay_type: PayType, purpose: str = "") -> Exchange:
        """A paid order, paid once for each purpose. Raises Departure or Skipped if it cannot be paid."""
        return self._attempt(f"paid {pay_type.code} {purpose}", lambda: self._pay(pay_type))

    def _attempt(self, name: str, make: Callable[[], Exchange]) -> Exchange:
        """`once`, and after a failure Skipped: no order is paid twice because its first payment looked wrong."""
        if name in self._failed:
            raise Skipped(f"needs an order that could not be made: {self._failed[name]}")
        try:
            return self.once(name, make)
        except Departure as departure:
            self._failed[name] = f"expected {departure.expected}, received {departure.received}"
            raise
        except Skipped as skipped:
            self._failed[name] = str(skipped)
            raise

    def _pay(self, pay_type: PayType) -> Exchange:
        if not self.options.move_money:
            raise Skipped("moves money; allow it with --move-money")
        given = {"auth_code": self.payer.code(pay_type)} if pay_type.is_barcode else {}
        opened = self.open(pay_type, **given)
        if not opened.text("syssn"):
            raise Departure("an accepted payment", opened.received, opened.sent)
        if not pay_type.is_barcode:
            self.payer.pay(opened)
        self.wait_for(opened.text("syssn"), respcd=OK)
        return opened

    def once(self, name: str, call: Callable[[], Exchange]) -> Exchange:
        """The response of a call that several checks look at, made when the first of them needs it."""
        if name not in self._made:
            self._made[name] = call()
        return self._made[name]

    def paid_barcode(self, purpose: str = "") -> Exchange:
        """A paid barcode payment, of the first pay type for which there is a barcode."""
        reason = "needs a barcode pay type"
        for code in ("800208", "800108", "800228", "801008"):
            if self.is_wanted(PAY_TYPES[code]):
                try:
                    return self.paid(PAY_TYPES[code], purpose)
                except Skipped as skipped:
                    reason = str(skipped)
        raise Skipped(reason)

    def wait_for(self, syssn: str, **expected: str) -> Members:
        """The row once it has these members; `respcd` may be several, separated by commas. Raises Departure."""
        seen: list[Members] = []

        def is_there() -> bool:
            seen.append(self.row(syssn))
            return all(seen[-1].get(name) in value.split(",") for name, value in expected.items())

        if not until(is_there, self.limit_s, self.rest_s):
            wanted = " and ".join(f"{name} {value}" for name, value in expected.items())
            raise Departure(
                f"a row with {wanted} within {self.limit_s:g} s",
                json.dumps(seen[-1], ensure_ascii=False),
                f"query {syssn}",
            )
        return seen[-1]

    def advance(self, seconds: float) -> bool:
        """Move the server's clock forward; False if it cannot be moved."""
        self._advanced_s += seconds
        return self.payer.advance(seconds)

    @property
    def age(self) -> timedelta:
        """How long this run has lasted by the server's clock, at most."""
        return timedelta(seconds=time.monotonic() - self._started + self._advanced_s)

    @property
    def limit_s(self) -> float:
        """How long to wait for a result."""
        is_alone = self.payer.is_unattended
        return min(self.options.wait_s, UNATTENDED_LIMIT_S) if is_alone else self.options.wait_s

    @property
    def rest_s(self) -> float:
        return UNATTENDED_REST_S if self.payer.is_unattended else ATTENDED_REST_S

    def close_open_orders(self) -> None:
        """Close every online order that the checks opened; refusals, such as of a paid one, are no matter."""
        while self._opened:
            try:
                self.call("close", syssn=self._opened.pop())
            except Departure:
                return  # the server does not respond any more


def described(method: str, path: str, params: Mapping[str, str], note: str = "") -> str:
    """A request for a report, without its signature and with barcodes masked."""
    shown = {
        name: masked_code(value) if name == "auth_code" else value for name, value in sorted(params.items())
    }
    pairs = " ".join(
        f"{name}={value!r}" if " " in value else f"{name}={value}" for name, value in shown.items()
    )
    return f"{method} {path} {pairs}{f' ({note})' if note else ''}"


def rows_of(answer: Exchange) -> list[dict[str, Any]]:
    """The rows of a query's response. Raises Departure."""
    answer.expect(answer.respcd == OK, f"respcd {OK}")
    data = answer.members.get("data")
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise Departure("a list of objects in data", answer.received, answer.sent)
    return data
