"""`mill server`: the control plane alone."""

from __future__ import annotations

import os
import sys
import threading
from typing import Annotated

import typer

from millwright.cli.processes import (
    CONTROL_PORT,
    LOOPBACK,
    WITH_PARENT,
    RunFile,
    announced,
    end_with_parent,
    listen,
    stop_on_signals,
)
from millwright.cli.session import session
from millwright.cli.verbs import single
from millwright.workspace.config import Config

NAME = "server"

app = single()


@app.command(help="Run the control plane: the API under /api/v1 and the page at /.")
def server(
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = LOOPBACK,
    port: Annotated[int, typer.Option("--port", help="Port; the next free one if busy.")] = (
        CONTROL_PORT
    ),
    is_open: Annotated[
        bool,
        typer.Option("--open", help="Let this machine in without a token; loopback only."),
    ] = False,
    with_parent: Annotated[bool, typer.Option(WITH_PARENT, hidden=True)] = False,
) -> None:
    """Run until SIGTERM or Ctrl-C."""
    if with_parent:
        end_with_parent()
    run_server(session().config(), host=host, port=port, is_open=is_open)


def run_server(config: Config, *, host: str, port: int, is_open: bool) -> None:
    """Serve the home on `host` until SIGTERM; the next free port is taken and named.

    `is_open` lets requests from this machine in without a token. Raises Invalid when it would
    be open to other machines.
    """
    from millwright.core.clock import SystemClock
    from millwright.server.auth import check_bind
    from millwright.server.process import make_server
    from millwright.workspace.open import RUN_FOLDER, Home

    check_bind(host, authenticated=not is_open)
    home = Home.open(config.home, database=config.database, policy=config.policy)
    try:
        listener = listen(host, port)
        chosen: int = listener.getsockname()[1]
        if chosen != port:
            sys.stderr.write(f"port {port} is busy; taking {chosen}\n")
        clock = SystemClock()
        server = make_server(home, clock=clock, address=host, port=chosen, open_on_loopback=is_open)
        entry = RunFile(
            name=NAME, pid=os.getpid(), started_us=clock.now_us(), host=host, port=chosen
        )
        with announced(config.home / RUN_FOLDER, entry):
            # uvicorn hands a signal on when it has drained; without this it would end us there.
            stop_on_signals(threading.Event())
            sys.stderr.write(f"control plane: http://{host}:{chosen}\n")
            server.run(sockets=[listener])
    finally:
        home.close()
