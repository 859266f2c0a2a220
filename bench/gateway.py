"""An API process of a measurement: `python -m bench.gateway FD [DELAY_MS]`, with settings as `tael serve` has them.

With DELAY_MS the wallet is answered at the transport port after so many milliseconds, without a connection; the adapter
is the real one. Without it, the process is that of `tael serve`.
"""

import socket
import sys
from functools import partial
from typing import Final

import uvicorn
import uvloop

from bench.wallet import StubTransport
from tael.base.logs import configure_logs
from tael.base.transport import Transport
from tael.channels.protocols import ChannelEnvironment
from tael.channels.registry import installed_protocols
from tael.cli.memory import collect_rarely, use_huge_pages
from tael.cli.serving import GRACE_S, listener_config, serve
from tael.config import Settings, read_settings
from tael.incidents.store.incidents import Incidents
from tael.payments.verification import AnswerChecks
from tael.services import ServiceSettings, clock_of, services_in, shared_over
from tael.stores import limits_of, open_stores

WECHAT: Final = "wechat_v2"


async def serve_with_stub(settings: Settings, listener: socket.socket, delay_s: float) -> None:
    clock = clock_of(settings)
    async with open_stores(settings, limits_of(settings)) as stores, Transport() as to_merchants:

        async def incidents_of(mchid: str) -> Incidents:
            return (await stores.of_merchant(mchid)).incidents

        environment = ChannelEnvironment(
            StubTransport(delay_s=delay_s),
            clock,
            AnswerChecks(incidents_of, clock).note,
            {"wechat": settings.wechat_url, "wechat_authorize": "", "wechat_api": settings.wechat_api_url},
            settings.wechat_ca_pem,
            settings.server_ip,
        )
        channels = {WECHAT: installed_protocols().named(WECHAT).open_channel(environment)}
        shared = shared_over(stores.first, channels, to_merchants, clock, ServiceSettings.of(settings))
        services = stores.of_cell.map(partial(services_in, shared=shared, stores=stores.of_cell))
        config = listener_config(services, settings.http, GRACE_S)
        collect_rarely()
        use_huge_pages()
        await uvicorn.Server(config).serve(sockets=[listener])


def main() -> None:
    settings = read_settings()
    listener = socket.socket(fileno=int(sys.argv[1]))
    if len(sys.argv) > 2:
        configure_logs()
        uvloop.run(serve_with_stub(settings, listener, int(sys.argv[2]) / 1000))
    else:
        serve(settings, listener)


if __name__ == "__main__":
    main()
