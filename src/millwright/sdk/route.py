"""The way of a run's items to their home: the door that the settings name, and a spool."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from millwright.core.clock import Clock
from millwright.core.ids import RunId
from millwright.sdk.connection import open_door
from millwright.sdk.sender import LINGER_S, MAX_QUEUED, Sender
from millwright.sdk.spool import FORMAT, SUFFIX, Header, Spool

if TYPE_CHECKING:
    from millwright.doors.door import Door
    from millwright.workspace.config import Config

SPOOL_FOLDER = "spool"


@dataclass(frozen=True, slots=True)
class Route:
    """Where one run's items go, and how they are sent."""

    config: Config
    run: RunId
    clock: Clock
    linger_s: float = LINGER_S
    max_queued: int = MAX_QUEUED

    def sender(self, door: Door | None = None) -> Sender:
        """Return the sender of the process that began the run."""
        return self._sender(spool_folder(self.config) / f"{self.run}{SUFFIX}", door)

    def worker_sender(self, door: Door | None = None) -> Sender:
        """Return the sender of another process that logs to the same run."""
        name = f"{self.run}.{secrets.token_hex(4)}{SUFFIX}"
        return self._sender(spool_folder(self.config) / name, door)

    def _sender(self, path: Path, door: Door | None) -> Sender:
        config = self.config
        header = Header(format=FORMAT, run=self.run, project=config.project, url=config.url)
        try:
            # One that an earlier process left is gone on with, so that all arrives in order.
            adopted = Spool.adopt(path)
        except OSError:
            # A home that nobody may enter is found out when something has to wait in it.
            adopted = None
        return Sender(
            lambda: open_door(config, create=True),
            adopted or Spool(path, header),
            clock=self.clock,
            door=door,
            linger_s=self.linger_s,
            max_queued=self.max_queued,
        )


def spool_folder(config: Config) -> Path:
    """Return the folder where runs wait that could not be delivered."""
    return config.home / SPOOL_FOLDER
