"""What waits to be sent: in the spool, and in memory where the disk takes nothing.

A full disk is no reason to end a training, nor to lose what a server will take in a minute.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

from millwright.sdk.items import Batch, Item
from millwright.sdk.spool import Spool


class Backlog:
    """Items in the order in which they came; not safe for many threads.

    At most `max_held` values are held in memory; what comes beyond is counted as lost.
    """

    def __init__(self, spool: Spool, *, max_held: int) -> None:
        self.spool = spool
        self.lost = 0
        """How many values could be neither written nor held."""
        self.loss = ""
        """Why they could not."""
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

    def append(self, item: Item) -> None:
        """Keep an item behind the others."""
        # Once one is held, all that follow stand behind it.
        if not self._held:
            try:
                self.spool.append(item)
            except OSError as error:
                self.loss = f"{self.spool.path} cannot be written: {error.strerror or error}"
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
        return waiting


def _size_of(item: Item) -> int:
    if isinstance(item, Batch):
        return len(item.points) + len(item.params) + len(item.tags)
    return 1
