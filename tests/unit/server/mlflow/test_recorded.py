"""What MLflow's clients of two generations really asked, asked again of the server of today."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.mlflow_api import api_of
from fixtures.mlflow_recorded import Replay, read_recorded

pytestmark = pytest.mark.sockets


@pytest.mark.parametrize("client", ["mlflow3", "mlflow2"])
def test_a_recorded_session_is_answered_alike(client: str, tmp_path: Path) -> None:
    recorded = read_recorded(client)
    assert len(recorded) > 80
    with api_of(tmp_path / "home") as api:
        replay = Replay(api.http)
        for number, one in enumerate(recorded):
            differs = replay.ask(one)
            assert not differs, f"{number} {one.method} {one.path} {differs}"
