"""Millwright: one coherent system for the whole life of a model.

    import millwright as mw

Every name here is loaded when it is first used; importing this package imports nothing else.
It is the face shown to users: no module of ours imports from it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from millwright.client.services import Client
    from millwright.core.errors import MillwrightError
    from millwright.core.version import __version__
    from millwright.pipelines.context import StepContext
    from millwright.pipelines.graph import pipeline
    from millwright.pipelines.step import step
    from millwright.sdk.active import (
        active_run,
        end_run,
        log_artifact,
        log_metric,
        log_metrics,
        log_param,
        log_params,
        set_tag,
        set_tags,
        start_run,
    )
    from millwright.sdk.models import load_model
    from millwright.workspace.open import Workspace

__all__ = [
    "Client",
    "MillwrightError",
    "StepContext",
    "Workspace",
    "__version__",
    "active_run",
    "end_run",
    "load_model",
    "log_artifact",
    "log_metric",
    "log_metrics",
    "log_param",
    "log_params",
    "pipeline",
    "set_tag",
    "set_tags",
    "start_run",
    "step",
]

_WHERE = {
    "Client": "millwright.client.services",
    "MillwrightError": "millwright.core.errors",
    "StepContext": "millwright.pipelines.context",
    "Workspace": "millwright.workspace.open",
    "__version__": "millwright.core.version",
    "active_run": "millwright.sdk.active",
    "end_run": "millwright.sdk.active",
    "load_model": "millwright.sdk.models",
    "log_artifact": "millwright.sdk.active",
    "log_metric": "millwright.sdk.active",
    "log_metrics": "millwright.sdk.active",
    "log_param": "millwright.sdk.active",
    "log_params": "millwright.sdk.active",
    "pipeline": "millwright.pipelines.graph",
    "set_tag": "millwright.sdk.active",
    "set_tags": "millwright.sdk.active",
    "start_run": "millwright.sdk.active",
    "step": "millwright.pipelines.step",
}


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(_WHERE[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
