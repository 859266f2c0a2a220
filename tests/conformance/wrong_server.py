"""The real gateway behind a transport that gives it one mistake at a time: `DEFECTS` names them.

Each defect takes a call and `Upstream`, which sends calls to the gateway and signs what is changed.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import httpx

Members = dict[str, Any]
MOMENT: Final = "%Y-%m-%d %H:%M:%S"
#: QFPay's documented example.
SETTLEMENT: Final[Members] = {
    "chnl_mch_id": "1315135101",
    "refund_amt": 0,
    "date_settlement": "2016-02-29",
    "paymethod": "微信",
    "date_start": "2016-02-23",
    "date_end": "2016-02-29",
    "currency": "HKD",
    "pay_amt": 433280000,
    "pay_net_amt": 433280000,
    "chnl_poundage_amt": 4309600,
    "settlement_amt": 428970400,
}
FORWARDED: Final = ("x-qf-appcode", "x-qf-sign", "x-qf-signtype", "content-type")


def digest(text: bytes, key: str) -> str:
    return hashlib.md5(text + key.encode()).hexdigest().upper()


@dataclass(slots=True)
class Call:
    name: str
    method: str
    params: dict[str, str]
    request: httpx.Request

    @property
    def sign(self) -> str:
        return str(self.request.headers.get("X-QF-SIGN", ""))


@dataclass(slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def members(self) -> Members:
        members: Members = json.loads(self.body)
        return members

    @property
    def respcd(self) -> str:
        return str(self.members.get("respcd"))


@dataclass(slots=True)
class Upstream:
    """The gateway, with the credentials of the app under test."""

    transport: httpx.BaseTransport
    appcode: str
    key: str
    mchid: str
    memory: dict[str, Any] = field(default_factory=dict)

    def forward(self, call: Call) -> Answer:
        """The request as it came."""
        return self._send(call.request)

    def send(self, call: Call, **changed: str | None) -> Answer:
        """The request with changed parameters, signed again."""
        params = {name: value for name, value in (call.params | changed).items() if value is not None}
        text = "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "sign")
        headers = {
            "X-QF-APPCODE": self.appcode,
            "X-QF-SIGN": digest(text.encode(), self.key),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        url = call.request.url.copy_with(query=None)
        return self._send(httpx.Request("POST", url, headers=headers, content=urlencode(params).encode()))

    def _send(self, request: httpx.Request) -> Answer:
        response = self.transport.handle_request(request)
        try:
            body = response.read()
        finally:
            response.close()
        names = ("content-type", "x-qf-sign")
        headers = {name: response.headers[name] for name in names if name in response.headers}
        return Answer(response.status_code, headers, body)

    def signed(self, answer: Answer, members: Mapping[str, Any], status: int | None = None) -> Answer:
        """The answer with other members, signed if it was."""
        body = json.dumps(dict(members)).encode()
        headers = dict(answer.headers)
        if "x-qf-sign" in headers:
            headers["x-qf-sign"] = digest(body, self.key)
        return Answer(status or answer.status, headers, body)


Defect = Callable[[Call, Upstream], Answer]


@dataclass(slots=True)
class WrongServer(httpx.BaseTransport):
    defect: Defect
    upstream: Upstream

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = request.read()
        name = request.url.path.removeprefix("/trade/v1/")
        pairs = parse_qsl(request.url.query.decode(), keep_blank_values=True)
        if not body.startswith(b"{"):
            pairs += parse_qsl(body.decode(), keep_blank_values=True)
        answer = self.defect(Call(name, request.method, dict(pairs), request), self.upstream)
        return httpx.Response(answer.status, headers=answer.headers, content=answer.body)


# ---- signatures ----------------------------------------------------------------------------------------------


def believes_any_signature(call: Call, upstream: Upstream) -> Answer:
    answer = upstream.forward(call)
    return (
        upstream.send(call) if call.sign and answer.respcd == "1108" and _is_own(call, upstream) else answer
    )


def believes_unsigned_requests(call: Call, upstream: Upstream) -> Answer:
    return upstream.forward(call) if call.sign else upstream.send(call)


def signs_without_the_key(call: Call, upstream: Upstream) -> Answer:
    """Accepts what is signed with an empty key."""
    text = "&".join(f"{name}={call.params[name]}" for name in sorted(call.params))
    return upstream.send(call) if call.sign == digest(text.encode(), "") else upstream.forward(call)


def ignores_unsigned_parameters(call: Call, upstream: Upstream) -> Answer:
    """Verifies without `page`, which the sender may not have signed."""
    rest = {name: value for name, value in call.params.items() if name != "page"}
    text = "&".join(f"{name}={rest[name]}" for name in sorted(rest))
    is_signed = "page" in call.params and call.sign == digest(text.encode(), upstream.key)
    return upstream.send(call) if is_signed else upstream.forward(call)


def needs_capitals(call: Call, upstream: Upstream) -> Answer:
    if call.sign != call.sign.upper():
        return _refusal(upstream, "1108")
    return upstream.forward(call)


def is_md5_only(call: Call, upstream: Upstream) -> Answer:
    return _refusal(upstream, "1108") if len(call.sign) == 64 else upstream.forward(call)


def takes_any_merchant(call: Call, upstream: Upstream) -> Answer:
    """Ignores an mchid that is not the app's."""
    is_foreign = call.params.get("mchid", upstream.mchid) != upstream.mchid
    answer = upstream.forward(call)
    return upstream.send(call, mchid=upstream.mchid) if is_foreign and answer.respcd == "1108" else answer


def _is_own(call: Call, upstream: Upstream) -> bool:
    """Sent by the app, for its merchant, with an algorithm that can verify."""
    is_app = call.request.headers.get("X-QF-APPCODE") == upstream.appcode
    return is_app and call.params.get("mchid") == upstream.mchid


def _refusal(upstream: Upstream, respcd: str) -> Answer:
    members = {"respcd": respcd, "respmsg": "refused", "resperr": "refused"}
    return Answer(200, {"content-type": "application/json"}, json.dumps(members).encode())


# ---- responses -----------------------------------------------------------------------------------------------


def signs_nothing(call: Call, upstream: Upstream) -> Answer:
    answer = upstream.forward(call)
    answer.headers.pop("x-qf-sign", None)
    return answer


def signs_other_bytes(call: Call, upstream: Upstream) -> Answer:
    """Signs the JSON sorted and without blanks, and sends it as it was."""
    answer = upstream.forward(call)
    if "x-qf-sign" in answer.headers:
        text = json.dumps(answer.members, sort_keys=True, separators=(",", ":"))
        answer.headers["x-qf-sign"] = digest(text.encode(), upstream.key)
    return answer


def signs_every_response(call: Call, upstream: Upstream) -> Answer:
    answer = upstream.forward(call)
    answer.headers["x-qf-sign"] = digest(answer.body, upstream.key)
    return answer


def refuses_with_http_400(call: Call, upstream: Upstream) -> Answer:
    answer = upstream.forward(call)
    is_verified = "x-qf-sign" in answer.headers
    if is_verified and call.name == "payment" and answer.respcd == "1104":
        answer.status = 400
    return answer


def sends_numbers(call: Call, upstream: Upstream) -> Answer:
    answer = upstream.forward(call)
    members = answer.members
    if call.name != "payment" or "txamt" not in members:
        return answer
    return upstream.signed(answer, members | {"txamt": int(members["txamt"])})


def sends_page_as_text(call: Call, upstream: Upstream) -> Answer:
    answer = upstream.forward(call)
    members = answer.members
    return upstream.signed(answer, members | {"page": str(members["page"])}) if "page" in members else answer


def hides_resperr(call: Call, upstream: Upstream) -> Answer:
    answer = upstream.forward(call)
    members = answer.members
    if answer.respcd == "0000" or call.name != "payment":
        return answer
    del members["resperr"]
    return upstream.signed(answer, members)


# ---- fields --------------------------------------------------------------------------------------------------


def has_a_wrong_code_for_a_missing_field(call: Call, upstream: Upstream) -> Answer:
    answer = upstream.forward(call)
    if not str(answer.members.get("respmsg")).startswith("必传参数: txamt"):
        return answer
    return upstream.signed(answer, answer.members | {"respcd": "1103"})


def does_not_name_the_missing_field(call: Call, upstream: Upstream) -> Answer:
    answer = upstream.forward(call)
    if answer.members.get("respmsg") != "必传参数: auth_code":
        return answer
    return upstream.signed(answer, answer.members | {"respmsg": "必传参数"})


def accepts_a_short_valid_time(call: Call, upstream: Upstream) -> Answer:
    return (
        upstream.send(call, valid_time="300")
        if call.params.get("valid_time") == "299"
        else upstream.forward(call)
    )


def names_no_channel(call: Call, upstream: Upstream) -> Answer:
    """Another refusal than filter_error."""
    answer = upstream.forward(call)
    if answer.members.get("respmsg") != "filter_error":
        return answer
    return upstream.signed(answer, answer.members | {"respcd": "1119", "respmsg": "restricted"})


# ---- orders --------------------------------------------------------------------------------------------------


def accepts_a_number_twice(call: Call, upstream: Upstream) -> Answer:
    answer = upstream.forward(call)
    if call.name != "payment" or answer.respcd != "1102":
        return answer
    return upstream.send(call, out_trade_no=f"{call.params['out_trade_no']}-again")


def has_other_pay_data_each_time(call: Call, upstream: Upstream) -> Answer:
    answer = upstream.forward(call)
    members = answer.members
    if call.name != "payment" or "qrcode" not in members:
        return answer
    upstream.memory["count"] = upstream.memory.get("count", 0) + 1
    return upstream.signed(answer, members | {"qrcode": f"{members['qrcode']}{upstream.memory['count']}"})


def has_times_in_utc(call: Call, upstream: Upstream) -> Answer:
    answer = upstream.forward(call)
    members = answer.members
    rows = [row | {"sysdtm": _in_utc(row["sysdtm"])} for row in members.get("data", [])]
    changed = members | ({"data": rows} if rows else {})
    if "sysdtm" in members:
        changed["sysdtm"] = _in_utc(members["sysdtm"])
    return upstream.signed(answer, changed)


def _in_utc(text: str) -> str:
    return (datetime.strptime(text, MOMENT) - timedelta(hours=8)).strftime(MOMENT)


def has_no_cancel_in_rows(call: Call, upstream: Upstream) -> Answer:
    answer = upstream.forward(call)
    members = answer.members
    if not members.get("data"):
        return answer
    rows = [{name: value for name, value in row.items() if name != "cancel"} for row in members["data"]]
    return upstream.signed(answer, members | {"data": rows})


def ignores_pages(call: Call, upstream: Upstream) -> Answer:
    is_page = call.params.get("page") == "2" and "page_size" in call.params
    return upstream.send(call, page="1") if is_page else upstream.forward(call)


def refuses_get(call: Call, upstream: Upstream) -> Answer:
    return Answer(405, {}, b"") if call.method == "GET" and call.name == "query" else upstream.forward(call)


def shows_rows_of_others(call: Call, upstream: Upstream) -> Answer:
    answer = upstream.forward(call)
    foreign = upstream.memory["foreign"]
    if call.name != "query" or call.params.get("syssn") != foreign or answer.respcd != "0000":
        return answer
    return upstream.signed(answer, answer.members | {"data": [{"syssn": foreign, "respcd": "0000"}]})


def closes_without_a_number(call: Call, upstream: Upstream) -> Answer:
    """A close's response without the payment's number."""
    answer = upstream.forward(call)
    members = answer.members
    if call.name != "close" or "orig_syssn" not in members or answer.respcd != "0000":
        return answer
    del members["orig_syssn"]
    return upstream.signed(answer, members)


def closes_unknown_orders(call: Call, upstream: Upstream) -> Answer:
    answer = upstream.forward(call)
    if call.name != "close" or answer.respcd != "1136":
        return answer
    return upstream.signed(answer, answer.members | {"respcd": "0000"})


# ---- money ---------------------------------------------------------------------------------------------------


def closes_a_paid_order(call: Call, upstream: Upstream) -> Answer:
    answer = upstream.forward(call)
    if call.name != "close" or answer.respcd != "1124":
        return answer
    return upstream.signed(answer, answer.members | {"respcd": "0000"})


def accepts_an_over_refund(call: Call, upstream: Upstream) -> Answer:
    answer = upstream.forward(call)
    if answer.respcd != "1272":
        return answer
    return upstream.signed(answer, answer.members | {"respcd": "0000"})


def refunds_twice_under_one_number(call: Call, upstream: Upstream) -> Answer:
    """Each repeated refund is another one."""
    seen = upstream.memory.setdefault("seen", {})
    number = call.params.get("out_trade_no", "")
    if call.name != "refund" or (number, call.params.get("txamt")) not in seen:
        seen[number, call.params.get("txamt")] = True
        return upstream.forward(call)
    upstream.memory["count"] = upstream.memory.get("count", 0) + 1
    return upstream.send(call, out_trade_no=f"{number}-{upstream.memory['count']}")


def reports_a_partial_refund_as_none(call: Call, upstream: Upstream) -> Answer:
    answer = upstream.forward(call)
    members = answer.members
    rows = members.get("data") or []
    if not any(row["cancel"] == "2" and row["respcd"] == "0000" for row in rows):
        return answer
    return upstream.signed(answer, members | {"data": [row | {"cancel": "0"} for row in rows]})


def refunds_more_when_nothing_is_left(call: Call, upstream: Upstream) -> Answer:
    answer = upstream.forward(call)
    if call.name != "refund" or answer.respcd != "1125":
        return answer
    return upstream.signed(answer, answer.members | {"respcd": "0000"})


def lists_reversals(call: Call, upstream: Upstream) -> Answer:
    answer = upstream.forward(call)
    reversals = upstream.memory.setdefault("reversals", set())
    if call.name == "reversal":
        reversals.add(answer.members.get("syssn"))
    if call.name != "query" or call.params.get("syssn") not in reversals:
        return answer
    row = {"syssn": call.params["syssn"], "order_type": "reversal"}
    return upstream.signed(answer, answer.members | {"data": [row]})


def refuses_to_reverse_paid_payments(call: Call, upstream: Upstream) -> Answer:
    """Sends another amount instead, which the gateway refuses."""
    if call.name != "reversal":
        return upstream.forward(call)
    answer = upstream.send(call, txamt="1")
    if answer.respcd != "1126" or call.params["txamt"] != str(upstream.memory["amount"]):
        return answer
    return upstream.signed(answer, answer.members | {"respcd": "1124"})


# ---- settlements ---------------------------------------------------------------------------------------------


def _with_settlements(call: Call, upstream: Upstream, **changed: object) -> Answer:
    """The documented example for each wallet, with these members."""
    answer = upstream.forward(call)
    if not call.name.startswith("/settlement/") or answer.respcd != "0000":
        return answer
    wallets = {"2": ["支付宝"], "3": ["微信"]}.get(call.params.get("paymethod", ""), ["支付宝", "微信"])
    data = [SETTLEMENT | {"paymethod": wallet} | changed for wallet in wallets]
    return upstream.signed(answer, answer.members | {"data": data})


def settles_the_gross_amount(call: Call, upstream: Upstream) -> Answer:
    return _with_settlements(call, upstream, settlement_amt=433280000)


def has_amounts_as_text(call: Call, upstream: Upstream) -> Answer:
    return _with_settlements(call, upstream, refund_amt="0")


def has_days_without_dashes(call: Call, upstream: Upstream) -> Answer:
    return _with_settlements(call, upstream, date_settlement="20160229")


def mixes_the_wallets(call: Call, upstream: Upstream) -> Answer:
    return _with_settlements(call, upstream, paymethod="微信")


def settles_any_range(call: Call, upstream: Upstream) -> Answer:
    answer = upstream.forward(call)
    is_refused = call.name.startswith("/settlement/") and answer.respcd == "1104"
    return upstream.signed(answer, answer.members | {"respcd": "0000", "data": []}) if is_refused else answer


DEFECTS: Final[tuple[Defect, ...]] = (
    believes_any_signature,
    believes_unsigned_requests,
    signs_without_the_key,
    ignores_unsigned_parameters,
    needs_capitals,
    is_md5_only,
    takes_any_merchant,
    signs_nothing,
    signs_other_bytes,
    signs_every_response,
    refuses_with_http_400,
    sends_numbers,
    sends_page_as_text,
    hides_resperr,
    has_a_wrong_code_for_a_missing_field,
    does_not_name_the_missing_field,
    accepts_a_short_valid_time,
    names_no_channel,
    accepts_a_number_twice,
    has_other_pay_data_each_time,
    has_times_in_utc,
    has_no_cancel_in_rows,
    ignores_pages,
    refuses_get,
    shows_rows_of_others,
    closes_without_a_number,
    closes_unknown_orders,
    settles_the_gross_amount,
    has_amounts_as_text,
    has_days_without_dashes,
    mixes_the_wallets,
    settles_any_range,
)
MONEY_DEFECTS: Final[tuple[Defect, ...]] = (
    closes_a_paid_order,
    accepts_an_over_refund,
    refunds_twice_under_one_number,
    reports_a_partial_refund_as_none,
    refunds_more_when_nothing_is_left,
    lists_reversals,
    refuses_to_reverse_paid_payments,
)
