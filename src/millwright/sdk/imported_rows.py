"""Tables of rows set aside on disk while they grow: a file of JSON lines for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

MAX_WAITING_BYTES = 1 << 20


class Rows:
    """Appends rows to a file for each table; holds little in memory, and no file open.

    `place` is asked once for a folder, which is made when there is something to write.
    """

    def __init__(self, place: Callable[[], Path]) -> None:
        self._place = place
        self._folder: Path | None = None
        self._files: dict[str, Path] = {}
        self._waiting: dict[str, list[bytes]] = {}
        self._waiting_bytes = 0
        self._changed: set[str] = set()
        self._encoder = msgspec.json.Encoder()

    def add(self, table: str, row: Mapping[str, object]) -> None:
        """Append a row to a table, which is made when new."""
        line = self._encoder.encode(row)
        self._waiting.setdefault(table, []).append(line)
        self._waiting_bytes += len(line)
        self._changed.add(table)
        if self._waiting_bytes > MAX_WAITING_BYTES:
            self._write()

    def changed(self) -> Iterator[tuple[str, Path]]:
        """Iterate over the tables that have more rows than at the last call, by name."""
        self._write()
        changed, self._changed = sorted(self._changed), set[str]()
        for table in changed:
            yield table, self._files[table]

    def _write(self) -> None:
        if not self._waiting:
            return
        if self._folder is None:
            self._folder = self._place()
            self._folder.mkdir()
        for table, lines in self._waiting.items():
            # A table's name may be anything; its file is called by a number.
            path = self._files.setdefault(table, self._folder / f"{len(self._files)}.jsonl")
            with path.open("ab") as stream:
                stream.writelines(line + b"\n" for line in lines)
        self._waiting.clear()
        self._waiting_bytes = 0
