"""The child process of `pipelines.run_apart`: one line of JSON in, one line of JSON out."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import msgspec

from millwright.core.errors import MillwrightError
from millwright.records.runs import Problem
from millwright.workspace import pipelines
from millwright.workspace.config import load_config
from millwright.workspace.open import Home, Workspace
from millwright.workspace.pipelines import Order, Outcome


def main() -> None:
    """Do what the line on standard input says; end at once when whoever sent it is gone."""
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # What user code prints goes where the worker's own words go; the answer has its own line.
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        outcome = _run(order)
    except MillwrightError as error:
        problem = Problem(code=error.code, what=error.what, why=error.why, fix=error.fix)
        outcome = Outcome(problem=problem)
    answer.write(msgspec.json.encode(outcome) + b"\n")
    answer.flush()


def _run(order: Order) -> Outcome:
    root = Path(order.place.root)
    config = load_config(environment={}, folder=root, home=Path(order.place.home))
    home = Home.open(config.home, database=order.place.database, policy=config.policy)
    try:
        session = home.session(
            home.principal(order.act.actor),
            order.place.project,
            request=order.act.request,
            cause=order.act.cause,
            reason=order.act.reason,
        )
        done = pipelines.run(
            Workspace(home, session),
            order.target,
            order.params,
            root=root,
            act=order.act,
            workers=order.workers,
        )
    finally:
        home.close()
    return Outcome(run=done.run, status=done.status)


def _end_with_parent() -> None:
    # Not through `sys.stdin`, whose lock the interpreter wants when it ends.
    while os.read(0, 4096):
        pass
    # Steps that run are lost with us, and run again when the job is taken up.
    os._exit(70)


if __name__ == "__main__":
    main()
