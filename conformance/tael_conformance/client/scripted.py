"""A QFPay server on the loopback that answers one scenario as scripted, and notes what the client does wrong."""

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Final, Literal, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from tael_conformance.credentials import Credentials
from tael_conformance.listener import Received, Reply
from tael_conformance.pay_types import BARCODE
from tael_conformance.signing import Algorithm, digest, is_signature, signed_text
from tael_conformance.wire import SIGN_HEADER

UTC8: Final = timezone(timedelta(hours=8))
MOMENT: Final = "%Y-%m-%d %H:%M:%S"
OK: Final = "0000"
#: The only refund or payment of a scenario, and the payment that is refunded.
SYSSN: Final = "202601010900990000000101"
PAID_SYSSN: Final = "202601010900990000000100"
CALLS: Final = ("payment", "refund", "reversal", "close", "query")
REQUIRED: Final = {
    "payment": ("pay_type", "out_trade_no", "txamt", "txdtm", "auth_code"),
    "refund": ("syssn", "out_trade_no", "txamt", "txdtm"),
    "reversal": ("txamt", "txdtm"),
    "close": (),
    "query": (),
}
BARCODE_TYPES: Final = {each.code for each in BARCODE}
Action: TypeAlias = Literal["pay", "refund"]


@dataclass(frozen=True, slots=True)
class Order:
    """What the command is asked to do: pay or refund this number, of this amount in minor units."""

    action: Action
    number: str
    amount: str
    auth_code: str = ""

    @property
    def call(self) -> str:
        return "payment" if self.action == "pay" else "refund"


@dataclass(frozen=True, slots=True)
class Row:
    """The transaction in a query. An `amount` or `number` replaces the order's; `is_absent` is an empty list."""

    respcd: str
    amount: str = ""
    number: str = ""
    is_absent: bool = False
    is_signed: bool = True


#: How the first payment or refund is answered, from its parameters.
First: TypeAlias = "Callable[[ScriptedServer, Mapping[str, str]], Reply]"


@dataclass(slots=True)
class ScriptedServer:
    """Queries take the next of `rows`; the last one stays. `faults` are mistakes of the client, in words."""

    credentials: Credentials
    order: Order
    first: First
    rows: deque[Row]
    calls: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    signature_faults: list[str] = field(default_factory=list)
    form_faults: list[str] = field(default_factory=list)
    has_shown_success: bool = False
    is_undone: bool = False
    is_lost: bool = False  #: the first call got no response

    def __call__(self, request: Received) -> Reply:
        name = urlsplit(request.target).path.removeprefix("/trade/v1/")
        params = read_params(request)
        if name not in CALLS or (request.method != "POST" and name != "query"):
            self.form_faults.append(f"{request.method} {urlsplit(request.target).path}")
            return Reply(404)
        if not self._is_signed(request, params):
            self.signature_faults.append(f"{name}: the signature is missing or wrong")
            return self.unsigned({"respcd": "1108", "respmsg": "signature", "resperr": ""})
        self._check_form(name, params)
        self.calls.append(name)
        match name:
            case "query":
                return self._query(params)
            case "reversal" | "close":
                return self._undo(params)
            case _:
                return self._money_call(name, params)

    # ---- calls ---------------------------------------------------------------------------------------------

    def _money_call(self, name: str, params: Mapping[str, str]) -> Reply:
        if name != self.order.call:
            self.faults.append(f"a {name}, which it was not asked for")
        elif params.get("out_trade_no") != self.order.number:
            self.faults.append(f"a {name} under another out_trade_no")
        elif self.calls.count(name) == 1:
            return self._first(params)
        return self._repeat(params)

    def _first(self, params: Mapping[str, str]) -> Reply:
        reply = self.first(self, params)
        self.is_lost = reply.is_cut
        return reply

    def _repeat(self, params: Mapping[str, str]) -> Reply:
        """The first call's state. Without a row, a lost call succeeds now, and a refused one is refused again."""
        row = self.rows[0]
        if not row.is_absent:
            return self.answer(params, row.respcd)
        return self.answer(params, OK) if self.is_lost else self.first(self, params)

    def _query(self, params: Mapping[str, str]) -> Reply:
        wanted = [*params.get("syssn", "").split(","), *params.get("out_trade_no", "").split(",")]
        numbers = [number for number in wanted if number]
        is_about_it = not numbers or SYSSN in numbers or self.order.number in numbers
        rows = [self._payment_row()] if PAID_SYSSN in numbers and self.order.action == "refund" else []
        is_signed = True
        if is_about_it:
            row = self.rows.popleft() if len(self.rows) > 1 else self.rows[0]
            is_signed = row.is_signed
            rows += [] if row.is_absent else [self._row(row)]
        else:
            self.calls[-1] = "query of another number"
        page = {"respcd": OK, "respmsg": "", "resperr": "", "data": rows, "page": 1, "page_size": 10}
        return self.signed(page) if is_signed else self.unsigned(page)

    def _undo(self, params: Mapping[str, str]) -> Reply:
        self.is_undone = True
        self.rows = deque([Row("1142")])
        return self.answer(params, OK) if self.order.action == "pay" else self.answer(params, "1124")

    def _row(self, row: Row) -> dict[str, str]:
        if row.is_signed and not row.amount and not row.number and row.respcd == OK:
            self.has_shown_success = True
        return {
            **self._payment_row(),
            "order_type": "payment" if self.order.action == "pay" else "refund",
            "syssn": SYSSN if not row.number else SYSSN.replace("101", "999"),
            "out_trade_no": row.number or self.order.number,
            "txamt": row.amount or self.order.amount,
            "respcd": row.respcd,
            **({"origssn": PAID_SYSSN} if self.order.action == "refund" else {}),
        }

    def _payment_row(self) -> dict[str, str]:
        now = datetime.now(UTC8).strftime(MOMENT)
        return {
            "order_type": "payment",
            "pay_type": "800208",
            "syssn": PAID_SYSSN,
            "out_trade_no": "kit-paid",
            "txamt": "100000",
            "txcurrcd": "HKD",
            "txdtm": now,
            "sysdtm": now,
            "paydtm": now,
            "chnlsn": "",
            "cardcd": "",
            "cancel": "0",
            "respcd": OK,
            "errmsg": "交易成功",
        }

    # ---- responses -----------------------------------------------------------------------------------------

    def members(self, params: Mapping[str, str], respcd: str) -> dict[str, str]:
        """The members of a response to a payment or a refund."""
        now = datetime.now(UTC8).strftime(MOMENT)
        members = {
            "respcd": respcd,
            "respmsg": "ok" if respcd == OK else "",
            "resperr": "" if respcd == OK else f"交易失败，请联系客服({respcd})",
            "out_trade_no": params.get("out_trade_no", ""),
            "syssn": SYSSN,
            "txamt": params.get("txamt", ""),
            "txcurrcd": "HKD",
            "txdtm": params.get("txdtm", now),
            "sysdtm": now,
            "cardcd": "",
        }
        if self.order.action == "refund":
            return members | {"orig_syssn": PAID_SYSSN, "origssn": PAID_SYSSN}
        return members | {"pay_type": params.get("pay_type", "")}

    def answer(self, params: Mapping[str, str], respcd: str) -> Reply:
        """A correct response."""
        self.has_shown_success |= respcd == OK
        return self.signed(self.members(params, respcd))

    def signed(self, members: Mapping[str, object]) -> Reply:
        body = json.dumps(dict(members)).encode()
        return Reply(200, body, JSON_TYPE | {SIGN_HEADER: digest(body, self.credentials.key)})

    def unsigned(self, members: Mapping[str, object]) -> Reply:
        return Reply(200, json.dumps(dict(members)).encode(), JSON_TYPE)

    # ---- the client's requests -----------------------------------------------------------------------------

    def _is_signed(self, request: Received, params: Mapping[str, str]) -> bool:
        sign = request.headers.get(SIGN_HEADER.lower(), "")
        named = request.headers.get("x-qf-signtype", "").upper()
        algorithm: Algorithm = "SHA256" if named == "SHA256" or (not named and len(sign) == 64) else "MD5"
        filled = {name: value for name, value in params.items() if value}
        texts = [signed_text(params), signed_text(filled)]
        is_app = request.headers.get("x-qf-appcode") == self.credentials.appcode
        return is_app and any(
            is_signature(sign, text.encode(), self.credentials.key, algorithm) for text in texts
        )

    def _check_form(self, name: str, params: Mapping[str, str]) -> None:
        """Notes what the request lacks, or what it has against the arguments of the command."""
        for required in REQUIRED[name]:
            if not params.get(required):
                self.form_faults.append(f"{name} without {required}")
        if params.get("mchid", self.credentials.mchid) != self.credentials.mchid:
            self.form_faults.append(f"{name} with another mchid")
        if "txdtm" in params and not _is_moment(params["txdtm"]):
            self.form_faults.append(f"{name} with a txdtm that is not YYYY-MM-DD HH:MM:SS")
        if name == self.order.call and params.get("txamt") != self.order.amount:
            self.form_faults.append(f"{name} of another amount: txamt {params.get('txamt')}")
        if name == "payment" and params.get("auth_code") != self.order.auth_code:
            self.form_faults.append("payment with another auth_code")
        if name == "payment" and params.get("pay_type") not in BARCODE_TYPES:
            self.form_faults.append(f"payment with pay_type {params.get('pay_type')}, which has no barcode")
        if name == "refund" and params.get("syssn") != PAID_SYSSN:
            self.form_faults.append("refund of another syssn")


JSON_TYPE: Final[dict[str, str]] = {"Content-Type": "application/json; charset=UTF-8"}


def read_params(request: Received) -> dict[str, str]:
    """The parameters of query string and form."""
    query = urlsplit(request.target).query
    text = request.body.decode("utf-8", "replace")
    return dict(parse_qsl(query, keep_blank_values=True) + parse_qsl(text, keep_blank_values=True))


def _is_moment(text: str) -> bool:
    try:
        datetime.strptime(text, MOMENT)
    except ValueError:
        return False
    return True
