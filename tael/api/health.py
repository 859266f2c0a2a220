"""/healthz: this process lives. /readyz: it can serve. /metrics: what Prometheus reads."""

from functools import partial
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tael.service.gateway import Gateway
from tael.store.database import StoreUnavailable

READY: Final = Gauge("tael_ready", "1 while the database answers, else 0")


def routes(gateway: Gateway) -> list[BaseRoute]:
    return [
        Route("/healthz", _healthz, methods=["GET"]),
        Route("/readyz", partial(_readyz, gateway=gateway), methods=["GET"]),
        Route("/metrics", partial(_metrics, gateway=gateway), methods=["GET"]),
    ]


async def _healthz(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _readyz(_: Request, gateway: Gateway) -> Response:
    if await _is_ready(gateway):
        return JSONResponse({"status": "ready"})
    return JSONResponse({"status": "the database does not answer"}, 503)


async def _metrics(_: Request, gateway: Gateway) -> Response:
    READY.set(1 if await _is_ready(gateway) else 0)
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _is_ready(gateway: Gateway) -> bool:
    try:
        await gateway.store.database.fetch("SELECT 1 FROM app LIMIT 1")
    except StoreUnavailable:
        return False
    return True
