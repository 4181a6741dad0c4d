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
    from millwright.sdk.active import ActiveRun
    from millwright.sdk.autolog import autolog
    from millwright.sdk.calls import (
        flush,
        log_artifact,
        log_artifacts,
        log_dataset,
        log_dict,
        log_figure,
        log_image,
        log_metric,
        log_metrics,
        log_model,
        log_param,
        log_params,
        log_table,
        log_text,
        set_tag,
        set_tags,
    )
    from millwright.sdk.connection import find_config
    from millwright.sdk.current import active_run, attach_run, end_run, start_run
    from millwright.sdk.losses import LoggingWarning
    from millwright.sdk.models import load_model
    from millwright.sdk.search import search_runs
    from millwright.sdk.syncing import sync_spool
    from millwright.workspace.open import Workspace

__all__ = [
    "ActiveRun",
    "Client",
    "LoggingWarning",
    "MillwrightError",
    "StepContext",
    "Workspace",
    "__version__",
    "active_run",
    "attach_run",
    "autolog",
    "end_run",
    "find_config",
    "flush",
    "load_model",
    "log_artifact",
    "log_artifacts",
    "log_dataset",
    "log_dict",
    "log_figure",
    "log_image",
    "log_metric",
    "log_metrics",
    "log_model",
    "log_param",
    "log_params",
    "log_table",
    "log_text",
    "pipeline",
    "search_runs",
    "set_tag",
    "set_tags",
    "start_run",
    "step",
    "sync_spool",
]

_WHERE = {
    "ActiveRun": "millwright.sdk.active",
    "Client": "millwright.client.services",
    "LoggingWarning": "millwright.sdk.losses",
    "MillwrightError": "millwright.core.errors",
    "StepContext": "millwright.pipelines.context",
    "Workspace": "millwright.workspace.open",
    "__version__": "millwright.core.version",
    "active_run": "millwright.sdk.current",
    "attach_run": "millwright.sdk.current",
    "autolog": "millwright.sdk.autolog",
    "end_run": "millwright.sdk.current",
    "find_config": "millwright.sdk.connection",
    "flush": "millwright.sdk.calls",
    "load_model": "millwright.sdk.models",
    "log_artifact": "millwright.sdk.calls",
    "log_artifacts": "millwright.sdk.calls",
    "log_dataset": "millwright.sdk.calls",
    "log_dict": "millwright.sdk.calls",
    "log_figure": "millwright.sdk.calls",
    "log_image": "millwright.sdk.calls",
    "log_metric": "millwright.sdk.calls",
    "log_metrics": "millwright.sdk.calls",
    "log_model": "millwright.sdk.calls",
    "log_param": "millwright.sdk.calls",
    "log_params": "millwright.sdk.calls",
    "log_table": "millwright.sdk.calls",
    "log_text": "millwright.sdk.calls",
    "pipeline": "millwright.pipelines.graph",
    "search_runs": "millwright.sdk.search",
    "set_tag": "millwright.sdk.calls",
    "set_tags": "millwright.sdk.calls",
    "start_run": "millwright.sdk.current",
    "step": "millwright.pipelines.step",
    "sync_spool": "millwright.sdk.syncing",
}


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(_WHERE[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
