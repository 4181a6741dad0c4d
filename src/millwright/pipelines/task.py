"""Run one task where it is: load the step and its inputs, call it, store what it returns.

Shared by every executor, whatever kind of worker calls it; knows nothing of processes.
"""

from __future__ import annotations

import linecache
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import assert_never, cast, get_args

from millwright.artifacts.backend import load_backend
from millwright.artifacts.store import ArtifactStore
from millwright.core.clock import Clock
from millwright.core.errors import Failed, MillwrightError
from millwright.core.ids import RunId
from millwright.pipelines.arguments import Address, Argument, Many, Named, Plain, Ref, Stored
from millwright.pipelines.context import Channel, StepContext, problem_of
from millwright.pipelines.executor import Broke, Finished, StoreAddress, Task
from millwright.pipelines.step import (
    Step,
    context_parameter,
    hints_of,
    output_hints,
    split_result,
)
from millwright.pipelines.values import Values, load_codec
from millwright.records.runs import Problem

_FRAMES = 3

FindStep = Callable[[Address], Step[..., object]]


def perform(
    task: Task, *, find_step: FindStep, channel: Channel, scratch: Path, clock: Clock
) -> Finished | Broke:
    """Run the task and return how it ended; what it raises is written to stderr and returned.

    `scratch` is an empty folder that the caller removes afterwards.
    """
    try:
        step = find_step(task.address)
        values = Values(open_store(task.store), load_codec(task.codec), frozenset(task.damaged))
        loader = _Loader(values, find_step, scratch / "in")
        hints = hints_of(step.function)
        arguments = {
            name: loader.load(value, hints.get(name), f"step {task.step}, argument {name}", name)
            for name, value in task.arguments.items()
        }
        context = context_parameter(step.function)
        if context is not None:
            folder = scratch / "own"
            folder.mkdir(parents=True)
            arguments[context] = StepContext(
                run=RunId(task.id), step=task.step, folder=folder, channel=channel, clock=clock
            )
        results = split_result(step, step.function(**arguments))
        made = output_hints(step)
        outputs = [
            values.save(value, step=task.step, output=name, hint=made[name])
            for name, value in results.items()
        ]
    except MillwrightError as error:
        return Broke(task=task.id, problem=problem_of(error))
    except BaseException as error:  # noqa: BLE001 (a step may raise anything, SystemExit too)
        traceback.print_exception(error, file=sys.stderr)
        return Broke(task=task.id, problem=_problem(error, Path(task.root)))
    return Finished(task=task.id, outputs=outputs)


def open_store(address: StoreAddress) -> ArtifactStore:
    """Open the artifact store at `address`; raises NotFound for an unknown kind of backend."""
    return ArtifactStore(load_backend(address.backend, address.location))


class _Loader:
    def __init__(self, values: Values, find_step: FindStep, folder: Path) -> None:
        self._values = values
        self._find_step = find_step
        self._folder = folder

    def load(self, argument: Argument, hint: object, place: str, path: str) -> object:
        inner = get_args(hint)
        match argument:
            case Plain():
                return _convert(argument.value, hint)
            case Stored():
                if hint is None and argument.maker is not None:
                    maker = self._find_step(argument.maker)
                    hint = output_hints(maker).get(argument.output)
                folder = self._folder / path
                folder.parent.mkdir(parents=True, exist_ok=True)
                return self._values.load(argument, hint=hint, folder=folder, place=place)
            case Many():
                one = inner[0] if inner else None
                items = (
                    self.load(item, one, f"{place}[{index}]", f"{path}.{index}")
                    for index, item in enumerate(argument.items)
                )
                return tuple(items) if getattr(hint, "__origin__", hint) is tuple else list(items)
            case Named():
                one = inner[1] if len(inner) == 2 else None
                return {
                    key: self.load(item, one, f"{place}[{key!r}]", f"{path}.{index}")
                    for index, (key, item) in enumerate(argument.items.items())
                }
            case Ref():
                raise AssertionError("arguments are bound before a task is made")
            case _:
                assert_never(argument)


def _convert(value: object, hint: object) -> object:
    """Return a plain value as its annotation wants it: records, dates and tuples come as such."""
    import msgspec

    if hint is None:
        return value
    try:
        return msgspec.convert(value, cast("type[object]", hint), str_keys=True)
    except (TypeError, msgspec.ValidationError):
        # The graph was checked; what msgspec does not know is passed as it is.
        return value


def _problem(error: BaseException, root: Path) -> Problem:
    if isinstance(error, SystemExit):
        what = f"the step called sys.exit({error.code!r})"
    else:
        what = f"{type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(root)] or frames
    lines = [
        f"at {frame.filename}:{frame.lineno} in {frame.name}: "
        + linecache.getline(frame.filename, frame.lineno or 0).strip()
        for frame in own[-_FRAMES:]
    ]
    return Problem(code=Failed.code, what=what, why="\n".join(lines))
