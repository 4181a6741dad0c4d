"""Steps in processes of this machine: started when first needed, used again, ended together.

Workers are spawned, never forked, since the host may hold threads of polars or of a database.
Each has a session of its own, so that Ctrl-C at the terminal reaches the host alone, which then
lets running steps end; and so that ending a worker ends whatever its step had started.
"""

from __future__ import annotations

import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from millwright.core.errors import Conflict, Failed, Invalid
from millwright.pipelines.executor import (
    Answer,
    Broke,
    Called,
    Finished,
    Logged,
    Lost,
    Message,
    Stale,
    Task,
)
from millwright.pipelines.wire import Receiver, Sender
from millwright.pipelines.worker import LOG_NAME, FromWorker

MAX_WORKERS = 1024
_END_WAIT_S = 5.0
_MODULE = "millwright.pipelines.worker"


class LocalExecutor:
    """Runs up to `workers` tasks at once, each in a process of its own."""

    def __init__(self, workers: int = 2) -> None:
        if not 1 <= workers <= MAX_WORKERS:
            raise Invalid(f"{workers} workers", fix=f"give a number from 1 to {MAX_WORKERS}")
        self._limit = workers
        self._lock = threading.RLock()
        self._waiting: deque[tuple[Task, Answer]] = deque()
        self._workers: list[_Worker] = []
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._under_way: set[str] = set()
        self._started = 0
        self._folder: Path | None = None
        self._closed = False

    def submit(self, task: Task, answer: Answer) -> None:
        """Take a task, to be run as soon as a worker is free."""
        with self._lock:
            if self._closed:
                raise Conflict("the executor was shut down", fix="make another one")
            if task.id in self._under_way:
                raise Conflict(f"task {task.id} is under way already")
            self._under_way.add(task.id)
            self._waiting.append((task, answer))
            self._give_out()

    def wait_any(self, timeout_s: float | None = None) -> Message | None:
        """Return the next message, or None when none comes in time."""
        if timeout_s is None and not self._under_way and self._messages.empty():
            raise Invalid("no task is under way", why="waiting would never end")
        try:
            message = self._messages.get(timeout_s != 0, timeout_s)
        except queue.Empty:
            return None
        if isinstance(message, Finished | Broke | Lost):
            with self._lock:
                self._under_way.discard(message.task)
        return message

    def cancel(self, task_id: str) -> None:
        """End a task: one that waits is dropped, and the worker of one that runs is killed."""
        with self._lock:
            for item in self._waiting:
                if item[0].id == task_id:
                    self._waiting.remove(item)
                    self._messages.put(Lost(task=task_id, why="cancelled", cancelled=True))
                    return
            for worker in self._workers:
                if worker.task is not None and worker.task.id == task_id:
                    worker.cancelled = True
                    worker.kill()

    def shutdown(self) -> None:
        """End all workers and wait for them."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for task, _ in self._waiting:
                self._messages.put(Lost(task=task.id, why="the executor was shut down"))
            self._waiting.clear()
            workers = list(self._workers)
        for worker in workers:
            worker.end()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _give_out(self) -> None:
        """Give waiting tasks to free workers, and start workers while there is room."""
        while self._waiting:
            free = next((worker for worker in self._workers if worker.task is None), None)
            if free is None:
                if len(self._workers) >= self._limit:
                    return
                free = self._start()
            task, answer = self._waiting.popleft()
            free.give(task, answer)

    def _start(self) -> _Worker:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="mill-workers-"))
        self._started += 1
        scratch = self._folder / str(self._started)
        scratch.mkdir()
        worker = _Worker(scratch)
        self._workers.append(worker)
        worker.listener = threading.Thread(target=self._listen, args=(worker,), daemon=True)
        worker.listener.start()
        return worker

    def _listen(self, worker: _Worker) -> None:
        """Pass on what a worker sends, until it ends; runs in a thread of the worker's own."""
        while (message := worker.receive()) is not None:
            if isinstance(message, Called):
                worker.reply(message)
            elif isinstance(message, Stale):
                self._replace(worker)
            elif worker.task is not None and worker.task.id == message.task:
                if isinstance(message, Logged):
                    worker.logged_bytes += len(message.text)
                with self._lock:
                    self._messages.put(message)
                    if isinstance(message, Finished | Broke):
                        worker.task = None
                        self._give_out()
        self._bury(worker)

    def _replace(self, worker: _Worker) -> None:
        """Take back the task of a worker that has old code loaded; a new one will run it."""
        with self._lock:
            assert worker.task is not None
            assert worker.answer is not None
            self._waiting.appendleft((worker.task, worker.answer))
            worker.task = None
            self._workers.remove(worker)
            self._give_out()
        worker.kill()

    def _bury(self, worker: _Worker) -> None:
        why = worker.wait()
        with self._lock:
            if worker.task is not None:
                rest = worker.unsent_log()
                if rest:
                    self._messages.put(Logged(task=worker.task.id, text=rest))
                self._messages.put(
                    Lost(
                        task=worker.task.id,
                        why="cancelled" if worker.cancelled else why,
                        cancelled=worker.cancelled,
                    )
                )
                worker.task = None
            if worker in self._workers:
                self._workers.remove(worker)
            if not self._closed:
                self._give_out()


class _Worker:
    """One worker process, and the task it has."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        with (scratch / "stderr").open("wb") as errors:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", _MODULE, str(scratch)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    start_new_session=True,
                )
            except OSError as error:
                raise Failed(
                    "a worker process cannot be started",
                    why=str(error),
                    fix="free some memory or processes, and try again",
                ) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._sender = Sender(self._process.stdin)
        self._receiver: Receiver[FromWorker] = Receiver(self._process.stdout, FromWorker)
        self._ending = threading.RLock()
        self._ended = False
        self.task: Task | None = None
        self.answer: Answer | None = None
        self.cancelled = False
        self.logged_bytes = 0
        self.listener: threading.Thread | None = None

    def give(self, task: Task, answer: Answer) -> None:
        """Hand a task over; a worker that has died is noticed by its listener."""
        self.task, self.answer, self.logged_bytes = task, answer, 0
        with suppress(OSError):
            self._sender.send(task)

    def receive(self) -> FromWorker | None:
        """Return the next message, None when there will be none."""
        return self._receiver.receive()

    def reply(self, called: Called) -> None:
        """Carry out a call of the step and send its reply."""
        assert self.answer is not None
        reply = self.answer(called)
        with suppress(OSError):
            self._sender.send(reply)

    def kill(self) -> None:
        """End the process and whatever it has started, at once."""
        with self._ending, suppress(ProcessLookupError, PermissionError):
            if not self._ended:
                os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Close the process's input, which ends it, and wait for its listener."""
        self._sender.close()
        deadline = time.monotonic() + _END_WAIT_S
        if self.listener is not None:
            self.listener.join(max(0.0, deadline - time.monotonic()))
            if self.listener.is_alive():
                self.kill()
                self.listener.join()

    def wait(self) -> str:
        """Wait for the end of the process and return in words how it came about."""
        # Seen, and not yet reaped: until then its number names its group, and nobody else's.
        # The step may have started processes that outlive the worker.
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        with self._ending:
            self.kill()
            self._ended = True
        code = self._process.wait()
        self._sender.close()
        if self._process.stdout is not None:
            self._process.stdout.close()
        if code < 0:
            with suppress(ValueError):
                return f"its process was killed by {signal.Signals(-code).name}"
            return f"its process was killed by signal {-code}"
        said = (self._scratch / "stderr").read_bytes()[-2000:].decode(errors="replace").strip()
        return f"its process ended by itself with exit code {code}" + (f": {said}" if said else "")

    def unsent_log(self) -> bytes:
        """Return what the step printed and the worker could not pass on any more."""
        try:
            with (self._scratch / LOG_NAME).open("rb") as log:
                log.seek(self.logged_bytes)
                return log.read()
        except OSError:
            return b""
