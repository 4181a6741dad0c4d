"""Runs a project's pipelines on a home: finds the file, makes the host, gives back the run."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec
from msgspec import Struct

from millwright.core.errors import BY_CODE, Failed, Invalid, NotFound
from millwright.core.ids import RunId
from millwright.core.refs import did_you_mean
from millwright.pipelines.execute import execute
from millwright.pipelines.execute import plan as make_plan
from millwright.pipelines.executor import StoreAddress, load_executor
from millwright.pipelines.graph import Given, Pipeline
from millwright.pipelines.host import Host, OnEvent, ignore
from millwright.pipelines.loading import load_file
from millwright.pipelines.step import hints_of
from millwright.records.events import Act
from millwright.records.pipelines import PipelineRun, PlannedStep
from millwright.records.runs import Problem
from millwright.tracking.environment import capture, command_line
from millwright.workspace.config import Config

if TYPE_CHECKING:
    from millwright.workspace.open import Workspace

CODEC = "millwright.registry.flavors.sklearn:SklearnFlavor"
DEFAULT_WORKERS = 2
CHECK_EVERY_S = 0.2


class Place(Struct, frozen=True, kw_only=True):
    """Where a child process finds the home and the project."""

    home: str
    root: str
    database: str | None
    project: str


class Order(Struct, frozen=True, kw_only=True):
    """What a child process is told to run."""

    place: Place
    act: Act
    target: str
    params: dict[str, object]
    workers: int


class Outcome(Struct, frozen=True, kw_only=True):
    """What a child process answers."""

    run: RunId | None = None
    status: str = ""
    problem: Problem | None = None


def find_pipeline(target: str, root: Path) -> Pipeline[..., object]:
    """Return the pipeline that `FILE.py` or `FILE.py:NAME` names; FILE is below `root`.

    Raises NotFound when there is none of that name, and Invalid when a file has several and
    none is named, or lies elsewhere.
    """
    file, _, name = target.partition(":")
    path = (root / file).resolve()
    if not path.is_relative_to(root.resolve()):
        raise Invalid(
            f"{file} lies outside the project in {root}",
            why="only the project's own files are run",
            fix="copy it into the project's folder",
        )
    module = load_file(path, root)
    found: dict[str, Pipeline[..., object]] = {}
    for value in vars(module).values():
        if isinstance(value, Pipeline):
            made = cast("Pipeline[..., object]", value)
            found[made.name] = made
    if name:
        if name not in found:
            raise NotFound(
                f"{file} has no pipeline called {name!r}",
                why=f"it has: {', '.join(found) or 'none'}",
                fix=did_you_mean(name, found),
            )
        return found[name]
    if len(found) != 1:
        raise Invalid(
            f"{file} has {len(found)} pipelines",
            why=f"they are: {', '.join(found)}" if found else "none is decorated with @pipeline",
            fix=f"name one: {file}:NAME" if found else "decorate a function with @pipeline",
        )
    return next(iter(found.values()))


def resolve(
    workspace: Workspace, pipeline: Pipeline[..., object], params: Mapping[str, object]
) -> dict[str, object]:
    """Return the parameters with dataset versions in place of the references that name them.

    A parameter annotated as a Path takes a dataset reference (`loans@v3`), which is looked up
    now: the step is handed the version's file, and the run records which version it was.
    """
    hints = hints_of(pipeline.function)
    known = inspect.signature(pipeline.function).parameters
    resolved: dict[str, object] = {}
    for name, value in params.items():
        if name in known and hints.get(name) is Path and isinstance(value, str):
            version = workspace.data.show(ref=value)
            resolved[name] = Given(
                kind="data",
                digest=version.digest,
                name=f"{version.name}.{version.format}",
                what="dataset_version",
                id=version.id,
            )
        else:
            resolved[name] = value
    return resolved


def run(
    workspace: Workspace,
    target: str,
    params: Mapping[str, object],
    *,
    root: Path,
    act: Act,
    executor: str = "local",
    workers: int = DEFAULT_WORKERS,
    on_event: OnEvent = ignore,
) -> PipelineRun:
    """Execute a pipeline of the project at `root` in this process, and return how it ended.

    Modules of the project must not have been imported and edited before: use a process a run.
    """
    pipeline = find_pipeline(target, root)
    workspace.home.runs.close_abandoned(act)
    with _Hosted(workspace, root=root, act=act, executor=executor, workers=workers) as host:
        return execute(pipeline, resolve(workspace, pipeline, params), host=host, on_event=on_event)


def plan(
    workspace: Workspace, target: str, params: Mapping[str, object], *, root: Path, act: Act
) -> list[PlannedStep]:
    """Return what `run` would do now, and why, without doing it."""
    pipeline = find_pipeline(target, root)
    with _Hosted(workspace, root=root, act=act, executor="local", workers=1) as host:
        return make_plan(pipeline, resolve(workspace, pipeline, params), host=host)


def run_apart(
    config: Config,
    act: Act,
    target: str,
    params: Mapping[str, object],
    *,
    workers: int = DEFAULT_WORKERS,
    is_wanted: Callable[[], bool] = lambda: True,
) -> RunId:
    """Execute a pipeline in a fresh process and return its run's id.

    It runs in the act's project. The child ends when this process does, and when `is_wanted`
    says no. Raises Failed when a step failed, and what the child raised.
    """
    order = Order(
        place=Place(
            home=str(config.home),
            root=str(config.root),
            database=config.database,
            project=act.project,
        ),
        act=act,
        target=target,
        params=dict(params),
        workers=workers,
    )
    child = subprocess.Popen(
        [sys.executable, "-m", "millwright.workspace.pipeline_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=config.root,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert child.stdin is not None
    assert child.stdout is not None
    # The pipe stays open: its end tells the child that nobody waits for it any more.
    with child.stdin, child.stdout:
        child.stdin.write(msgspec.json.encode(order) + b"\n")
        child.stdin.flush()
        while child.poll() is None and is_wanted():
            with suppress(subprocess.TimeoutExpired):
                child.wait(timeout=CHECK_EVERY_S)
        child.stdin.close()
        said = child.stdout.read()
    code = child.wait()
    try:
        outcome = msgspec.json.decode(said.splitlines()[-1], type=Outcome)
    except (msgspec.MsgspecError, IndexError) as error:
        raise Failed(f"the process of {target} ended with code {code} and no result") from error
    if outcome.problem is not None:
        problem = outcome.problem
        kind = BY_CODE.get(problem.code, Failed)
        raise kind(problem.what, why=problem.why, fix=problem.fix)
    assert outcome.run is not None
    if outcome.status != "finished":
        raise Failed(
            f"pipeline {target} is {outcome.status}", fix=f"see: mill runs steps {outcome.run}"
        )
    return outcome.run


def parse_params(pairs: list[str]) -> dict[str, object]:
    """Return `key=value` pairs as parameters; a value that is JSON is read as such.

    Raises Invalid for a pair without `=`.
    """
    found: dict[str, object] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise Invalid(f"{pair!r} is not a parameter", fix="write it as name=value")
        try:
            found[key] = json.loads(text)
        except json.JSONDecodeError:
            found[key] = text
    return found


class _Hosted:
    """A host for one run; its executor is shut down at the end."""

    def __init__(
        self, workspace: Workspace, *, root: Path, act: Act, executor: str, workers: int
    ) -> None:
        home = workspace.home
        self._executor = load_executor(executor, workers=workers)
        self._host = Host(
            database=home.database,
            store=home.artifacts,
            store_address=StoreAddress(backend="local", location=str(home.artifacts_folder)),
            runs=home.runs,
            recorder=home.journal,
            executor=self._executor,
            clock=home.clock,
            act=act,
            source=capture(home.artifacts, root, command_line()),
            project_root=root,
            door=workspace,
            codec=CODEC,
        )

    def __enter__(self) -> Host:
        return self._host

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
