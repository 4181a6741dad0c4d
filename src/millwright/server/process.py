"""The control plane as a process: the application on uvicorn, refusing what would be unsafe."""

from __future__ import annotations

import uvicorn

from millwright.core.clock import Clock
from millwright.server.app import create_app
from millwright.server.auth import check_bind
from millwright.server.host import Host

DRAIN_S = 15
IDLE_S = 15


def make_server(
    host: Host, *, clock: Clock, address: str, port: int, open_on_loopback: bool = False
) -> uvicorn.Server:
    """Return a server to be `run()`, on the given port or on sockets handed to it.

    On SIGTERM or SIGINT it takes no new requests, ends those that wait, and finishes the others.
    Raises Invalid when it would be open to other machines without authentication.
    """
    check_bind(address, authenticated=not open_on_loopback)
    app = create_app(
        host,
        clock=clock,
        open_on_loopback=open_on_loopback,
        is_stopping=lambda: server.should_exit,
    )
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=address,
            port=port,
            ws="none",
            # What a proxy says of its client must not make a stranger look like this machine.
            proxy_headers=False,
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=True,
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=DRAIN_S,
        )
    )
    return server
