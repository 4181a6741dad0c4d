"""The process that runs steps for a host on the same machine: `python -m` this module.

Messages come on standard input and go to standard output, which are taken away before any user
code runs: a step reads nothing, and what it or C code below it prints goes to the log file in
the worker's scratch folder, whose growth is passed on to the host. A file, not a pipe: C code
that prints while it holds the interpreter's lock would wait for ever for a reader in its own
process. When the host is gone the worker ends itself and everything the step had started.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import queue
import shutil
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from millwright.core.clock import SystemClock
from millwright.core.errors import Conflict
from millwright.pipelines.arguments import Address
from millwright.pipelines.context import Sent, problem_of
from millwright.pipelines.executor import (
    Broke,
    Called,
    Finished,
    Logged,
    Noted,
    Progressed,
    Reply,
    Stale,
    Task,
)
from millwright.pipelines.loading import ProjectImporter
from millwright.pipelines.step import Step
from millwright.pipelines.task import perform
from millwright.pipelines.wire import Receiver, Sender

ToWorker: TypeAlias = Task | Reply
FromWorker: TypeAlias = Logged | Progressed | Noted | Called | Finished | Broke | Stale

LOG_NAME = "log"
_LOG_PERIOD_S = 0.1
_LOG_BYTES = 1 << 18
_HOST_GONE = 70


class Worker:
    """Runs the tasks that come over `receiver`, one after the other."""

    def __init__(self, receiver: Receiver[ToWorker], sender: Sender, scratch: Path) -> None:
        self._receiver = receiver
        self._sender = sender
        self._scratch = scratch
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._replies: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        self._calling = threading.Lock()
        self._importers: dict[str, ProjectImporter] = {}

    def run(self) -> None:
        """Work until the host closes its end."""
        host_knows = os.getpid()
        threading.Thread(target=self._listen, daemon=True).start()
        while (task := self._tasks.get()) is not None:
            ended = self._run_task(task)
            if os.getpid() != host_knows:
                os._exit(0)  # The step forked and both returned: one of them is the worker.
            self._sender.send(ended)

    def send(self, message: Sent) -> None:
        """Pass a step's message on."""
        self._sender.send(message)

    def call(self, called: Called) -> Reply:
        """Pass a step's call on and wait for the reply."""
        with self._calling:
            self._sender.send(called)
            return self._replies.get()

    def _listen(self) -> None:
        while (message := self._receiver.receive()) is not None:
            if isinstance(message, Task):
                self._tasks.put(message)
            else:
                self._replies.put(message)
        # Nobody is left to take a result: a step that is running is not waited for.
        shutil.rmtree(self._scratch, ignore_errors=True)
        with suppress(OSError):
            self._scratch.parent.rmdir()  # The last of the host's workers cleans up for it.
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(_HOST_GONE)

    def _run_task(self, task: Task) -> Finished | Broke | Stale:
        importer = self._importers.get(task.root)
        if importer is None:
            importer = ProjectImporter(Path(task.root), task.search)
            self._importers[task.root] = importer
        if importer.changed(task.sources):
            return Stale(task=task.id)
        os.chdir(task.root)
        folder = self._scratch / "task"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)

        def find_step(address: Address) -> Step[..., object]:
            step = importer.step_at(address)
            _check_sources(importer, task)
            return step

        with _Capture(self._sender, task.id, self._scratch / LOG_NAME):
            ended = perform(
                task, find_step=find_step, channel=self, scratch=folder, clock=SystemClock()
            )
            if isinstance(ended, Finished):
                try:
                    # Once more: the step may have imported modules while it ran.
                    _check_sources(importer, task)
                except Conflict as error:
                    ended = Broke(task=task.id, problem=problem_of(error))
        shutil.rmtree(folder, ignore_errors=True)
        return ended


def _check_sources(importer: ProjectImporter, task: Task) -> None:
    changed = importer.changed(task.sources)
    if changed:
        raise Conflict(
            f"{changed[0]} was changed after the run began",
            why="the result would be kept under the fingerprint of the code it had before",
            fix="run the pipeline again",
        )


class _Capture:
    """Sends what is written to file descriptors 1 and 2 to the log, and on to the host."""

    def __init__(self, sender: Sender, task: str, path: Path) -> None:
        self._sender = sender
        self._task = task
        self._path = path
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> None:
        target = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        self._saved = [os.dup(1), os.dup(2)]
        os.dup2(target, 1)
        os.dup2(target, 2)
        os.close(target)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        _flush()
        for number, saved in zip((1, 2), self._saved, strict=True):
            os.dup2(saved, number)
            os.close(saved)
        self._ended.set()
        self._thread.join()

    def _follow(self) -> None:
        with self._path.open("rb") as log:
            while True:
                last = self._ended.wait(_LOG_PERIOD_S)
                while text := log.read(_LOG_BYTES):
                    self._sender.send(Logged(task=self._task, text=text))
                if last:
                    return


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue  # The step closed it.
    ctypes.CDLL(None).fflush(None)


def main() -> None:
    """Serve the host that started this process; the argument is the scratch folder."""
    scratch = Path(sys.argv[1])
    incoming, outgoing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    faulthandler.enable(2)
    # A line shows as soon as it is printed, although this is no terminal.
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(line_buffering=True)
    with os.fdopen(incoming, "rb") as reading, os.fdopen(outgoing, "wb") as writing:
        Worker(Receiver(reading, ToWorker), Sender(writing), scratch).run()


if __name__ == "__main__":
    main()
