"""An MLflow store by its address: a SQLite database or a running server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from millwright.core.errors import Invalid
from millwright.tracking.sources.found import Source


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
    slash where the path is absolute, or `http://host:port`. `artifacts` are folders in which
    artifacts of a database lie. Raises Invalid for another address, NotFound when there is no
    such file.
    """
    parts = urlsplit(address)
    if parts.scheme in {"http", "https"}:
        from millwright.tracking.sources.mlflow_http import MlflowHttp
        from millwright.tracking.sources.mlflow_rest import MlflowServer

        return MlflowServer(MlflowHttp(address, user=user, password=password, token=token))
    if parts.scheme.partition("+")[0] == "sqlite" and not parts.netloc and len(parts.path) > 1:
        from millwright.tracking.sources.mlflow_sql import MlflowDatabase

        return MlflowDatabase(Path(unquote(parts.path[1:])), artifacts=artifacts)
    raise Invalid(
        f"{address!r} is no MLflow store that can be read",
        why="what can be read is sqlite:///PATH and http://HOST:PORT",
        fix="for a folder of files (mlruns/) or another database start `mlflow server` on it "
        "and import from its address",
    )
