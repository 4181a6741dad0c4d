"""The calls that log to the active run without naming it: `mw.log_metric("auc", 0.87)`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from millwright.core.errors import NotFound
from millwright.sdk.active import FLUSH_TIMEOUT_S, ActiveRun
from millwright.sdk.current import active_run

if TYPE_CHECKING:
    from millwright.records.data import DatasetVersion
    from millwright.sdk.shelf import KeptModel
    from millwright.sdk.tables import Table


def log_param(key: str, value: object) -> None:
    """Record a parameter of the active run, as text; it keeps the value it was first given."""
    _required().log_param(key, value)


def log_params(params: Mapping[str, object]) -> None:
    """Record parameters of the active run, as text."""
    _required().log_params(params)


def log_metric(key: str, value: float, *, step: int = 0) -> None:
    """Append one point to the history of a metric of the active run."""
    _required().log_metric(key, value, step=step)


def log_metrics(metrics: Mapping[str, float], *, step: int = 0) -> None:
    """Append a point to the history of each metric of the active run."""
    _required().log_metrics(metrics, step=step)


def set_tag(key: str, value: object) -> None:
    """Set a tag of the active run, replacing an earlier value."""
    _required().set_tag(key, value)


def set_tags(tags: Mapping[str, object]) -> None:
    """Set tags of the active run, replacing earlier values."""
    _required().set_tags(tags)


def log_artifact(path: str | Path, *, name: str | None = None) -> None:
    """Store a file or a folder as an output of the active run."""
    _required().log_artifact(path, name=name)


def log_artifacts(paths: Mapping[str, str | Path] | str | Path) -> None:
    """Store files and folders, each under its name, or all that a folder holds."""
    _required().log_artifacts(paths)


def log_text(text: str, name: str) -> None:
    """Store text as a file of the active run."""
    _required().log_text(text, name)


def log_dict(document: object, name: str) -> None:
    """Store plain data as a JSON or YAML file of the active run."""
    _required().log_dict(document, name)


def log_figure(figure: object, name: str) -> None:
    """Store a figure of matplotlib or plotly as a file of the active run."""
    _required().log_figure(figure, name)


def log_image(image: object, name: str) -> None:
    """Store a picture as a PNG file of the active run."""
    _required().log_image(image, name)


def log_table(table: Table, name: str) -> None:
    """Store a table as a Parquet, CSV, Arrow or JSON file of the active run."""
    _required().log_table(table, name)


def log_dataset(data: str | Path | Table, *, name: str | None = None) -> DatasetVersion | None:
    """Note what the active run read: a dataset's version, or what becomes one."""
    return _required().log_dataset(data, name=name)


def log_model(
    model: object, *, example: object, name: str = "model", register: str | None = None
) -> KeptModel:
    """Package a fitted model of the active run, and register it where asked to."""
    return _required().log_model(model, example=example, name=name, register=register)


def flush(timeout_s: float = FLUSH_TIMEOUT_S) -> bool:
    """Wait until all that was logged to the active run has arrived; False when it waits on disk."""
    return _required().flush(timeout_s)


def _required() -> ActiveRun:
    run = active_run()
    if run is None:
        raise NotFound(
            "no run is active here",
            why="a run is active in the thread that started it; a step of a pipeline has none",
            fix="start one with start_run(); in another thread call the methods of the run "
            "itself, in another process join it with attach_run(id), in a step use its StepContext",
        )
    return run
