"""What a step is handed: a place to log to, and a door to the workspace that started it.

A step runs in another process, perhaps on another machine, and opens no metadata store. What it
asks of the workspace travels to the host as a noun, a method and plain values, is carried out
there by the actor who started the pipeline, and the answer or the error travels back.
"""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, Protocol, TypeVar, cast, get_type_hints

import msgspec

from millwright.core.clock import Clock, SystemClock
from millwright.core.errors import BY_CODE, Failed, Invalid, MillwrightError
from millwright.core.ids import RunId
from millwright.pipelines.executor import Answer, Called, Logged, Noted, Progressed, Reply
from millwright.records.runs import MetricPoint, Problem

T = TypeVar("T")

Sent = Noted | Progressed | Logged


class Channel(Protocol):
    """The way from a step to its host."""

    def send(self, message: Sent) -> None:
        """Pass a message on; does not wait."""
        ...

    def call(self, called: Called) -> Reply:
        """Pass a call on and wait for its reply."""
        ...


class StepContext:
    """Handed to a step whose parameter is called `ctx` or annotated with this class."""

    def __init__(
        self, *, run: RunId, step: str, folder: Path, channel: Channel, clock: Clock
    ) -> None:
        self.run = run
        self.step = step
        self.folder = folder
        """An empty folder of this step's own; gone when the step has ended."""
        self._channel = channel
        self._clock = clock
        self._calls = 0

    @classmethod
    def local(cls, *, door: object = None, folder: Path | None = None) -> StepContext:
        """Return a context for calling a step as a plain function, as tests do.

        What is logged is dropped; calls go to `door`, encoded as they would be on the way to
        another process. `folder` is made by the system when it is not given.
        """
        return cls(
            run=RunId("run_local"),
            step="local",
            folder=folder or Path(tempfile.mkdtemp(prefix="mill-step-")),
            channel=_Local(door),
            clock=SystemClock(),
        )

    def log_param(self, key: str, value: object) -> None:
        """Record a parameter of this step's run, as text."""
        self._channel.send(Noted(task=self.run, params={key: str(value)}))

    def log_metric(self, key: str, value: float, *, step: int = 0) -> None:
        """Record one point of a metric of this step's run."""
        point = MetricPoint(key=key, value=float(value), step=step, time_us=self._clock.now_us())
        self._channel.send(Noted(task=self.run, metrics=[point]))

    def log_metrics(self, metrics: Mapping[str, float], *, step: int = 0) -> None:
        """Record one point of each metric."""
        now_us = self._clock.now_us()
        points = [
            MetricPoint(key=key, value=float(value), step=step, time_us=now_us)
            for key, value in metrics.items()
        ]
        self._channel.send(Noted(task=self.run, metrics=points))

    def set_tag(self, key: str, value: str) -> None:
        """Set a tag of this step's run."""
        self._channel.send(Noted(task=self.run, tags={key: value}))

    def progress(self, done: float, total: float | None = None) -> None:
        """Say how far the step is, in whatever unit it counts."""
        self._channel.send(Progressed(task=self.run, done=done, total=total))

    def door(self, protocol: type[T], noun: str) -> T:
        """Return the host's `door.<noun>` as a `protocol`, whose methods are carried out there.

        Arguments and results travel as plain values, read by the protocol's annotations: text,
        numbers, lists, mappings, records, paths. Errors of Millwright are raised here as they
        were there.
        """
        return cast("T", _Proxy(protocol, noun, self._pass_on))

    def _pass_on(self, noun: str, method: str, arguments: bytes) -> bytes:
        self._calls += 1
        called = Called(
            task=self.run, number=self._calls, noun=noun, method=method, arguments=arguments
        )
        reply = self._channel.call(called)
        if reply.problem is not None:
            problem = reply.problem
            raise BY_CODE.get(problem.code, Failed)(problem.what, why=problem.why, fix=problem.fix)
        return reply.value


def answer_with(door: object) -> Answer:
    """Return what carries out calls on `door`, whose attributes are the nouns."""

    def answer(called: Called) -> Reply:
        try:
            return Reply(number=called.number, value=_carry_out(door, called))
        except MillwrightError as error:
            return Reply(number=called.number, problem=problem_of(error))
        except Exception as error:  # noqa: BLE001 (whatever broke must reach the step that waits)
            what = f"{called.noun}.{called.method} broke: {type(error).__name__}: {error}"
            return Reply(number=called.number, problem=Problem(code=Failed.code, what=what))

    return answer


def problem_of(error: MillwrightError) -> Problem:
    """Return an error as a record."""
    return Problem(code=error.code, what=error.what, why=error.why, fix=error.fix)


class _Local:
    def __init__(self, door: object) -> None:
        self._answer = answer_with(door)

    def send(self, message: Sent) -> None:
        """Drop it: nobody listens."""

    def call(self, called: Called) -> Reply:
        return self._answer(called)


class _Proxy(Generic[T]):
    def __init__(
        self, protocol: type[T], noun: str, pass_on: Callable[[str, str, bytes], bytes]
    ) -> None:
        self._protocol = protocol
        self._noun = noun
        self._pass_on = pass_on

    def __getattr__(self, name: str) -> Callable[..., object]:
        function = getattr(self._protocol, name, None)
        if name.startswith("_") or not inspect.isfunction(function):
            raise AttributeError(f"{self._protocol.__name__} has no method {name!r}")
        hints = get_type_hints(function)

        def call(*args: object, **kwargs: object) -> object:
            bound = inspect.signature(function).bind(self, *args, **kwargs)
            # The first parameter is the protocol's own `self`.
            given = dict(list(bound.arguments.items())[1:])
            arguments = {key: _to_plain(value) for key, value in given.items()}
            value = self._pass_on(self._noun, name, msgspec.msgpack.encode(arguments))
            return _from_plain(msgspec.msgpack.decode(value), hints.get("return", object))

        return call


def _carry_out(door: object, called: Called) -> bytes:
    noun = None if called.noun.startswith("_") else getattr(door, called.noun, None)
    method = None if called.method.startswith("_") else getattr(noun, called.method, None)
    if not callable(method):
        raise Invalid(
            f"the host's door has no {called.noun}.{called.method}",
            why="no door was given to this pipeline" if door is None else "",
            fix="name a noun and a method of the workspace",
        )
    hints = get_type_hints(method)
    given = msgspec.msgpack.decode(called.arguments, type=dict[str, object])
    arguments = {key: _from_plain(value, hints.get(key, object)) for key, value in given.items()}
    return msgspec.msgpack.encode(_to_plain(method(**arguments)))


def _to_plain(value: object) -> object:
    try:
        return msgspec.to_builtins(value, enc_hook=_encode, builtin_types=(bytes,))
    except TypeError as error:
        raise Invalid(
            f"a value of type {type(value).__name__} cannot pass through a step's door",
            why=str(error),
            fix="store it and pass its digest, or pass plain values and records",
        ) from error


def _from_plain(value: object, hint: object) -> object:
    try:
        return msgspec.convert(
            value, cast("type[object]", hint), dec_hook=_decode, builtin_types=(bytes,)
        )
    except msgspec.ValidationError as error:
        raise Invalid(f"a value that passed a step's door is wrong: {error}") from error


def _encode(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"objects of type {type(value).__name__} are not plain")


def _decode(kind: type, value: object) -> object:
    if issubclass(kind, Path) and isinstance(value, str):
        return kind(value)
    raise NotImplementedError(f"{kind.__name__} cannot be made from {value!r}")
