"""Which nouns there are: a table, so that an overview imports none of them."""

from __future__ import annotations

from importlib import import_module, util
from typing import TYPE_CHECKING

from millwright.core.errors import Invalid, Unsupported

if TYPE_CHECKING:
    import typer

NOUNS: dict[str, dict[str, str]] = {
    "Begin": {
        "init": "make a project in a folder: its settings and its home",
        "demo": "run the whole loop on real data",
        "up": "run everything on this machine: control plane, serving, worker",
        "status": "the project at a glance",
        "doctor": "check that the home is sound",
    },
    "Data and runs": {
        "data": "datasets and their versions",
        "run": "run a pipeline",
        "runs": "what was executed, with what result",
        "experiment": "named sets of runs",
        "import": "runs and models from TensorBoard, W&B and MLflow",
    },
    "Models": {
        "model": "models, their versions, aliases and approvals",
        "gate": "verdicts on model versions",
    },
    "In use": {
        "deploy": "models that answer requests, and how new ones are let in",
        "predict": "ask a deployed model",
        "labels": "what turned out to be true",
        "monitor": "watchers of deployments",
        "alert": "what monitors found",
        "rule": "what happens by itself",
        "webhook": "who elsewhere is told of what",
        "job": "durable work",
    },
    "Accountability": {
        "decision": "one decision: traced, proved, explained",
        "audit": "the journal: read, proved, verified",
    },
    "Access": {
        "user": "people and service accounts",
        "token": "credentials for the server",
        "project": "projects of the home",
        "whoami": "as whom you act",
    },
    "Processes": {
        "server": "the control plane alone",
        "serve": "a serving process alone",
        "worker": "an automation worker alone",
    },
    "This tool": {
        "config": "which settings hold, and where each comes from",
        "completion": "completion for your shell",
    },
}
"""Section -> noun -> what it is for; each noun is a module of this room with an `app`."""


def load_app(name: str) -> typer.Typer:
    """Return the Typer app of a noun; raises Invalid for one there is not."""
    known = [noun for names in NOUNS.values() for noun in names]
    if name not in known:
        from millwright.core.refs import did_you_mean

        raise Invalid(
            f"mill has no noun {name!r}",
            why=f"there are: {', '.join(known)}",
            fix=did_you_mean(name, known) or "see mill --help",
        )
    module = f"millwright.cli.{name}"
    if util.find_spec(module) is None:
        raise Unsupported(
            f"mill {name} is missing from this installation",
            why=f"it has no module {module}",
            fix="install Millwright again",
        )
    return import_module(module).app
