"""How a script reaches its home: the door that the settings name, and what it is made from."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from millwright.records.runs import RunSource

if TYPE_CHECKING:
    from millwright.doors.door import Door
    from millwright.workspace.config import Config
    from millwright.workspace.open import Workspace

QUICK_TIMEOUT_S = 5.0
"""How long a training waits for a server that keeps silent, before it takes it for away."""
_NOTEBOOK = "JPY_SESSION_NAME"
"""Where Jupyter's server tells a kernel which notebook it runs."""


def find_config() -> Config:
    """Return the settings that hold where the script runs.

    Raises Invalid for a faulty `millwright.toml`.
    """
    from millwright.workspace.config import load_config

    return load_config(environment=os.environ, folder=Path.cwd())


def find_notebook() -> str | None:
    """Return the path of the notebook that this process runs, where Jupyter tells it."""
    return os.environ.get(_NOTEBOOK)


def open_door(config: Config, *, create: bool = False) -> Door:
    """Open a door: to the server where the settings name one, else to the home.

    With `create` it is for those who log: a home is made where there is none, and a server that
    keeps silent is given up soon. Raises what opening it raises; a server is first asked when
    something is asked of the door.
    """
    if config.url is not None:
        from millwright.client.services import Client
        from millwright.client.transport import READ_TIMEOUT_S

        patience_s = QUICK_TIMEOUT_S if create else READ_TIMEOUT_S
        return Client(config.url, config.token, config.project, read_timeout_s=patience_s)
    from millwright.workspace.open import Workspace

    return cast("Door", Workspace.open(config, create=create))


def record_source(
    config: Config, door: Door | None, open_folder: Callable[[], Path]
) -> tuple[RunSource, list[str]]:
    """Return what this script is made from, and what of it is still to be stored.

    The home's own store takes it at once. For a server, or a home that is away, it is copied to
    the folder that `open_folder` makes; the names of the files there are returned. Raises OSError
    where there is no room for it.
    """
    from millwright.tracking.environment import capture, command_line

    if config.url is None and door is not None:
        artifacts = cast("Workspace", door).home.artifacts
        return capture(artifacts, config.root, command_line()), []
    from millwright.sdk.staging import stage_source

    return stage_source(config.root, open_folder())
