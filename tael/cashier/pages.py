"""The routes of all cashier pages."""

from starlette.routing import BaseRoute

from tael.cashier import checkout, payment, returns
from tael.payments.gateway import Gateway


def routes(gateway: Gateway) -> list[BaseRoute]:
    return [*payment.routes(gateway), *returns.routes(gateway), *checkout.routes(gateway)]
