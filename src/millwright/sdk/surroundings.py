"""What is noted about a run without being asked: what it prints, what the machine does, cells."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from millwright.core.clock import Clock
from millwright.core.digest import Digest
from millwright.core.errors import MillwrightError
from millwright.sdk.console import Console
from millwright.sdk.notebook import find_shell, sources
from millwright.sdk.shelf import Shelf
from millwright.sdk.system import INTERVAL_S, SystemReader, Watch

LOG_NAME = "run.log"


class Surroundings:
    """Begins with a run and ends with it; what breaks here never breaks the run."""

    def __init__(
        self,
        root: Path,
        clock: Clock,
        *,
        console: bool = True,
        system: bool = True,
        interval_s: float = INTERVAL_S,
        notebook: str | None = None,
    ) -> None:
        self._root = root
        self._clock = clock
        self._interval_s = interval_s
        self._watches_system = system
        self._keeps_console = console
        self._place = notebook
        self._folder: Path | None = None
        self._console: Console | None = None
        self._watch: Watch | None = None

    def start(self, take: Callable[[dict[str, float], int], None]) -> None:
        """Begin; `take` is handed the machine's metrics and their step."""
        if self._keeps_console:
            with suppress(OSError):
                self._folder = Path(tempfile.mkdtemp(prefix="mill-log-"))
                self._console = Console(self._folder / LOG_NAME)
                self._console.start()
        if self._watches_system:
            reader = SystemReader(self._root, self._clock)
            self._watch = Watch(reader, take, interval_s=self._interval_s)
            with suppress(RuntimeError):
                self._watch.start()

    def stop(self, shelf: Shelf) -> Digest | None:
        """End, store what was kept, and return the digest of the log; None when it is empty."""
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
        digest: Digest | None = None
        with suppress(MillwrightError, OSError):
            log = None if self._console is None else self._console.stop()
            if log is not None:
                digest = shelf.put(log)
        if (shell := find_shell()) is not None:
            for name, content in sources(shell, self._place).items():
                with suppress(MillwrightError, OSError):
                    shelf.keep_bytes(content, name)
        self.drop()
        return digest

    def drop(self) -> None:
        """Let go of everything; nothing is stored."""
        if self._watch is not None:
            self._watch.stop()
        if self._console is not None:
            self._console.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._watch = self._console = self._folder = None
