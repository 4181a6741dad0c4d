"""How a script reaches its home: the door that the settings name, and what it is made from."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, cast

from millwright.records.runs import RunSource

if TYPE_CHECKING:
    from millwright.doors.door import Door
    from millwright.workspace.config import Config
    from millwright.workspace.open import Workspace


def find_config() -> Config:
    """Return the settings that hold where the script runs: the SDK's one look at the environment.

    Raises Invalid for a faulty `millwright.toml`.
    """
    from millwright.workspace.config import load_config

    return load_config(environment=os.environ, folder=Path.cwd())


def open_door(config: Config, *, create: bool = False) -> Door:
    """Open a door: to the server where the settings name one, else to the home.

    With `create` a home is made where there is none. Raises what opening it raises; a server
    is first asked when something is asked of the door.
    """
    if config.url is not None:
        from millwright.client.services import Client

        return Client(config.url, config.token, config.project)
    from millwright.workspace.open import Workspace

    return cast("Door", Workspace.open(config, create=create))


def record_source(config: Config, door: Door) -> RunSource:
    """Store, through the door, what this script is made from, and return it."""
    from millwright.tracking.environment import capture, command_line

    if config.url is None:
        artifacts = cast("Workspace", door).home.artifacts
        return capture(artifacts, config.root, command_line())
    from millwright.artifacts.store import ArtifactStore
    from millwright.sdk.outbox import Outbox

    with tempfile.TemporaryDirectory(prefix="mill-source-") as folder:
        outbox = Outbox(Path(folder))
        source = capture(ArtifactStore(outbox), config.root, command_line())
        for path in outbox.paths():
            door.artifacts.put_file(path)
    return source
