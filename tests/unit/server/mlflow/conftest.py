"""One home and its server for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fixtures.mlflow_api import Api, api_of


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with api_of(tmp_path_factory.mktemp("mlflow") / "home") as api:
        yield api
