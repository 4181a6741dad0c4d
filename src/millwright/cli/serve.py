"""`mill serve`: the serving process alone; it follows a control plane and needs no database."""

from __future__ import annotations

import ipaddress
import os
import sys
import time
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from millwright.cli.processes import (
    CONTROL_PORT,
    LOOPBACK,
    MAX_PORT,
    SERVING_PORT,
    WITH_PARENT,
    RunFile,
    announced,
    end_with_parent,
)
from millwright.cli.session import session
from millwright.cli.verbs import single
from millwright.client.services import Client
from millwright.core.digest import Digest
from millwright.core.errors import Invalid
from millwright.records.serving import Plans, SegmentHeader

NAME = "serve"

app = single()


@app.command(help="Answer requests for the deployments of a control plane.")
def serve(
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = LOOPBACK,
    port: Annotated[
        int,
        typer.Option("--port", min=0, max=MAX_PORT, help="Port; the next free one if busy."),
    ] = SERVING_PORT,
    open_to_network: Annotated[
        bool,
        typer.Option(
            "--open-to-network",
            help="Let other machines in at --host; nobody is asked who they are.",
        ),
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option("--state", help="This process's own folder; by default in the home."),
    ] = None,
    run_folder: Annotated[Path | None, typer.Option("--run-folder", hidden=True)] = None,
    with_parent: Annotated[bool, typer.Option(WITH_PARENT, hidden=True)] = False,
) -> None:
    """Run until SIGTERM or Ctrl-C, following the server that --url or the settings name."""
    if with_parent:
        end_with_parent()
    check_host(host, open_to_network=open_to_network)
    config = session().config()
    run_serving(
        url=config.url or f"http://{LOOPBACK}:{CONTROL_PORT}",
        token=config.token,
        project=config.project,
        host=host,
        port=port,
        state=state or config.home / "serving",
        run_folder=run_folder,
    )


def check_host(host: str, *, open_to_network: bool) -> None:
    """Return when predictions may be offered on `host`.

    Raises Invalid for another address than this machine's own loopback, unless that is wanted.
    """
    if open_to_network or _is_loopback(host):
        return
    raise Invalid(
        f"predictions are not offered on {host or 'every address'} unasked",
        why="there is no authentication on predictions yet: whoever reaches that address may "
        "ask for them, and fills the decision log",
        fix=f"listen on {LOOPBACK} behind a proxy that asks who calls, or add --open-to-network",
    )


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


class FromServer:
    """Fills `serving.follow.ControlPlane` with a client of the control plane's server."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def plans(self, *, after: int, wait_s: float) -> Plans:
        """Return all plans, waiting up to `wait_s` seconds for newer ones."""
        return self._client.serving.plans(after=after, wait_s=wait_s)

    def fetch_package(self, digest: Digest, folder: Path) -> None:
        """Write a model package to a new folder."""
        self._client.artifacts.fetch_folder(digest, folder)

    def put_file(self, path: Path) -> Digest:
        """Store a file."""
        return self._client.artifacts.put_file(path)

    def seal(self, header: SegmentHeader) -> None:
        """Anchor a sealed segment."""
        self._client.serving.seal(header=header)


def run_serving(
    *,
    url: str,
    token: str | None,
    project: str,
    host: str,
    port: int,
    state: Path,
    run_folder: Path | None,
) -> None:
    """Answer requests for the deployments of a project until SIGTERM.

    `state` is this process's own folder: plans, packages, and decisions not yet handed over.
    """
    from millwright.serving.process import serve as answer_requests

    state.mkdir(parents=True, exist_ok=True)
    started_us = time.time_ns() // 1000

    with ExitStack() as stack:
        client = stack.enter_context(Client(url, token, project))

        def say_ready(chosen: int) -> None:
            if chosen != port:
                sys.stderr.write(f"port {port} is busy; taking {chosen}\n")
            sys.stderr.write(f"serving: http://{host}:{chosen}/v2\n")
            if run_folder is not None:
                entry = RunFile(
                    name=NAME, pid=os.getpid(), started_us=started_us, host=host, port=chosen
                )
                stack.enter_context(announced(run_folder, entry))

        answer_requests(
            FromServer(client),
            host=host,
            port=port,
            state=state,
            instance=f"serve-{uuid.uuid4().hex[:12]}",
            ready=say_ready,
        )
