"""The port of those who run steps: four calls, and messages that come back.

An executor is given tasks and tells what became of them. It knows nothing of graphs, caches or
databases; a task names its inputs by digest, and its results come back as digests, so that a
lost worker, process or node loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias, cast, runtime_checkable

from msgspec import Struct

from millwright.core import plugins
from millwright.core.digest import Digest
from millwright.pipelines.arguments import Address, Argument
from millwright.records.pipelines import StepOutput
from millwright.records.runs import MetricPoint, Problem

GROUP = "millwright.executors"


class StoreAddress(Struct, frozen=True, kw_only=True):
    """How a worker opens the artifact store: a backend's name, and its folder or address."""

    backend: str
    location: str


class Task(Struct, frozen=True, kw_only=True, tag="task"):
    """One step to be run, complete: a worker needs nothing else."""

    id: str
    """The id of the step's run."""
    step: str
    address: Address
    arguments: dict[str, Argument]
    store: StoreAddress
    root: str
    """The project's folder: modules come from it, and steps run in it."""
    search: list[str]
    """Folders below `root` that modules are looked for in, in order."""
    sources: dict[str, Digest]
    """The files whose code the fingerprint covers; a worker runs no other bytes."""
    codec: str = ""
    """`module:attribute` of the ModelCodec, or empty."""
    damaged: list[Digest] = []
    """Stored objects found damaged, which a result with the same digest replaces."""


class Logged(Struct, frozen=True, kw_only=True, tag="logged"):
    """What the step, or anything it called, printed."""

    task: str
    text: bytes


class Progressed(Struct, frozen=True, kw_only=True, tag="progressed"):
    """How far the step says it is."""

    task: str
    done: float
    total: float | None


class Noted(Struct, frozen=True, kw_only=True, tag="noted"):
    """Parameters, metrics and tags the step logged to its run."""

    task: str
    params: dict[str, str] = {}
    metrics: list[MetricPoint] = []
    tags: dict[str, str] = {}


class Called(Struct, frozen=True, kw_only=True, tag="called"):
    """A call on the host's door: `door.<noun>.<method>(**arguments)`."""

    task: str
    number: int
    noun: str
    method: str
    arguments: bytes
    """A MessagePack mapping of argument names to plain values."""


class Reply(Struct, frozen=True, kw_only=True, tag="reply"):
    """The answer to a call: a MessagePack value, or what went wrong."""

    number: int
    value: bytes = b""
    problem: Problem | None = None


class Finished(Struct, frozen=True, kw_only=True, tag="finished"):
    """The step ended and its results are stored."""

    task: str
    outputs: list[StepOutput]


class Broke(Struct, frozen=True, kw_only=True, tag="broke"):
    """The step raised, or what it was given or returned cannot be stored or read."""

    task: str
    problem: Problem


class Stale(Struct, frozen=True, kw_only=True, tag="stale"):
    """This worker has loaded other bytes of the task's modules, and another one must run it."""

    task: str


class Lost(Struct, frozen=True, kw_only=True, tag="lost"):
    """Whoever ran the step is gone, or it was cancelled; nothing is known of its effects."""

    task: str
    why: str
    cancelled: bool = False


Message: TypeAlias = Logged | Progressed | Noted | Finished | Broke | Lost
"""What `wait_any` hands out; the last three end a task, and each task ends exactly once."""

Answer: TypeAlias = Callable[[Called], Reply]
"""Carries out a call on the host's door; called from any thread, and never raises."""


@runtime_checkable
class Executor(Protocol):
    """Runs tasks, several at once, each apart from the host's process."""

    def submit(self, task: Task, answer: Answer) -> None:
        """Take a task, to be run as soon as there is room; its door calls go to `answer`."""
        ...

    def wait_any(self, timeout_s: float | None = None) -> Message | None:
        """Return the next message, in the order a task sent them; None when none comes in time.

        `timeout_s` 0 does not wait, None waits as long as it takes. Raises Invalid when it would
        wait for ever, since no task is under way.
        """
        ...

    def cancel(self, task_id: str) -> None:
        """End a task, running or not; it ends as Lost, unless it ended in the meantime."""
        ...

    def shutdown(self) -> None:
        """End every process and thread; running tasks are lost. Calling it again does nothing."""
        ...


def load_executor(name: str, *, workers: int) -> Executor:
    """Return a fresh executor of the kind `name`; raises NotFound naming those installed."""
    return cast("Callable[[int], Executor]", plugins.load(GROUP, name))(workers)
