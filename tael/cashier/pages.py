"""The routes of all cashier pages."""

from starlette.routing import BaseRoute

from tael.cashier import checkout, consent, payment, returns
from tael.cashier.context import CashierContext


def routes(context: CashierContext) -> list[BaseRoute]:
    return [
        *payment.routes(context),
        *returns.routes(context),
        *checkout.routes(context),
        *consent.routes(context),
    ]
