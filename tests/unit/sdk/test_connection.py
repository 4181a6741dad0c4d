from __future__ import annotations

from pathlib import Path

import pytest

from millwright.client.services import Client
from millwright.core.errors import NotFound
from millwright.records.runs import RunSource
from millwright.sdk.connection import find_notebook, open_door, record_source
from millwright.workspace.config import Config, load_config
from millwright.workspace.open import Workspace

pytestmark = pytest.mark.sockets


def test_the_settings_name_the_door(config: Config) -> None:
    door = open_door(config)
    try:
        assert type(door) is (Workspace if config.url is None else Client)
    finally:
        door.close()


def test_a_home_is_made_only_when_asked_for(tmp_path: Path) -> None:
    nowhere = load_config(environment={}, folder=tmp_path)
    with pytest.raises(NotFound, match="there is no home"):
        open_door(nowhere)
    assert not nowhere.home.exists()
    open_door(nowhere, create=True).close()
    open_door(nowhere).close()


def test_both_doors_are_told_the_same_source(
    embedded: Config, address: str, project: Path, tmp_path: Path
) -> None:
    found: list[RunSource] = []
    staged: list[int] = []
    for config in (embedded, load_config(environment={}, folder=project, url=address)):
        door = open_door(config)
        source, objects = record_source(config, door, lambda: tmp_path / "objects")
        found.append(source)
        staged.append(len(objects))
        door.close()
    assert found[0] == found[1]
    # The home takes it at once; what a server is to be sent waits.
    assert staged[0] == 0
    assert staged[1] == len(list((tmp_path / "objects").iterdir())) > 0


def test_a_home_that_is_away_gets_its_source_later(embedded: Config, tmp_path: Path) -> None:
    source, objects = record_source(embedded, None, lambda: tmp_path / "objects")
    assert source.code_digest is not None
    assert objects


def test_the_notebook_is_what_jupyter_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert find_notebook() is None
    monkeypatch.setenv("JPY_SESSION_NAME", "/somewhere/train.ipynb")
    assert find_notebook() == "/somewhere/train.ipynb"
