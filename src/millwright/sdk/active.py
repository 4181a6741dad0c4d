"""The active run: what `import millwright as mw` logs to, over either door.

    with mw.start_run("train", experiment="churn", params={"max_depth": 3}):
        mw.log_metric("auc", 0.87)

A run is active in the context that started it: in its thread, and in the tasks and calls that
copy its context. Another thread is handed the run itself, whose methods any thread may call.
Each call is written before it returns.
"""

from __future__ import annotations

import atexit
import math
import os
import re
import sys
import threading
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from millwright.core.errors import Conflict, Failed, MillwrightError, NotFound
from millwright.core.ids import RunId
from millwright.records.runs import MetricPoint, Problem, RunLink, RunStatus

if TYPE_CHECKING:
    from millwright.doors.door import Door
    from millwright.workspace.config import Config

DEFAULT_EXPERIMENT = "Default"
MAX_PROBLEM_CHARS = 2000

_ACTIVE: ContextVar[ActiveRun | None] = ContextVar("millwright_active_run", default=None)


class ActiveRun:
    """A run that takes what is logged to it until it is ended; made by `start_run`.

    As a context manager it ends with its block: `finished`, `cancelled` by Ctrl-C, or `failed`
    with the exception as its problem. A run that nobody ends is ended when the interpreter
    exits, `failed` where an exception ended the script; that of a killed process stays
    `running`. Every method raises what the door raises, and Conflict once the run has ended.
    """

    def __init__(self, door: Door, run: RunId, *, name: str, experiment: str) -> None:
        self.id = run
        self.name = name
        self.experiment = experiment
        self._door = door
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._ended = False
        atexit.register(self._end_at_exit)

    def __repr__(self) -> str:
        return f"<{'ended' if self._ended else 'active'} run {self.name} {self.id}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._ended:
            return
        status, problem = outcome_of(error)
        try:
            self.end(status, error=problem)
        except MillwrightError as lost:
            if error is None:
                raise
            # What went wrong in the block matters more than that it could not be written down.
            error.add_note(f"run {self.id} could not be ended: {lost}")

    @property
    def ended(self) -> bool:
        """Tell whether nothing can be logged to it any more."""
        return self._ended

    def log_param(self, key: str, value: object) -> None:
        """Record a parameter, as text; it keeps the value it was first given."""
        self.log_params({key: value})

    def log_params(self, params: Mapping[str, object]) -> None:
        """Record parameters, as text; raises Conflict for one that has another value."""
        texts = {key: str(value) for key, value in params.items()}
        self._open_door().runs.log_params(run=self.id, params=texts)

    def log_metric(self, key: str, value: float, *, step: int = 0) -> None:
        """Append one point to the history of a metric."""
        self.log_metrics({key: value}, step=step)

    def log_metrics(self, metrics: Mapping[str, float], *, step: int = 0) -> None:
        """Append a point to the history of each metric, in one write.

        A value that is not finite is kept as None, since JSON has no other word for it.
        """
        points = [
            MetricPoint(key=key, value=_finite(float(value)), step=step)
            for key, value in metrics.items()
        ]
        self._open_door().runs.log_metrics(run=self.id, points=points)

    def set_tag(self, key: str, value: object) -> None:
        """Set a tag, as text, replacing an earlier value."""
        self.set_tags({key: value})

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags, as text, replacing earlier values."""
        texts = {key: str(value) for key, value in tags.items()}
        self._open_door().runs.set_tags(run=self.id, tags=texts)

    def log_artifact(self, path: str | Path, *, name: str | None = None) -> None:
        """Store a file or a folder as an output of the run, called `name` or as it is on disk.

        Raises NotFound when it is not there.
        """
        path = Path(path).absolute()
        door = self._open_door()
        put = door.artifacts.put_folder if path.is_dir() else door.artifacts.put_file
        digest = put(path)
        link = RunLink(
            way="output", name=name or path.name, what="artifact", id=digest, digest=digest
        )
        door.runs.log_links(run=self.id, links=[link])

    def end(self, status: RunStatus = "finished", *, error: Problem | None = None) -> None:
        """Close the run and let go of the door; nothing can be logged any more.

        When the door raises the run stays open, and may be ended again.
        """
        with self._lock:
            door = self._open_door()
            door.runs.finish(run=self.id, status=status, error=error)
            self._ended = True
        atexit.unregister(self._end_at_exit)
        if _ACTIVE.get() is self:
            _ACTIVE.set(None)
        door.close()

    def _open_door(self) -> Door:
        if self._ended:
            raise Conflict(
                f"run {self.id} has ended: nothing can be logged to it any more",
                fix="start another run",
            )
        return self._door

    def _end_at_exit(self) -> None:
        # A child that was forked runs these calls too, and the run is not its own.
        if self._ended or os.getpid() != self._process:
            return
        status, problem = outcome_of(_what_ended_the_script())
        try:
            self.end(status, error=problem)
        except MillwrightError as lost:
            sys.stderr.write(f"run {self.id} could not be ended: {lost}\n")


def start_run(
    name: str | None = None,
    *,
    experiment: str = DEFAULT_EXPERIMENT,
    tags: Mapping[str, object] | None = None,
    params: Mapping[str, object] | None = None,
) -> ActiveRun:
    """Begin a run and make it the active one, as a plain call or in a `with` block.

    It is kept where the settings say: by the server at `url` in `millwright.toml` or
    MILLWRIGHT_URL, else in the home there, or here, which is made when there is none. What the
    run is made from is stored with it: source files, git commit, installed packages. Without a
    name it is called as the script is.

    Raises Conflict while another run is active in this context, Invalid for a name or settings
    that cannot be, and what the door raises.
    """
    from millwright.sdk.connection import find_config

    return start_in(find_config(), name, experiment=experiment, tags=tags, params=params)


def start_in(
    config: Config,
    name: str | None = None,
    *,
    experiment: str = DEFAULT_EXPERIMENT,
    tags: Mapping[str, object] | None = None,
    params: Mapping[str, object] | None = None,
) -> ActiveRun:
    """Begin a run with settings that were read already; otherwise as `start_run`."""
    before = active_run()
    if before is not None:
        raise Conflict(
            f"run {before.id} ({before.name}) is still active",
            why="what is logged goes to one run",
            fix="end it with end_run(), or start each run in a `with` block",
        )
    from millwright.sdk.connection import open_door, record_source

    name = name or _script_name()
    door = open_door(config, create=True)
    try:
        source = record_source(config, door)
        made = door.runs.start(name=name, source=source, experiment=experiment)
    except BaseException:
        door.close()
        raise
    run = ActiveRun(door, made.id, name=made.name, experiment=made.experiment)
    try:
        if tags:
            run.set_tags(tags)
        if params:
            run.log_params(params)
    except BaseException as error:
        run.__exit__(type(error), error, error.__traceback__)
        raise
    _ACTIVE.set(run)
    return run


def active_run() -> ActiveRun | None:
    """Return the run that is active in this context, or None."""
    run = _ACTIVE.get()
    return None if run is None or run.ended else run


def end_run(status: RunStatus = "finished") -> None:
    """End the active run; there may be none."""
    run = active_run()
    if run is not None:
        run.end(status)


def log_param(key: str, value: object) -> None:
    """Record a parameter of the active run, as text; it keeps the value it was first given."""
    _required().log_param(key, value)


def log_params(params: Mapping[str, object]) -> None:
    """Record parameters of the active run, as text."""
    _required().log_params(params)


def log_metric(key: str, value: float, *, step: int = 0) -> None:
    """Append one point to the history of a metric of the active run."""
    _required().log_metric(key, value, step=step)


def log_metrics(metrics: Mapping[str, float], *, step: int = 0) -> None:
    """Append a point to the history of each metric of the active run, in one write."""
    _required().log_metrics(metrics, step=step)


def set_tag(key: str, value: object) -> None:
    """Set a tag of the active run, replacing an earlier value."""
    _required().set_tag(key, value)


def set_tags(tags: Mapping[str, object]) -> None:
    """Set tags of the active run, replacing earlier values."""
    _required().set_tags(tags)


def log_artifact(path: str | Path, *, name: str | None = None) -> None:
    """Store a file or a folder as an output of the active run."""
    _required().log_artifact(path, name=name)


def outcome_of(error: BaseException | None) -> tuple[RunStatus, Problem | None]:
    """Return how a run ends that this exception left, or none."""
    match error:
        case None | SystemExit(code=None | 0):
            return "finished", None
        case KeyboardInterrupt():
            return "cancelled", None
        case MillwrightError():
            return "failed", Problem(code=error.code, what=error.what, why=error.why, fix=error.fix)
        case _:
            words = "".join(traceback.format_exception_only(error)).strip()
            return "failed", Problem(
                code=Failed.code, what=words[:MAX_PROBLEM_CHARS], why=_where(error)
            )


def _required() -> ActiveRun:
    run = active_run()
    if run is None:
        raise NotFound(
            "no run is active here",
            why="a run is active in the thread that started it; a step of a pipeline has none",
            fix="start one with start_run(); in another thread call the methods of the run "
            "itself, in a step those of its StepContext",
        )
    return run


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return ""
    last = frames[-1]
    return f"in {last.name}, {Path(last.filename).name} line {last.lineno}"


def _what_ended_the_script() -> BaseException | None:
    # In a notebook or at the prompt an exception ends nothing, and the last one may be hours old.
    if hasattr(sys, "ps1") or sys.flags.interactive:
        return None
    return getattr(sys, "last_value", None)


def _script_name() -> str:
    stem = Path(sys.argv[0]).stem if sys.argv else ""
    if stem.startswith("-"):
        # There is no script: `python -c` and its like.
        return "run"
    return re.sub(r"[^A-Za-z0-9_.-]", "-", stem).strip("_.-")[:100] or "run"
