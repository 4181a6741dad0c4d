"""`mill server`: the control plane alone, on a home that is there or one it makes."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import unquote, urlsplit

import typer

from millwright.cli.processes import (
    CONTROL_PORT,
    LOOPBACK,
    MAX_PORT,
    WITH_PARENT,
    RunFile,
    announced,
    end_with_parent,
    listen,
    stop_on_signals,
)
from millwright.cli.session import session
from millwright.cli.verbs import single
from millwright.core.errors import Conflict, Denied, Invalid
from millwright.workspace.config import Config

if TYPE_CHECKING:
    from millwright.workspace.open import Home

NAME = "server"

app = single()


@app.command(
    help="Run the control plane: the API under /api/v1, MLflow's under /api/2.0, the page at /. "
    "A home that --home names and that is not there yet is made."
)
def server(
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = LOOPBACK,
    port: Annotated[
        int,
        typer.Option("--port", min=0, max=MAX_PORT, help="Port; the next free one if busy."),
    ] = CONTROL_PORT,
    is_open: Annotated[
        bool,
        typer.Option("--open", help="Let this machine in without a token; loopback only."),
    ] = False,
    artifacts: Annotated[
        str | None,
        typer.Option(
            "--artifacts",
            metavar="URL",
            help="Folder for artifacts, or file:// URL; by default in the home.",
        ),
    ] = None,
    with_parent: Annotated[bool, typer.Option(WITH_PARENT, hidden=True)] = False,
) -> None:
    """Run until SIGTERM or Ctrl-C."""
    if with_parent:
        end_with_parent()
    here = session()
    config = here.config()
    folder = None if artifacts is None else parse_artifacts(artifacts)
    named = here.given.home is not None or bool(here.environment.get("MILLWRIGHT_HOME"))
    run_server(config, host=host, port=port, is_open=is_open, may_create=named, artifacts=folder)


def run_server(
    config: Config,
    *,
    host: str,
    port: int,
    is_open: bool,
    may_create: bool = False,
    artifacts: Path | None = None,
) -> None:
    """Serve the home on `host` until SIGTERM; the next free port is taken and named.

    `is_open` lets requests from this machine in without a token. With `may_create` a home is made
    in a folder that is empty or missing. Raises Invalid when it would be open to other machines.
    """
    from millwright.core.clock import SystemClock
    from millwright.server.auth import check_bind
    from millwright.server.process import make_server
    from millwright.workspace.delivering import make_deliverer
    from millwright.workspace.open import RUN_FOLDER

    check_bind(host, authenticated=not is_open)
    home = _open(config, may_create=may_create, artifacts=artifacts)
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
        with announced(config.home / RUN_FOLDER, entry), make_deliverer(home):
            # uvicorn hands a signal on when it has drained; without this it would end us there.
            stop_on_signals(threading.Event())
            sys.stderr.write(f"control plane: http://{host}:{chosen}\n")
            server.run(sockets=[listener])
    finally:
        home.close()


def parse_artifacts(address: str) -> Path:
    """Return the folder that `--artifacts` names; raises Invalid for a store elsewhere."""
    parts = urlsplit(address)
    # One letter is a drive.
    if not parts.scheme or (len(parts.scheme) == 1 and os.name == "nt"):
        return Path(address).absolute()
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path:
        return Path(unquote(parts.path)).absolute()
    raise Invalid(
        f"artifacts cannot be kept at {address} yet",
        why="this version keeps them in a folder",
        fix="name a folder, or a file:// URL",
    )


def _open(config: Config, *, may_create: bool, artifacts: Path | None) -> Home:
    from millwright.workspace.open import Home

    is_new = may_create and _may_be_made(config.home)
    if artifacts is not None:
        place_artifacts(config.home, artifacts, is_new=is_new)
    opening = Home.create if is_new else Home.open
    return opening(
        config.home,
        database=config.database,
        policy=config.policy,
        webhook_origins=config.webhook_origins,
        limits=config.limits,
    )


def place_artifacts(home: Path, folder: Path, *, is_new: bool) -> None:
    """Have a home keep its artifacts in `folder`.

    Where a home keeps them is settled when it is made: a link stands in the place of its own
    folder, so that every command finds them. Raises Conflict for one that keeps them elsewhere,
    and Denied for a folder that cannot be made.
    """
    from millwright.workspace.tracking_rooms import ARTIFACTS_FOLDER

    link = home / ARTIFACTS_FOLDER
    if link.is_symlink() or link.exists() or not is_new:
        if link.resolve() == folder.resolve():
            return
        raise Conflict(
            f"the home {home} keeps its artifacts in {link.resolve()}, not in {folder}",
            why="where they lie is settled when a home is made",
            fix="leave --artifacts out, or name a new home",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        link.symlink_to(folder, target_is_directory=True)
    except OSError as error:
        raise Denied(
            f"artifacts cannot be kept in {folder}",
            why=error.strerror or str(error),
            fix="name a folder you may write to",
        ) from error


def _may_be_made(home: Path) -> bool:
    """Tell whether nothing but what `Home.create` itself makes lies there."""
    from millwright.workspace.open import DATABASE_FILE, IGNORE_FILE, KEYS_FOLDER, RUN_FOLDER
    from millwright.workspace.tracking_rooms import ARTIFACTS_FOLDER

    if not home.is_dir():
        return not home.exists()
    # A server that was killed while it made its home makes it to the end when it is started again.
    ours = {ARTIFACTS_FOLDER, IGNORE_FILE, KEYS_FOLDER, RUN_FOLDER}
    return all(one.name in ours or one.name.startswith(DATABASE_FILE) for one in home.iterdir())
