from __future__ import annotations

from pathlib import Path

import pytest

from millwright.client.services import Client
from millwright.core.errors import NotFound
from millwright.records.runs import RunSource
from millwright.sdk.connection import open_door, record_source
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


def test_both_doors_store_the_same_source(embedded: Config, address: str, project: Path) -> None:
    found: list[RunSource] = []
    for config in (embedded, load_config(environment={}, folder=project, url=address)):
        door = open_door(config)
        found.append(record_source(config, door))
        door.close()
    assert found[0] == found[1]
