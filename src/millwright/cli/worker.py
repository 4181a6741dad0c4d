"""`mill worker`: the automation worker alone."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import Annotated

import typer

from millwright.cli.processes import (
    LOOPBACK,
    WITH_PARENT,
    RunFile,
    announced,
    end_with_parent,
    stop_on_signals,
)
from millwright.cli.session import session
from millwright.cli.verbs import single
from millwright.workspace.config import Config

NAME = "worker"

app = single()


@app.command(help="Run an automation worker: rules, rollouts, monitors, jobs.")
def worker(
    with_parent: Annotated[bool, typer.Option(WITH_PARENT, hidden=True)] = False,
) -> None:
    """Run until SIGTERM or Ctrl-C; the job at hand is brought to its end."""
    if with_parent:
        end_with_parent()
    run_worker(session().config())


def run_worker(config: Config) -> None:
    """Follow the journal, take looks and work through jobs until SIGTERM."""
    from millwright.workspace.delivering import make_deliverer
    from millwright.workspace.loop import make_worker
    from millwright.workspace.open import RUN_FOLDER, Home

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    home = Home.open(
        config.home,
        database=config.database,
        policy=config.policy,
        webhook_origins=config.webhook_origins,
        limits=config.limits,
    )
    try:
        made = make_worker(home, config)
        stop = threading.Event()
        stop_on_signals(stop)
        name = f"{NAME}-{os.getpid()}"
        entry = RunFile(
            name=name,
            pid=os.getpid(),
            started_us=home.clock.now_us(),
            host=LOOPBACK,
            port=None,
        )
        with announced(config.home / RUN_FOLDER, entry), make_deliverer(home):
            sys.stderr.write("worker: following the journal\n")
            made.run(stop)
    finally:
        home.close()
