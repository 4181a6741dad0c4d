"""A protected alias tells an unmodified client of MLflow's why not; a passed gate opens it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from fixtures import mlflow_scripts as scripts
from fixtures.example_host import serving
from fixtures.homes import Place, made_place
from fixtures.tools import python_of, run_tool
from millwright.server.host import Host
from millwright.testing.clock import FakeClock

pytestmark = [pytest.mark.interop, pytest.mark.sockets]


@pytest.fixture
def place(sqlite_address: str, tmp_path: Path) -> Iterator[Place]:
    with made_place(sqlite_address, tmp_path, FakeClock()) as place:
        yield place


@pytest.mark.parametrize("client", ["mlflow3", "mlflow2"])
def test_the_alias_champion_waits_for_its_gate(client: str, place: Place, tmp_path: Path) -> None:
    python = python_of(client, "mlflow")
    first = place.passed(0)
    place.me.models.promote(ref=first)
    second = place.version(1)

    def asked(address: str) -> dict[str, Any]:
        environment = {"MLFLOW_TRACKING_URI": address}
        return json.loads(
            run_tool(python, scripts.GUARDED, "churn", "2", cwd=tmp_path, environment=environment)
        )

    with serving(cast("Host", place.home), open_on_loopback=True) as address:
        told = asked(address)
        code, words = told["promoting"]
        assert code == "PERMISSION_DENIED"
        assert "churn@v2" in words
        assert "the project's gate has not judged it" in words
        assert "mill gate check churn@v2" in words
        assert told["moving"][0] == "PERMISSION_DENIED"
        assert told["pointing"] == {"champion": "1"}

        place.judged(second, "fail")
        code, words = asked(address)["promoting"]
        assert code == "PERMISSION_DENIED"
        assert "auc-floor: auc 0.61, floor 0.70" in words

        place.judged(second)
        told = asked(address)
        assert told["promoting"][0] == "NOTHING"
        assert told["pointing"] == {"champion": "2"}
    moves = place.me.models.history(name="churn").aliases
    assert [(move.alias, move.version) for move in moves][-1] == ("champion", 2)
