from __future__ import annotations

import pytest

from fixtures.mlflow_api import Api

pytestmark = pytest.mark.sockets


def test_what_the_server_says_of_itself(api: Api) -> None:
    found = api.ok("GET", "/api/3.0/mlflow/server-info")
    assert found == {
        "store_type": "SqlStore",
        "workspaces_enabled": False,
        "trace_archival_enabled": False,
        "multipart_uploads_enabled": True,
        "multipart_downloads_enabled": False,
    }


def test_clients_take_it_for_one_that_takes_no_spans(api: Api) -> None:
    version = api.http.get("/version").text
    assert tuple(map(int, version.split("."))) < (3, 4)
