"""/mch/v1: sign-up of merchants, their documents and their state; /mch/v1/mcc: the merchant categories.

These calls are an app's: the merchant does not exist yet, or may not be approved.
"""

import asyncio
from functools import cache, partial
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tael.api.exchange import Endpoint
from tael.api.pipeline import APPLICATION, APPLICATION_QUERY
from tael.api.wire import answer
from tael.merchants.sign_up import SignUpContext, add_documents, merchant_of_app, sign_up
from tael.qfpay.answers import Members
from tael.qfpay.requests import AppRequest
from tael.qfpay.sign_up import (
    categories_answer,
    merchant_answer,
    read_application,
    read_mchid,
    read_merchant_query,
    read_scans,
    sign_up_answer,
    upload_answer,
)

#: QFPay's Chinese pages have the second.
CATEGORIES: Final = ("/mch/v1/mcc", "/tool/v1/mcc")


async def open_application(request: AppRequest, context: SignUpContext) -> Members:
    application = read_application(request)
    scans = await asyncio.to_thread(read_scans, request, required=False)
    return sign_up_answer(await sign_up(application, scans, request.context.app, request.origin, context))


async def upload(request: AppRequest, context: SignUpContext) -> Members:
    mchid = read_mchid(request)
    merchant, _ = await merchant_of_app(request.context.app.appcode, mchid, "", context)
    scans = await asyncio.to_thread(read_scans, request, required=True)
    await add_documents(merchant.mchid, scans, request.origin, context)
    return upload_answer()


async def query(request: AppRequest, context: SignUpContext) -> Members:
    mchid, username = read_merchant_query(request)
    return merchant_answer(*await merchant_of_app(request.context.app.appcode, mchid, username, context))


def calls(context: SignUpContext) -> tuple[Endpoint[AppRequest], ...]:
    post, get = ("POST",), ("POST", "GET")
    return (
        Endpoint(
            "/mch/v1/signup",
            post,
            "signup",
            "signup",
            partial(open_application, context=context),
            APPLICATION,
        ),
        Endpoint(
            "/mch/v1/uploadcert",
            post,
            "uploadcert",
            "uploadcert",
            partial(upload, context=context),
            APPLICATION,
        ),
        Endpoint(
            "/mch/v1/query", get, "merchant", "merchant", partial(query, context=context), APPLICATION_QUERY
        ),
    )


def routes() -> list[BaseRoute]:
    """The merchant categories, for anyone."""
    return [Route(path, _categories, methods=["GET"]) for path in CATEGORIES]


async def _categories(_: Request) -> Response:
    response = _categories_body()
    return Response(response.body, headers=dict(response.headers))


@cache
def _categories_body() -> Response:
    return answer(categories_answer(), None)
