"""What long-lived processes share: their entry in `<home>/run`, ports, signals and children.

An entry counts for as long as its process holds a lock on it, which no kill can prevent from
being let go of; a process number alone may be another's by now.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from millwright.core.errors import Failed, TimedOut, Unreachable

CONTROL_PORT = 8420
SERVING_PORT = 8421
PORTS_TRIED = 50
MAX_PORT = 65_535
BACKLOG = 2048
START_S = 30.0
DRAIN_S = 20.0
LOOPBACK = "127.0.0.1"
WITH_PARENT = "--with-parent"


class RunFile(Struct, frozen=True, kw_only=True):
    """What a long-lived process says of itself in `<home>/run/<name>.json`."""

    name: str
    pid: int
    started_us: int
    host: str
    port: int | None


@contextmanager
def announced(folder: Path, entry: RunFile) -> Generator[None]:
    """Keep an entry in the home's run folder while the block runs."""
    import fcntl  # Unknown on Windows, whence a server's models can be asked all the same.

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{entry.name}.json"
    aside = path.with_suffix(f".{entry.pid}")
    with aside.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write(msgspec.json.encode(entry) + b"\n")
        held.flush()
        aside.replace(path)
        try:
            yield
        finally:
            with suppress(OSError):
                if msgspec.json.decode(path.read_bytes(), type=RunFile).pid == entry.pid:
                    path.unlink()


def read_running(folder: Path) -> list[RunFile]:
    """Return the entries whose processes live."""
    import fcntl

    found: list[RunFile] = []
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        with suppress(OSError, msgspec.MsgspecError), path.open("rb") as file:
            entry = msgspec.json.decode(file.read(), type=RunFile)
            try:
                # Shared, so that two who ask at once do not take each other for the process.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                found.append(entry)
    return found


def listen(host: str, wanted: int) -> socket.socket:
    """Return a socket that listens on `wanted`, or on the next port above it that is free.

    Raises Unreachable when there is none.
    """
    last = min(wanted + PORTS_TRIED - 1, MAX_PORT)
    for port in range(wanted, last + 1):
        found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((host, port))
            # At once: two sockets that are only bound may share a port.
            found.listen(BACKLOG)
        except OSError:
            found.close()
            continue
        return found
    raise Unreachable(
        f"no port from {wanted} to {last} is free on {host}",
        fix="name another with --port",
    )


def stop_on_signals(stop: threading.Event) -> None:
    """Set `stop` on SIGTERM and SIGINT."""

    def leave(_number: int, _frame: object) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)


def end_with_parent() -> None:
    """Have this process told to finish when its standard input ends: its parent is gone then."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()


class Child:
    """A process of ours, in a session of its own, so that Ctrl-C reaches only its parent.

    It drains and ends when its parent is killed, unless it `outlives` it.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        folder: Path,
        log: Path,
        outlives: bool = False,
    ) -> None:
        self.name = name
        self.log = log
        bound = () if outlives else (WITH_PARENT,)
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "millwright", *arguments, *bound],
                stdin=subprocess.DEVNULL if outlives else subprocess.PIPE,
                stdout=stream,
                stderr=stream,
                cwd=folder,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def is_alive(self) -> bool:
        """Tell whether it runs."""
        return self._process.poll() is None

    def wait_for(self, folder: Path) -> RunFile:
        """Return its entry in the run folder once it is ready; raises Failed when it ends."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            for entry in read_running(folder):
                if entry.pid == self.pid:
                    return entry
            if not self.is_alive():
                raise Failed(
                    f"{self.name} ended before it was ready (code {self._process.returncode})",
                    why=self.last_words(),
                    fix=f"see {self.log}",
                )
            time.sleep(0.05)
        raise TimedOut(f"{self.name} was not ready in {START_S:.0f} s", fix=f"see {self.log}")

    def last_words(self) -> str:
        """Return the end of its log."""
        with suppress(OSError):
            return self.log.read_text(errors="replace")[-2000:].strip()
        return ""

    def stop(self) -> int:
        """Ask it to finish, wait for it, and return its code; after DRAIN_S it is killed."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            return self._process.wait(timeout=DRAIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
        finally:
            if self._process.stdin is not None:
                self._process.stdin.close()
