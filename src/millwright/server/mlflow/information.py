"""What the server says of itself to MLflow's clients."""

from __future__ import annotations

from collections.abc import Iterable

from millwright.records.access import Permission
from millwright.server.mlflow.call import Call, Endpoint
from millwright.server.mlflow.spelling import Json

VERSION = "3.3.2"
"""The version of MLflow's server that clients take us for.

Below 3.4 they do not send spans by OpenTelemetry, which this server does not take yet.
"""


def endpoints() -> Iterable[Endpoint]:
    """Return the routes about the server."""
    yield Endpoint("GET", "/3.0/mlflow/server-info", Permission.RUN_READ, "read", show)


def show(call: Call) -> Json:
    """Return what the server has."""
    del call
    return {
        "store_type": "SqlStore",
        "workspaces_enabled": False,
        "trace_archival_enabled": False,
        "multipart_uploads_enabled": True,
        "multipart_downloads_enabled": False,
    }
