"""What waits to be sent: in the spool, and in memory where the disk takes nothing.

A full disk is no reason to end a training, nor to lose what a server will take in a minute.
"""

from __future__ import annotations

import sys
from collections import deque
from contextlib import suppress
from pathlib import Path

from millwright.sdk.items import Batch, Item, name_of
from millwright.sdk.spool import Spool


class Backlog:
    """Items in the order in which they came; not safe for many threads.

    At most `max_held` values are held in memory; what comes beyond is counted as lost.
    """

    def __init__(self, spool: Spool, *, max_held: int) -> None:
        self.spool = spool
        self.lost = 0
        """How many values could be neither written nor held."""
        self.losses: dict[str, None] = {}
        """Why they could not, each reason once."""
        self._max_held = max_held
        self._held: deque[Item] = deque()
        self._size = 0

    @property
    def waiting(self) -> int:
        """How many items wait."""
        return self.spool.waiting + len(self._held)

    @property
    def objects(self) -> Path:
        """The folder of the objects that wait with them."""
        return self.spool.objects

    def lose(self, name: str, error: OSError) -> None:
        """Note that there is no room for a file."""
        self._note(f"{name} cannot be kept: {error.strerror or error}")
        self.lost += 1

    def append(self, item: Item) -> None:
        """Keep an item behind the others."""
        # Once one is held, all that follow stand behind it.
        if not self._held:
            try:
                self.spool.append(item)
            except OSError as error:
                self._note(f"{self.spool.path} cannot be written: {error.strerror or error}")
            except Exception as error:  # noqa: BLE001 (it may not end the thread that sends the rest)
                # What cannot be encoded would only be refused if it were held.
                self._note(f"{name_of(item)} cannot be written: {type(error).__name__}: {error}")
                self.lost += _size_of(item)
                return
            else:
                return
        size = _size_of(item)
        if self._size + size > self._max_held:
            self.lost += size
            return
        self._held.append(item)
        self._size += size

    def head(self) -> Item | None:
        """Return the first item, or None."""
        if self.spool.waiting or not self._held:
            return self.spool.head()
        return self._held[0]

    def advance(self, item: Item) -> None:
        """Take the first item away, which was `item`: it is delivered."""
        if self.spool.waiting:
            self.spool.advance(item)
        else:
            self._size -= _size_of(self._held.popleft())
            self.spool.drop_objects(item)

    def close(self) -> int:
        """Let go; return how many items stay on disk. Those in memory are lost."""
        self.lost += self._size
        self._held.clear()
        waiting = self.spool.waiting
        self.spool.clean()
        self.spool.close()
        self.spool.drop_aside()
        return waiting

    def _note(self, loss: str) -> None:
        """Keep why something is lost, and tell the first time, while space can still be made."""
        if not self.losses:
            run = self.spool.header.run
            # Standard error may be a file on the same disk.
            with suppress(OSError):
                sys.stderr.write(
                    f"run {run}: {loss}; training goes on, and its end tells what is lost\n"
                )
        self.losses[loss] = None


def _size_of(item: Item) -> int:
    if isinstance(item, Batch):
        return len(item.points) + len(item.params) + len(item.tags)
    return 1
