"""/settlement/v1: what the wallets have paid out to a merchant, by their statements of settlements."""

from functools import partial

from tael.api.exchange import Endpoint
from tael.api.pipeline import QUERY
from tael.qfpay.answers import Members
from tael.qfpay.requests import AuthenticatedRequest
from tael.qfpay.settlements import MAX_SETTLEMENTS, read_settlement_query, settlements_answer
from tael.statements.store.settlements import Settlements


async def query(request: AuthenticatedRequest, settlements: Settlements) -> Members:
    asked = read_settlement_query(request)
    account_ids = [account.account_id for account in asked.accounts]
    found = await settlements.between(asked.mchid, account_ids, asked.first, asked.last, MAX_SETTLEMENTS + 1)
    return settlements_answer(found, asked.accounts)


def calls(settlements: Settlements) -> tuple[Endpoint[AuthenticatedRequest], ...]:
    handler = partial(query, settlements=settlements)
    return (Endpoint("/settlement/v1/query", ("GET",), "settlements", "settlements", handler, QUERY),)
