"""The way of a run's items to their home: the door that the settings name, and a spool."""

from __future__ import annotations

import secrets
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from millwright.core.clock import Clock
from millwright.core.errors import Corrupt, Unsupported
from millwright.core.ids import RunId
from millwright.sdk.connection import open_door
from millwright.sdk.losses import LoggingWarning
from millwright.sdk.sender import LINGER_S, MAX_QUEUED, Sender
from millwright.sdk.spool import FORMAT, SUFFIX, Header, Spool

if TYPE_CHECKING:
    from millwright.doors.door import Door
    from millwright.workspace.config import Config

SPOOL_FOLDER = "spool"
UNREADABLE = ".unreadable"


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
        return self._sender(self._new_spool(f"{self.run}{SUFFIX}"), door)

    def worker_sender(self, door: Door | None = None) -> Sender:
        """Return the sender of another process that logs to the same run."""
        return self._sender(self._new_spool(f"{self.run}.{secrets.token_hex(4)}{SUFFIX}"), door)

    def resumed_sender(self, door: Door | None = None) -> Sender:
        """Return the sender of a process that goes on with the run.

        What an earlier process left is gone on with, so that all arrives in order; what a living
        one uses stays its own. What cannot be read is set aside, and told by a LoggingWarning.
        """
        for path in sorted(spool_folder(self.config).glob(f"{self.run}*{SUFFIX}"), reverse=True):
            if (left := _adopt(path)) is not None:
                return self._sender(left, door)
        return self.worker_sender(door)

    def _new_spool(self, name: str) -> Spool:
        config = self.config
        header = Header(format=FORMAT, run=self.run, project=config.project, url=config.url)
        return Spool(spool_folder(config) / name, header)

    def _sender(self, spool: Spool, door: Door | None) -> Sender:
        config = self.config
        return Sender(
            lambda: open_door(config, create=True),
            spool,
            clock=self.clock,
            door=door,
            linger_s=self.linger_s,
            max_queued=self.max_queued,
        )


def spool_folder(config: Config) -> Path:
    """Return the folder where runs wait that could not be delivered."""
    return config.home / SPOOL_FOLDER


def _adopt(path: Path) -> Spool | None:
    """Return the spool that an earlier process left, where it can be gone on with."""
    try:
        return Spool.adopt(path)
    except Corrupt as error:
        # Power was lost before its first bytes were on disk: it may not stand in a run's way.
        aside = path.with_suffix(UNREADABLE)
        with suppress(OSError):
            path.replace(aside)
        warnings.warn(f"{error.what}: it is kept as {aside}", LoggingWarning, stacklevel=6)
    except (Unsupported, OSError):
        # One that newer code wrote, or that nobody may read, waits where it is.
        pass
    return None
