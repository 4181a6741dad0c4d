"""A run that takes what is logged to it, over either door, whether a server answers or not.

A call appends to a queue and returns after a microsecond; a thread delivers. What the caller did
wrong, a parameter with another value or a key that cannot be one, is raised by the call itself.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from millwright.core.errors import Conflict, Failed, Invalid, MillwrightError
from millwright.core.ids import RunId
from millwright.records.runs import LoggedDataset, Problem, Run, RunStatus
from millwright.sdk.checks import (
    MAX_STEP,
    check_key,
    check_named,
    files_in,
    number_of,
    step_of,
    texts_of,
)
from millwright.sdk.forks import end_with_worker, tell_of_forks
from millwright.sdk.items import Batch, Finished, Item, Refusal, deliver, is_away
from millwright.sdk.losses import tell_losses
from millwright.sdk.outcomes import outcome_of, what_ended_the_script
from millwright.sdk.shelf import Shelf
from millwright.sdk.surroundings import Surroundings

if TYPE_CHECKING:
    from millwright.records.data import DatasetVersion
    from millwright.sdk.route import Route
    from millwright.sdk.sender import Sender
    from millwright.sdk.shelf import KeptModel
    from millwright.sdk.tables import Table

END_TIMEOUT_S = 60.0
FLUSH_TIMEOUT_S = 30.0
_ENDS = ("finished", "failed", "cancelled")


class ActiveRun:
    """A run that takes what is logged to it until it is ended; made by `start_run`.

    As a context manager it ends with its block: `finished`, `cancelled` by Ctrl-C, or `failed`
    with the exception as its problem. A run that nobody ends is ended when the interpreter
    exits, `failed` where an exception ended the script; that of a killed process stays
    `running`. Any thread may call its methods; a forked child delivers what it logs itself.
    """

    def __init__(
        self,
        route: Route,
        sender: Sender,
        *,
        name: str,
        experiment: str,
        outer: ActiveRun | None = None,
        owned: bool = True,
        goes_on: bool = False,
        before: Run | None = None,
        surroundings: Surroundings | None = None,
        on_end: Callable[[ActiveRun], None] | None = None,
    ) -> None:
        self.id: RunId = route.run
        self.name = name
        self.experiment = experiment
        self.outer = outer
        """The run in which it was started, active again when it has ended."""
        self.has_fit = False
        """Whether a fit was logged to it by `autolog`."""
        self._route = route
        self._sender = sender
        self._shelf = Shelf(sender, route.clock)
        self._now_us = route.clock.now_us
        self._owned = owned
        self._log_one = sender.log_one
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._ended = False
        self._ready = True
        """Whether a call need not look whether the run has ended, or this is a forked child."""
        self._keys: dict[str, str] = {}
        """Each key of a metric that was seen, as an exact text."""
        self._goes_on = goes_on
        self._before = before
        self._params = {} if before is None else dict(before.params)
        self._surroundings = surroundings
        self._on_end = on_end
        atexit.register(self.end_at_exit)
        tell_of_forks(self)
        if surroundings is not None:
            surroundings.start(self._log_system)

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

    def abandon(self, error: BaseException) -> None:
        """End the run whose start failed: failed, or as it was if it had begun before."""
        before = self._before
        if not self._goes_on:
            return self.__exit__(type(error), error, error.__traceback__)
        status, problem = ("running", None) if before is None else (before.status, before.error)
        if status == "running":
            # It may be another process' to end, or not be known yet: it is left as it is.
            self._owned, status = False, "finished"
        if self._surroundings is not None:
            self._surroundings.drop()
            self._surroundings = None
        return self.end(status, error=problem)

    @property
    def ended(self) -> bool:
        """Tell whether nothing can be logged to it any more."""
        return self._ended

    def log_param(self, key: str, value: object) -> None:
        """Record a parameter, as text; it keeps the value it was first given."""
        self.log_params({key: value})

    def log_params(self, params: Mapping[str, object]) -> None:
        """Record parameters, as text; raises Conflict for one that has another value."""
        self._check()
        texts = texts_of("parameter", params)
        with self._lock:
            for key, text in texts.items():
                if self._params.get(key, text) != text:
                    raise Conflict(
                        f"parameter {key!r} already has another value: {self._params[key]!r:.80}",
                        why="a parameter of a run is written once, so that the run can be repeated",
                        fix="log what changes as a metric or a tag",
                    )
            new = {key: text for key, text in texts.items() if key not in self._params}
            self._params |= new
            if new:
                self._sender.submit(Batch(params=new))

    def log_metric(self, key: str, value: float, *, step: int = 0) -> None:
        """Append one point to the history of a metric; NaN and infinities are points too."""
        if not self._ready:
            self._check()
        try:
            key = self._keys[key]
        except (KeyError, TypeError):
            key = self._keys[key] = check_key("metric", key)
        if type(value) is not float:
            value = number_of(key, value)
        if type(step) is not int or not -MAX_STEP <= step <= MAX_STEP:
            step = step_of(key, step)
        self._log_one((key, value, step, self._now_us()))

    def log_metrics(self, metrics: Mapping[str, float], *, step: int = 0) -> None:
        """Append a point to the history of each metric, all at the same moment."""
        self._check()
        now_us = self._now_us()
        points = [
            (check_key("metric", key), number_of(key, value), step_of(key, step), now_us)
            for key, value in check_named("metrics", metrics).items()
        ]
        self._sender.log(points)

    def log_points(self, points: Sequence[tuple[str, float, int, int]]) -> None:
        """Append points whose time is known: key, value, step, microseconds since 1970 UTC."""
        self._check()
        self._sender.log(
            [
                (check_key("metric", key), number_of(key, value), step_of(key, step), int(time_us))
                for key, value, step, time_us in points
            ]
        )

    def set_tag(self, key: str, value: object) -> None:
        """Set a tag, as text, replacing an earlier value."""
        self.set_tags({key: value})

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags, as text, replacing earlier values."""
        self._check()
        self._sender.submit(Batch(tags=texts_of("tag", tags)))

    def log_artifact(self, path: str | Path, *, name: str | None = None) -> None:
        """Store a file or a folder as an output of the run, called `name` or as it is on disk.

        Raises NotFound when it is not there. Unlike numbers a file is sent before the call
        returns, while a server answers: it may be gone or changed a moment later.
        """
        self._check()
        path = Path(path).absolute()
        self._shelf.keep(path, name or path.name)

    def log_artifacts(self, paths: Mapping[str, str | Path] | str | Path) -> None:
        """Store files and folders, each under the name it is given; or all that a folder holds."""
        self._check()
        if isinstance(paths, str | Path):
            paths = files_in(Path(paths))
        for name, path in check_named("artifacts", paths).items():
            self.log_artifact(path, name=name)

    def log_text(self, text: str, name: str) -> None:
        """Store text as the output file `name`, such as `notes.md`."""
        self._check()
        self._shelf.keep_bytes(text.encode("utf-8", "backslashreplace"), name)

    def log_dict(self, document: object, name: str) -> None:
        """Store plain data as the output file `name`: YAML when it ends so, else JSON."""
        self._check()
        self._shelf.keep_document(document, name)

    def log_figure(self, figure: object, name: str) -> None:
        """Store a figure of matplotlib or plotly as `name`, in the format that it ends with."""
        from millwright.sdk.images import figure_bytes

        self._check()
        self._shelf.keep_bytes(figure_bytes(figure, name), name)

    def log_image(self, image: object, name: str) -> None:
        """Store a PIL image, or an array (height, width[, channels]), as the PNG file `name`."""
        from millwright.sdk.images import check_png, png_of

        self._check()
        self._shelf.keep_bytes(png_of(image), check_png(name))

    def log_table(self, table: Table, name: str) -> None:
        """Store a frame, or a mapping from names to columns, as the file `name`: Parquet, CSV."""
        self._check()
        self._shelf.keep_table(table, name)

    def log_dataset(
        self, data: str | Path | Table, *, name: str | None = None
    ) -> DatasetVersion | None:
        """Note what the run read: a version by reference, or a file or table that becomes one.

        `data` is a reference such as `loans@v3`, a path, or a table, which needs a name. Returns
        the version that was made, or None when there was one, or the server is away.
        """
        self._check()
        return self._shelf.keep_dataset(data, name)

    def describe_datasets(self, datasets: Sequence[LoggedDataset]) -> None:
        """Note data that the run read and that is kept elsewhere, as its owner describes it."""
        self._check()
        self._shelf.describe(datasets)

    def log_model(
        self, model: object, *, example: object, name: str = "model", register: str | None = None
    ) -> KeptModel:
        """Package a fitted model and store it, as a version of the model `register` if given.

        `example` holds rows it was trained on: a frame, columns, or a matrix. Raises Unsupported
        for a model that cannot be packaged, and Invalid for rows that do not fit it.
        """
        self._check()
        return self._shelf.keep_model(model, name, example=example, register=register)

    def flush(self, timeout_s: float = FLUSH_TIMEOUT_S) -> bool:
        """Wait until all that was logged has arrived; False when it has not, and waits on disk."""
        self._check()
        return self._sender.flush(timeout_s)

    def end(
        self,
        status: RunStatus = "finished",
        *,
        error: Problem | None = None,
        timeout_s: float = END_TIMEOUT_S,
    ) -> None:
        """Deliver what is left, close the run, and let go of the door.

        What cannot be delivered in `timeout_s` waits in the spool, and is sent by the next run.
        Warns of what was refused on the way, the end itself too where somebody else closed the
        run. Raises Invalid for a status that ends nothing.
        """
        with self._lock:
            self._check()
            if status not in _ENDS:
                raise Invalid(f"a run does not end by the status {status!r}", fix=", ".join(_ENDS))
            digest = None
            if self._surroundings is not None:
                digest = self._surroundings.stop(self._shelf)
            # One that is known to keep silent is not waited for again.
            delivered = not self._sender.silent and self._sender.flush(timeout_s)
            last: Item | None = None
            if self._owned:
                last = Finished(
                    status=status,
                    error=error,
                    log_digest=digest,
                    end_us=self._now_us(),
                    goes_on=self._goes_on,
                )
                if delivered and self._tell(last):
                    last = None
            self._ended, self._ready = True, False
        self._close(last)

    def end_at_exit(self) -> None:
        """End the run as its process ends, unless that was done."""
        # A child that was forked runs these calls too, and what it did not touch is not its own.
        if self._ended or os.getpid() != self._process:
            return
        status, problem = outcome_of(what_ended_the_script())
        try:
            self.end(status, error=problem)
        except MillwrightError as lost:
            sys.stderr.write(f"run {self.id} could not be ended: {lost}\n")

    def _tell(self, item: Item) -> bool:
        """Tell the door; False when it is away."""
        try:
            with self._sender.calls:
                deliver(self._sender.door(), self.id, item, folder=self._sender.folder)
        except MillwrightError as error:
            if is_away(error):
                self._sender.set_away(error)
                return False
            self._sender.refusals.append(Refusal(item, error))
        except Exception as error:  # noqa: BLE001 (an end always lets the run go)
            self._sender.set_away(Failed(f"{type(error).__name__}: {error}"))
            return False
        return True

    def _close(self, last: Item | None) -> None:
        atexit.unregister(self.end_at_exit)
        sender = self._sender
        waiting = sender.stop(last)
        if self._on_end is not None:
            self._on_end(self)
        tell_losses(sender, waiting)

    def _check(self) -> None:
        if self._ended:
            raise Conflict(
                f"run {self.id} has ended: nothing can be logged to it any more",
                fix="start another run, or go on with this one: start_run(run_id=…)",
            )
        if self._process != os.getpid():
            self._begin_in_child()

    def hold_still(self, timeout_s: float) -> None:
        """Before a fork: wait until no thread is in a call to the home, and let none begin."""
        # A server is spoken to without locks that outlive a fork, and may be silent for long.
        self._sender.calls.hold(timeout_s if self._route.config.url is None else 0.0)

    def go_on(self) -> None:
        """After a fork: let calls to the home begin again."""
        self._sender.calls.go_on()

    def note_fork(self) -> None:
        """In a child that was just forked: have the next call look where it is."""
        self._ready = False

    def _begin_in_child(self) -> None:
        """Give a forked child a sender of its own: the parent's queue is not its to send."""
        # The parent's stays referenced, since to free it would close what the parent uses.
        self._inherited = self._sender
        self._inherited.forget()
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._sender = self._route.worker_sender()
        self._log_one = self._sender.log_one
        self._shelf = Shelf(self._sender, self._route.clock)
        self._owned = False
        self._surroundings = None
        self._ready = True
        end_with_worker(self.end_at_exit)

    def _log_system(self, metrics: dict[str, float], step: int) -> None:
        if not self._ended:
            now_us = self._now_us()
            self._sender.log([(key, value, step, now_us) for key, value in metrics.items()])
