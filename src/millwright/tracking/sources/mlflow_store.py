"""An MLflow store by its address: a SQLite database, a folder of files, or a running server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from millwright.core.errors import Invalid
from millwright.tracking.sources.found import Source
from millwright.tracking.sources.mlflow_words import split_address, without_login


def open_mlflow(
    address: str,
    *,
    artifacts: Sequence[Path] = (),
    user: str | None = None,
    password: str = "",
    token: str | None = None,
) -> Source:
    """Open a store for reading.

    `address` is what MLflow is given as its tracking URI: `sqlite:///mlflow.db`, with a fourth
    slash where the path is absolute, `file:///path` or the path of a folder, or
    `http://host:port`. `artifacts` are folders in which artifacts lie beside those of the store.
    Raises Invalid for another address, NotFound when there is nothing.
    """
    parts = split_address(address)
    if parts.scheme in {"http", "https"}:
        from millwright.tracking.sources.mlflow_http import MlflowHttp
        from millwright.tracking.sources.mlflow_rest import MlflowServer

        return MlflowServer(MlflowHttp(address, user=user, password=password, token=token))
    if parts.scheme.partition("+")[0] == "sqlite" and not parts.netloc and len(parts.path) > 1:
        from millwright.tracking.sources.mlflow_sql import MlflowDatabase

        return MlflowDatabase(Path(unquote(parts.path[1:])), artifacts=artifacts)
    if parts.scheme in {"", "file"} and parts.path and not parts.netloc:
        from millwright.tracking.sources.mlflow_files import MlflowFiles

        folder = Path(unquote(parts.path) if parts.scheme else address)
        return MlflowFiles(folder, artifacts=artifacts)
    raise Invalid(
        f"{without_login(address)!r} is no MLflow store that can be read",
        why="what can be read is sqlite:///PATH, a folder such as mlruns, and http://HOST:PORT",
        fix="for another database start `mlflow server` on it and import from its address",
    )
