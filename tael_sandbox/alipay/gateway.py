"""`/gateway.do`: authenticates a request and dispatches it to the service that it names.

The checks run in Alipay's order: service, partner, contract, sign_type, signature, and then the service's own. Browsers
get pages, servers get XML.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.responses import PlainTextResponse, Response

from tael_sandbox.alipay import barcodes, files, online, order_strings, precreate, refunds
from tael_sandbox.alipay.cashier import PRODUCT_OF_SERVICE, is_payable, open_order
from tael_sandbox.alipay.messages import (
    TEXT_TYPE,
    XML_TYPE,
    Bare,
    Node,
    Refused,
    Request,
    Text,
    answer_xml,
    bare_xml,
    is_fit_for_xml,
    read_request,
    refusal_xml,
)
from tael_sandbox.alipay.notices import is_live
from tael_sandbox.alipay.order_strings import OrderString
from tael_sandbox.alipay.pages import cashier_page, error_page
from tael_sandbox.alipay.payment_inst import payers_for
from tael_sandbox.alipay.preconditions import Call, Preconditions
from tael_sandbox.alipay.signing import SIGN_TYPES
from tael_sandbox.alipay.unserved import NO_SERVICE, is_openapi, refuse_openapi
from tael_sandbox.profiles import current_profile
from tael_sandbox.shops import AlipayContract, Shop, Shops

ONLINE, OFFLINE = "online", "offline"
Answer = Node | Bare | Text


@dataclass(frozen=True, slots=True)
class Service:
    scenes: frozenset[str]  #: scenes whose contracts include the service
    run: Callable[[Call], Answer]


def _service(run: Callable[[Call], Answer], *scenes: str) -> Service:
    return Service(frozenset(scenes), run)


SERVICES: Final = {
    "alipay.acquire.overseas.spot.pay": _service(barcodes.pay_spot, OFFLINE),
    precreate.SERVICE: _service(precreate.precreate, OFFLINE),
    "alipay.acquire.overseas.query": _service(barcodes.query_spot, OFFLINE),
    "alipay.acquire.cancel": _service(barcodes.cancel, OFFLINE),
    "alipay.acquire.overseas.spot.refund": _service(refunds.refund_spot, OFFLINE),
    "single_trade_query": _service(online.query_trade, ONLINE),
    "close_trade": _service(online.close_trade, ONLINE),
    "forex_refund": _service(refunds.refund_forex, ONLINE),
    "alipay.acquire.refund.query": _service(refunds.query_refund, ONLINE, OFFLINE),
    files.COMPARE: _service(files.compare_file, ONLINE, OFFLINE),
    files.LIQUIDATION: _service(files.liquidation_file, ONLINE, OFFLINE),
    files.RATES: _service(files.rate_file, ONLINE, OFFLINE),
}
VERIFY_NOTICE: Final = "notify_verify"


class Gateway:
    """Alipay's gateway, with the contracts of all merchants."""

    def __init__(self, shops: Shops) -> None:
        self.use(shops)

    def use(self, shops: Shops) -> None:
        self._contracts = {contract.pid: (shop, contract) for shop in shops.shops for contract in shop.alipay}

    @property
    def contracts(self) -> list[AlipayContract]:
        return [contract for _shop, contract in self._contracts.values()]

    def payee(self, pid: str) -> str:
        return self._contracts[pid][0].name

    def answer(self, preconditions: Preconditions, query: bytes, body: bytes) -> Response:
        """Runs in the transaction of `preconditions`. A refused request changes nothing."""
        try:
            request = read_request(query, body)
        except Refused as refused:
            return _xml(refusal_xml(refused.code))
        service = request.fields.get("service", "")
        if service == VERIFY_NOTICE:
            return verdict(self._verify_notice(preconditions, request))
        if service in PRODUCT_OF_SERVICE:
            return self._cashier(preconditions, request)
        if is_openapi(request.fields):
            return refuse_openapi(request.fields, preconditions.keys)
        try:
            call = self.admit(preconditions, request)
            result = SERVICES[service].run(call)
        except Refused as refused:
            return _xml(refusal_xml(refused.code, refused.named))
        if isinstance(result, Bare):
            return _xml(bare_xml())
        if isinstance(result, Text):
            return text_answer(result.content)
        sign = preconditions.keys.sign(call.pid, result.fields, call.sign_type, "utf-8")
        return _xml(answer_xml(request.fields, result, sign, call.sign_type))

    def answer_notify_query(self, preconditions: Preconditions, query: bytes) -> Response:
        """The older address of `notify_verify`, with the same responses, always in plain text."""
        try:
            return verdict(self._verify_notice(preconditions, read_request(query, b"")))
        except Refused:
            return verdict("invalid")

    def admit(self, preconditions: Preconditions, request: Request) -> Call:
        """Checks sender, contract and signature. Raises Refused."""
        service, sign_type = request.fields.get("service", ""), request.fields.get("sign_type", "")
        if service not in SERVICES and service not in PRODUCT_OF_SERVICE:
            raise Refused(NO_SERVICE, service)
        shop, contract = self._contract(request)
        scenes = frozenset({ONLINE}) if service in PRODUCT_OF_SERVICE else SERVICES[service].scenes
        if contract.scene not in scenes:
            raise Refused("ILLEGAL_PARTNER_EXTERFACE", service)
        if sign_type not in SIGN_TYPES:
            raise Refused("ILLEGAL_SIGN_TYPE")
        if not _is_signed_by(preconditions, contract, request):
            raise Refused("ILLEGAL_SIGN")
        _check_characters(request)
        return Call(preconditions, shop, contract, self.contracts, request, service, sign_type)

    def admit_order_string(self, preconditions: Preconditions, order: OrderString) -> Call:
        """The same checks for an order that the merchant's app passed to the wallet. Raises Refused."""
        service, sign_type = order.request.fields["service"], order.request.fields["sign_type"]
        if service != order_strings.SERVICE:
            raise Refused(NO_SERVICE, service)
        shop, contract = self._contract(order.request)
        if contract.scene != ONLINE:
            raise Refused("ILLEGAL_PARTNER_EXTERFACE", service)
        if sign_type != order_strings.SIGN_TYPE:
            raise Refused("ILLEGAL_SIGN_TYPE")
        if not preconditions.keys.is_text_signed_by(contract, order.signed_text, order.sign):
            raise Refused("ILLEGAL_SIGN")
        _check_characters(order.request)
        return Call(preconditions, shop, contract, self.contracts, order.request, service, sign_type)

    def _contract(self, request: Request) -> tuple[Shop, AlipayContract]:
        shop_and_contract = self._contracts.get(request.fields.get("partner", ""))
        if shop_and_contract is None:
            raise Refused("ILLEGAL_PARTNER")
        return shop_and_contract

    def _cashier(self, preconditions: Preconditions, request: Request) -> Response:
        try:
            trade = open_order(self.admit(preconditions, request))
            if not is_payable(trade, preconditions.now):
                raise Refused("TRADE_NOT_ALLOWED_PAY")
        except Refused as refused:
            return error_page(refused.code)
        return cashier_page(trade, self.payee(trade.pid), payers_for(preconditions.connection, trade))

    def _verify_notice(self, preconditions: Preconditions, request: Request) -> str:
        """A signature is optional, but a wrong one is refused."""
        notify_id = request.fields.get("notify_id", "")
        try:
            _shop, contract = self._contract(request)
        except Refused:
            return "invalid"
        sign_type = request.fields.get("sign_type", "")
        if "sign" in request.fields and not (
            sign_type in SIGN_TYPES and _is_signed_by(preconditions, contract, request)
        ):
            return "invalid"
        if not notify_id:
            return "invalid"
        return "true" if is_live(preconditions.connection, contract.pid, notify_id) else "false"


def _is_signed_by(preconditions: Preconditions, contract: AlipayContract, request: Request) -> bool:
    sign_type = request.fields.get("sign_type", "")
    is_strict = current_profile(preconditions.connection).is_strict
    return preconditions.keys.is_signed_by(
        contract, request.fields, sign_type, request.charset, is_strict=is_strict
    )


def _check_characters(request: Request) -> None:
    """Raises Refused."""
    if not all(is_fit_for_xml(name) and is_fit_for_xml(value) for name, value in request.fields.items()):
        raise Refused("ILLEGAL_ARGUMENT")


def verdict(text: str) -> Response:
    """`true`, `false` or `invalid`, without a newline: clients compare the whole body."""
    return PlainTextResponse(text)


def text_answer(content: str) -> Response:
    return Response(content.encode(), headers={"Content-Type": TEXT_TYPE})


def _xml(content: bytes) -> Response:
    # Set as a header: Starlette would append another charset parameter to a media type.
    return Response(content, headers={"Content-Type": XML_TYPE})
