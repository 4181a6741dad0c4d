"""`mill up`: control plane, serving and worker on one machine, under one supervisor."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Annotated

import typer

from millwright.cli.processes import (
    CONTROL_PORT,
    LOOPBACK,
    MAX_PORT,
    SERVING_PORT,
    Child,
    RunFile,
    read_running,
    stop_on_signals,
)
from millwright.cli.session import session
from millwright.cli.verbs import single
from millwright.core.errors import Conflict, Failed
from millwright.workspace.config import Config

LOG_FOLDER = "log"
STATE_FOLDER = "serving"
WATCH_S = 0.5
READY_S = 10.0

app = single()


@app.command(help="Run control plane, serving and worker on this machine.")
def up(
    port: Annotated[
        int, typer.Option("--port", min=0, max=MAX_PORT, help="Port of the control plane.")
    ] = CONTROL_PORT,
    serving_port: Annotated[
        int, typer.Option("--serving-port", min=0, max=MAX_PORT, help="Port for predictions.")
    ] = SERVING_PORT,
) -> None:
    """Run until Ctrl-C or SIGTERM, then drain."""
    config = session().config()
    with session().workspace(config):
        pass  # A home that cannot be opened is told before anything is started.
    run_up(config, port=port, serving_port=serving_port)


@dataclass(frozen=True, slots=True)
class Running:
    """The processes of one machine, all of them ready."""

    server: RunFile
    serving: RunFile
    worker: RunFile
    children: list[Child]

    @property
    def url(self) -> str:
        """Where the control plane answers."""
        return f"http://{self.server.host}:{self.server.port}"

    @property
    def serving_url(self) -> str:
        """Where predictions are to be had."""
        return f"http://{self.serving.host}:{self.serving.port}"


@contextmanager
def processes(
    config: Config, *, port: int, serving_port: int, keep: bool = False
) -> Generator[Running]:
    """Run the three processes while the block runs, and drain them at its end.

    With `keep` they go on when the block ends well; without it they end even when this process
    is killed.

    Serving first, so that what it captured is handed over while the control plane still
    answers; then the worker; then the control plane.
    """
    from millwright.workspace.open import RUN_FOLDER

    run_folder, logs = config.home / RUN_FOLDER, config.home / LOG_FOLDER
    logs.mkdir(parents=True, exist_ok=True)
    base = ["--home", str(config.home), "--project", config.project]
    started: list[Child] = []
    try:
        server = Child(
            "server",
            ["server", *base, "--host", LOOPBACK, "--port", str(port), "--open"],
            folder=config.root,
            log=logs / "server.log",
            outlives=keep,
        )
        started.append(server)
        control = server.wait_for(run_folder)
        url = f"http://{control.host}:{control.port}"
        serving = Child(
            "serve",
            [
                "serve",
                *("--url", url, "--project", config.project),
                *("--host", LOOPBACK, "--port", str(serving_port)),
                *("--state", str(config.home / STATE_FOLDER)),
                *("--run-folder", str(run_folder)),
            ],
            folder=config.root,
            log=logs / "serve.log",
            outlives=keep,
        )
        worker = Child(
            "worker",
            ["worker", *base],
            folder=config.root,
            log=logs / "worker.log",
            outlives=keep,
        )
        started += [serving, worker]
        running = Running(
            server=control,
            serving=serving.wait_for(run_folder),
            worker=worker.wait_for(run_folder),
            children=started,
        )
        wait_until_ready(running.serving)
        yield running
        if keep:
            started.clear()
    finally:
        for child in [*started[1:], *started[:1]]:
            child.stop()


def wait_until_ready(serving: RunFile) -> None:
    """Return once serving has its plans, or after ten seconds: until then it answers 503."""
    until_s = time.monotonic() + READY_S
    while time.monotonic() < until_s:
        with closing(HTTPConnection(serving.host, serving.port, timeout=READY_S)) as connection:
            try:
                connection.request("GET", "/v2/health/ready")
                if connection.getresponse().status == 200:
                    return
            except (OSError, HTTPException):
                pass  # It says so itself when it has died.
        time.sleep(0.02)


def run_up(config: Config, *, port: int, serving_port: int) -> None:
    """Run everything until SIGTERM or Ctrl-C.

    Ends with Failed when a process dies; raises Conflict when the home has such processes.
    """
    refuse_second(config)
    stop = threading.Event()
    stop_on_signals(stop)
    with processes(config, port=port, serving_port=serving_port) as running:
        for wanted, entry in ((port, running.server), (serving_port, running.serving)):
            if entry.port != wanted:
                sys.stderr.write(f"port {wanted} is busy; {entry.name} took {entry.port}\n")
        sys.stderr.write(
            f"control plane  {running.url}\n"
            f"serving        {running.serving_url}/v2\n"
            f"logs           {config.home / LOG_FOLDER}\n"
            "Ctrl-C drains and stops.\n"
        )
        while not stop.wait(WATCH_S):
            for child in running.children:
                if not child.is_alive():
                    raise Failed(
                        f"{child.name} has ended by itself",
                        why=child.last_words(),
                        fix=f"see {child.log}, then run `mill up` again",
                    )
    sys.stderr.write("stopped\n")


def refuse_second(config: Config) -> None:
    """Raise Conflict when a control plane or serving process of the home runs already."""
    from millwright.workspace.open import RUN_FOLDER

    found = [one for one in read_running(config.home / RUN_FOLDER) if one.port is not None]
    if found:
        raise Conflict(
            f"{config.home} runs already",
            why="; ".join(
                f"{one.name} (process {one.pid}) at http://{one.host}:{one.port}" for one in found
            ),
            fix="use what runs, or end it first",
        )
