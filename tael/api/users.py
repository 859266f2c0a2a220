"""/user/v1: what an app reads for a user who has permitted it. An access token takes the place of a signature."""

from functools import partial

from tael.api.exchange import Endpoint
from tael.api.pipeline import BEARER
from tael.oauth.domain.scopes import Scope
from tael.payments.context import PaymentContext
from tael.payments.queries import list_paid
from tael.qfpay.answers import Members
from tael.qfpay.users import UserRequest, baseinfo_answer, read_trade_list, tradelist_answer


async def baseinfo(request: UserRequest) -> Members:
    request.access.check_scope(Scope.BASEINFO)
    return baseinfo_answer(request.access.user)


async def tradelist(request: UserRequest, context: PaymentContext) -> Members:
    request.access.check_scope(Scope.TRADELIST)
    asked = read_trade_list(request, context.clock.now())
    return tradelist_answer(await list_paid(asked, context), asked.page, asked.page_size)


def calls(context: PaymentContext) -> tuple[Endpoint[UserRequest], ...]:
    get = ("GET",)
    return (
        Endpoint("/user/v1/baseinfo", get, "baseinfo", "baseinfo", baseinfo, BEARER),
        Endpoint(
            "/user/v1/tradelist", get, "tradelist", "tradelist", partial(tradelist, context=context), BEARER
        ),
    )
