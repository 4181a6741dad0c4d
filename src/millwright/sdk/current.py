"""The run that is active: how it is started, and the calls that log to it without naming it.

    with mw.start_run("train", experiment="churn", params={"max_depth": 3}):
        mw.log_metric("auc", 0.87)

A run is active in the context that started it: in its thread, and in the tasks and calls that
copy its context. Another thread is handed the run itself, whose methods any thread may call;
another process is handed its id, and joins it with `attach_run`.
"""

from __future__ import annotations

import re
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from millwright.core.clock import Clock, SystemClock
from millwright.core.errors import (
    Conflict,
    Invalid,
    MillwrightError,
    NotFound,
    TimedOut,
    Unreachable,
    Unsupported,
)
from millwright.core.ids import RunId, new_id, parse_id
from millwright.core.refs import check_title
from millwright.records.runs import RunSource, RunStatus
from millwright.sdk.active import ActiveRun
from millwright.sdk.checks import exact
from millwright.sdk.connection import find_config, find_notebook, open_door, record_source
from millwright.sdk.forks import end_with_worker
from millwright.sdk.items import Begun, Item, Resumed, Stored, deliver
from millwright.sdk.losses import LoggingWarning
from millwright.sdk.notebook import find_shell
from millwright.sdk.route import Route, spool_folder
from millwright.sdk.sender import Sender
from millwright.sdk.surroundings import Surroundings
from millwright.sdk.syncing import spools_in, sync_spool

if TYPE_CHECKING:
    from millwright.doors.door import Door
    from millwright.workspace.config import Config

T = TypeVar("T")

DEFAULT_EXPERIMENT = "Default"

_ACTIVE: ContextVar[ActiveRun | None] = ContextVar("millwright_active_run", default=None)


class _Latest:
    """The run that was started last on the main thread of a notebook.

    Kernels differ in whether a cell sees what an earlier one set in its context.
    """

    run: ActiveRun | None = None


_LATEST = _Latest()


@dataclass(frozen=True, slots=True)
class Options:
    """What is noted of a run without being asked."""

    console: bool = True
    """Keep what the script prints as the run's log."""
    system: bool = True
    """Log what the machine does, every ten seconds, as metrics `system/…`."""


def start_run(
    name: str | None = None,
    *,
    experiment: str | None = None,
    tags: Mapping[str, object] | None = None,
    params: Mapping[str, object] | None = None,
    nested: bool = False,
    parent: ActiveRun | str | None = None,
    run_id: str | None = None,
    console: bool = True,
    system_metrics: bool = True,
) -> ActiveRun:
    """Begin a run and make it the active one, as a plain call or in a `with` block.

    It is kept where the settings say: by the server at `url` in `millwright.toml` or
    MILLWRIGHT_URL, else in the home there, or here, which is made when there is none. When the
    server is away, breaks or refuses the token, it begins all the same, is sent later, and a
    LoggingWarning says so. What the run is made from is stored with it: source files, git commit
    and what differs from it, installed packages. Without a name it is called as the script is.

    `nested` makes it part of the run that is active, which is active again when it ends;
    `parent` makes it part of another. Without `experiment` it is in that run's, else in Default.
    `run_id` goes on with a run that has ended. `console` and `system_metrics` say whether its
    output and what the machine does are kept.

    Raises Conflict while another run is active in this context, Invalid for a name or settings
    that cannot be, and NotFound where there is no run to go on with.
    """
    return start_in(
        find_config(),
        name,
        experiment=experiment,
        tags=tags,
        params=params,
        nested=nested,
        parent=parent,
        run_id=run_id,
        options=Options(console=console, system=system_metrics),
    )


def start_in(
    config: Config,
    name: str | None = None,
    *,
    experiment: str | None = None,
    tags: Mapping[str, object] | None = None,
    params: Mapping[str, object] | None = None,
    nested: bool = False,
    parent: ActiveRun | str | None = None,
    run_id: str | None = None,
    options: Options | None = None,
    clock: Clock | None = None,
) -> ActiveRun:
    """Begin a run with settings that were read already; otherwise as `start_run`."""
    before = active_run()
    if before is not None and not nested:
        raise Conflict(
            f"run {before.id} ({before.name}) is still active",
            why="what is logged goes to one run",
            fix="end it with end_run(), start each run in a `with` block, or say nested=True",
        )
    options = options or Options()
    name = name or _script_name()
    name = exact(check_title(name, "run"))
    if parent is None and nested:
        parent = before
    if experiment is None:
        experiment = parent.experiment if isinstance(parent, ActiveRun) else DEFAULT_EXPERIMENT
    experiment = exact(check_title(experiment, "experiment"))
    if run_id is not None and parent is not None:
        raise Invalid(
            "a run that goes on has its parent already", fix="leave out parent and nested"
        )
    surroundings = Surroundings(
        config.root,
        clock or SystemClock(),
        console=options.console,
        system=options.system,
        notebook=find_notebook(),
    )
    start = _Start(config, clock or SystemClock(), before, surroundings)
    if run_id is not None:
        run = start.resume(RunId(parse_id(run_id, "run")), name)
    else:
        above = parent.id if isinstance(parent, ActiveRun) else parent
        run = start.begin(
            name, experiment, None if above is None else RunId(parse_id(above, "run"))
        )
    try:
        if tags:
            run.set_tags(tags)
        if params:
            run.log_params(params)
    except BaseException as error:
        run.abandon(error)
        raise
    _activate(run)
    return run


def attach_run(run_id: str, *, config: Config | None = None) -> ActiveRun:
    """Log to a run that another process has begun, and make it the active one here.

    For the workers of a job: what they log arrives in the one run. Ending it here delivers what
    was logged here, and leaves the run open. Raises NotFound when there is none, and Conflict
    while another run is active in this context.
    """
    before = active_run()
    if before is not None:
        raise Conflict(f"run {before.id} ({before.name}) is still active", fix="end it first")
    config = config or find_config()
    run = _Start(config, SystemClock(), None, None).attach(RunId(parse_id(run_id, "run")))
    _activate(run)
    return run


def active_run() -> ActiveRun | None:
    """Return the run that is active in this context, or None."""
    run = _ACTIVE.get()
    if run is None and threading.current_thread() is threading.main_thread():
        run = _LATEST.run
    while run is not None and run.ended:
        run = run.outer
    return run


def end_run(status: RunStatus = "finished") -> None:
    """End the active run; there may be none."""
    run = active_run()
    if run is not None:
        run.end(status)


@dataclass(frozen=True, slots=True)
class _Start:
    """The ways in which a run becomes active."""

    config: Config
    clock: Clock
    outer: ActiveRun | None
    surroundings: Surroundings | None

    def begin(self, name: str, experiment: str, parent: RunId | None) -> ActiveRun:
        """Begin a new run."""
        route = Route(self.config, RunId(new_id("run")), self.clock)
        start_us = self.clock.now_us()
        door, away = self._open()
        sender = route.sender(door)
        try:
            source, objects = self._source(sender, door)
            begun = Begun(
                name=name, experiment=experiment, source=source, parent=parent, start_us=start_us
            )
            _ask_first(sender, _telling(sender, begun), away, begun)
        except BaseException:
            sender.stop()
            raise
        if objects:
            sender.submit(Stored(objects=objects))
        if not sender.away:
            _send_leftovers(self.config)
        return ActiveRun(
            route,
            sender,
            name=name,
            experiment=experiment,
            outer=self.outer,
            surroundings=self.surroundings,
            on_end=_let_go,
        )

    def resume(self, run: RunId, name: str) -> ActiveRun:
        """Go on with a run that was ended, or whose process is gone."""
        # What it could not send the last time comes first.
        sync_spool(self.config, run=run)
        route = Route(self.config, run, self.clock)
        door, away = self._open()
        sender = route.resumed_sender(door)
        again, found = Resumed(), None
        try:
            if sender.backlog.waiting:
                sender.submit(again)
            else:
                # Seen before it goes on: how it had ended is what a start that fails leaves.
                found = _ask_first(sender, lambda door: door.runs.show(ref=run), away, again)
            if found is not None:
                _ask_first(sender, _telling(sender, again), None, again)
        except BaseException:
            sender.stop()
            raise
        return ActiveRun(
            route,
            sender,
            name=name if found is None else found.name,
            experiment=DEFAULT_EXPERIMENT if found is None else found.experiment,
            outer=self.outer,
            goes_on=True,
            before=found,
            surroundings=self.surroundings,
            on_end=_let_go,
        )

    def attach(self, run: RunId) -> ActiveRun:
        """Join a run that another process has begun."""
        route = Route(self.config, run, self.clock)
        door, away = self._open()
        sender = route.worker_sender(door)
        try:
            found = _ask_first(sender, lambda door: door.runs.show(ref=run), away)
        except BaseException:
            sender.stop()
            raise
        joined = ActiveRun(
            route,
            sender,
            name=run if found is None else found.name,
            experiment=DEFAULT_EXPERIMENT if found is None else found.experiment,
            owned=False,
            before=found,
            on_end=_let_go,
        )
        end_with_worker(joined.end_at_exit)
        return joined

    def _source(self, sender: Sender, door: Door | None) -> tuple[RunSource, list[str]]:
        """Return what the run is made from, as far as there is room for it, and its objects."""
        try:
            return record_source(self.config, door, sender.open_folder)
        except OSError as error:
            from millwright.tracking.environment import command_line, describe

            sender.lose("what it is made from", error)
            return describe(command_line()), []

    def _open(self) -> tuple[Door | None, MillwrightError | None]:
        """Open the door; None and the reason when the home's database is away."""
        try:
            return open_door(self.config, create=True), None
        except (Unreachable, TimedOut) as error:
            return None, error


def _telling(sender: Sender, item: Item) -> Callable[[Door], Literal[True]]:
    def tell(door: Door) -> Literal[True]:
        deliver(door, sender.run, item, folder=sender.folder)
        return True

    return tell


def _ask_first(
    sender: Sender,
    ask: Callable[[Door], T],
    away: MillwrightError | None,
    later: Item | None = None,
) -> T | None:
    """Ask the door before a run begins; None, told by a warning, when that has to wait.

    Then `later` is said later. Raises what the caller did wrong, and nothing that is a server's.
    """
    try:
        if away is not None:
            raise away
        return ask(sender.door())
    except (Invalid, Conflict, NotFound, Unsupported):
        raise
    except MillwrightError as error:
        if later is not None:
            # In this order it is on disk when the call returns.
            sender.submit(later)
        sender.set_away(error)
        said = "; ".join(str(error).splitlines())
        warnings.warn(
            f"run {sender.run} is kept on this machine, and sent when that changes: {said}",
            LoggingWarning,
            stacklevel=5,
        )
        return None


def _send_leftovers(config: Config) -> None:
    """Send, in the background, what earlier runs could not."""
    if not spools_in(spool_folder(config)):
        return

    def send() -> None:
        try:
            sync_spool(config)
        except MillwrightError:
            # They wait for the next run; the active one is not to hear of it.
            return

    threading.Thread(target=send, name="millwright-leftovers", daemon=True).start()


def _activate(run: ActiveRun) -> None:
    _ACTIVE.set(run)
    if find_shell() is not None and threading.current_thread() is threading.main_thread():
        _LATEST.run = run


def _let_go(run: ActiveRun) -> None:
    if _ACTIVE.get() is run:
        _ACTIVE.set(run.outer)
    if _LATEST.run is run:
        _LATEST.run = run.outer


def _script_name() -> str:
    stem = Path(sys.argv[0]).stem if sys.argv else ""
    if stem.startswith("-"):
        # There is no script: `python -c` and its like.
        return "run"
    return re.sub(r"[^A-Za-z0-9_.-]", "-", stem).strip("_.-")[:100] or "run"
