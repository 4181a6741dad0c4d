"""Studies: searches for good hyperparameters. A study is a run, its trials are child runs.

What a trial tried and what came out of it are the parameters and metrics of its run; a study
adds the space, the metric that is to be made best, and how each trial ended. Whoever chooses
what to try next is no part of this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from millwright.core.clock import Clock
from millwright.core.errors import Conflict, Invalid, NotFound
from millwright.core.ids import RunId
from millwright.core.refs import check_title, did_you_mean
from millwright.journal.log import Journal
from millwright.metadata.database import Database, Reader, Writer
from millwright.metadata.tables import runs as run_tables
from millwright.metadata.tables import studies as tables
from millwright.metadata.tables.studies import StudyRow
from millwright.metadata.tables.telemetry import Keys
from millwright.records.events import Act, Subject
from millwright.records.runs import MetricPoint, Problem, Run, RunSource, RunStatus
from millwright.records.studies import Direction, SearchSpace, Study, Trial, TrialEnd
from millwright.records.study_events import StudyCreated, TrialEnded
from millwright.tracking.handles import find_handle, find_run, lock_active, lock_running
from millwright.tracking.reading import complete
from millwright.tracking.runs import Runs
from millwright.tracking.spaces import check_space, check_trial
from millwright.tracking.standing import study_of, trials_of
from millwright.tracking.telemetry import check_key, check_texts, store, stored_points

_SPACE = msgspec.json.Decoder(SearchSpace)
_ENDS: dict[TrialEnd, RunStatus] = {
    "complete": "finished",
    "pruned": "finished",
    "failed": "failed",
}


class Studies:
    """The studies of all projects of a home."""

    def __init__(
        self, database: Database, journal: Journal, clock: Clock, *, runs: Runs, keys: Keys
    ) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock
        self._runs = runs
        self._keys = keys

    def create(
        self,
        act: Act,
        *,
        name: str,
        source: RunSource,
        metric: str,
        direction: Direction,
        space: SearchSpace,
        experiment: str,
    ) -> Study:
        """Begin a study, and the run that it is.

        Raises Invalid for a space or metric that cannot be, and Conflict when the name is taken.
        """
        check_title(name, "study")
        check_title(experiment, "experiment")
        check_key("metric", metric)
        check_space(space)
        with self._database.write() as tx:
            run = self._runs.start_in(
                tx,
                act,
                name=name,
                source=source,
                kind="script",
                experiment=experiment,
                parent=None,
                pipeline=None,
            )
            made = tables.insert_study(
                tx,
                run_pk=find_handle(tx, act.project_key, run).pk,
                project=act.project_key,
                name=name,
                space_json=msgspec.json.encode(space).decode(),
                metric=metric,
                direction=direction,
            )
            if not made:
                raise Conflict(
                    f"there is a study {name!r} already",
                    why="one that is deleted keeps its name until it is purged",
                    fix="choose another name",
                )
            detail = StudyCreated(reason=act.reason, name=name, metric=metric, direction=direction)
            self._journal.append(tx, act, detail, [Subject(kind="run", id=run)])
        return self.get(act.project_key, name)[0]

    def add_trial(
        self,
        act: Act,
        study: str,
        *,
        params: Mapping[str, str],
        run: RunId | None = None,
        name: str = "",
        source: RunSource | None = None,
    ) -> Trial:
        """Begin the next trial: a new child run with these parameters, or the one named.

        Raises Invalid for parameters that lie outside the study's space, NotFound, and Conflict
        when the study has ended, the run is not a child of it, or is a trial already.
        """
        check_texts("parameter", params)
        with self._database.write() as tx:
            row = self._row(tx, act.project_key, study)
            check_trial(_SPACE.decode(row.space_json), params)
            (whole,) = run_tables.list_by_key(tx, pks=[row.run_pk])
            parent = RunId(whole.id)
            # Locked, so that two trials are not given one number.
            lock_running(tx, act.project_key, parent)
            number = tables.next_number(tx, study_pk=row.run_pk)
            if run is None:
                run = self._runs.start_in(
                    tx,
                    act,
                    name=name or f"{row.name} {number}",
                    source=source or whole.source(),
                    kind="script",
                    experiment=whole.experiment,
                    parent=parent,
                    pipeline=None,
                )
            else:
                self._check_child(tx, act, run, parent)
            handle = find_handle(tx, act.project_key, run)
            store(tx, self._keys, run, handle, points=[], params=params, tags={})
            if not tables.insert_trial(tx, run_pk=handle.pk, study_pk=row.run_pk, number=number):
                raise Conflict(f"run {run} is a trial already")
        return self.trial(act.project_key, study, number)

    def end_trial(
        self,
        act: Act,
        study: str,
        number: int,
        *,
        state: TrialEnd,
        value: float | None = None,
        error: Problem | None = None,
    ) -> Trial:
        """Say how a trial ended, and close its run where it is open.

        `value` is logged as the study's metric first. Raises Conflict when the trial has ended,
        and Invalid for one that is complete without a finite value of that metric.
        """
        with self._database.write() as tx:
            row = self._row(tx, act.project_key, study)
            found = tables.find_trial(tx, study_pk=row.run_pk, number=number)
            if found is None:
                raise _no_trial(row.name, number)
            run = RunId(run_tables.list_by_key(tx, pks=[found.run_pk])[0].id)
            handle = lock_active(tx, act.project_key, run)
            if value is not None:
                self._log_value(tx, run, handle, row, value)
            if state == "complete":
                self._check_value(tx, row, found.run_pk, number)
            if not tables.end_trial(tx, run_pk=found.run_pk, state=state):
                raise Conflict(f"trial {number} of {row.name!r} has ended: it is {found.state}")
            if handle.status == "running":
                self._runs.finish_in(
                    tx, act, run, status=_ENDS[state], error=error, log_digest=None
                )
            detail = TrialEnded(reason=act.reason, study=row.name, number=number, state=state)
            self._journal.append(tx, act, detail, [Subject(kind="run", id=run)])
        return self.trial(act.project_key, study, number)

    def get(self, project_key: int, study: str) -> tuple[Study, list[Trial]]:
        """Return a study by name or run, with its trials in order; raises NotFound."""
        with self._database.read() as tx:
            row = self._row(tx, project_key, study)
            return self._read(tx, [row])[0]

    def trial(self, project_key: int, study: str, number: int) -> Trial:
        """Return one trial; raises NotFound."""
        found, trials = self.get(project_key, study)
        for one in trials:
            if one.number == number:
                return one
        raise _no_trial(found.name, number)

    def list_all(self, project_key: int) -> list[Study]:
        """Return the project's studies, newest first."""
        with self._database.read() as tx:
            rows = tables.list_studies(tx, project=project_key)
            return [study for study, _ in self._read(tx, rows)]

    def _row(self, tx: Reader, project_key: int, study: str) -> StudyRow:
        row = tables.find_study(tx, project=project_key, name=study)
        if row is None and study.startswith("run_"):
            row = tables.find_study_of_run(tx, run_pk=find_run(tx, project_key, study).pk)
        if row is None:
            known = [one.name for one in tables.list_studies(tx, project=project_key)]
            raise NotFound(
                f"no study called {study!r}",
                fix=did_you_mean(study, known) or "`mill experiment study list` shows them",
            )
        return row

    def _read(self, tx: Reader, rows: Sequence[StudyRow]) -> list[tuple[Study, list[Trial]]]:
        """Return studies with their trials; a few statements for all of them."""
        trial_rows = tables.list_trials(tx, study_pks=[row.run_pk for row in rows])
        runs = self._runs_of(tx, [row.run_pk for row in rows], fields=frozenset())
        fields = frozenset({"params", *(f"metrics.{row.metric}" for row in rows)})
        children = self._runs_of(tx, [one.run_pk for one in trial_rows], fields=fields)
        found: list[tuple[Study, list[Trial]]] = []
        for row in rows:
            of_study = [
                (one.number, one.state, children[one.run_pk])
                for one in trial_rows
                if one.study_pk == row.run_pk
            ]
            trials = trials_of(of_study, metric=row.metric, direction=row.direction)
            space = _SPACE.decode(row.space_json)
            run = runs[row.run_pk]
            study = study_of(
                run, trials, name=row.name, metric=row.metric, direction=row.direction, space=space
            )
            found.append((study, trials))
        return found

    def _runs_of(self, tx: Reader, pks: Sequence[int], *, fields: frozenset[str]) -> dict[int, Run]:
        rows = run_tables.list_by_key(tx, pks=list(pks))
        runs = complete(tx, rows, fields=fields, with_points=True)
        return {row.pk: run for row, run in zip(rows, runs, strict=True)}

    def _check_child(self, tx: Writer, act: Act, run: RunId, parent: RunId) -> None:
        found = find_run(tx, act.project_key, run)
        lock_running(tx, act.project_key, run)
        if found.parent != parent:
            raise Conflict(
                f"run {run} is no child of the study's run {parent}",
                fix="start it with the study's run as its parent",
            )

    def _log_value(
        self,
        tx: Writer,
        run: RunId,
        handle: run_tables.RunHandle,
        row: StudyRow,
        value: float,
    ) -> None:
        known = self._runs_of(tx, [handle.pk], fields=frozenset({f"metrics.{row.metric}"}))
        step = max((point.step + 1 for point in known[handle.pk].points), default=0)
        points = stored_points(
            [MetricPoint(key=row.metric, value=value, step=step)], now_us=self._clock.now_us()
        )
        store(tx, self._keys, run, handle, points=points, params={}, tags={})

    def _check_value(self, tx: Reader, row: StudyRow, run_pk: int, number: int) -> None:
        fields = frozenset({f"metrics.{row.metric}"})
        value = self._runs_of(tx, [run_pk], fields=fields)[run_pk].metrics.get(row.metric)
        if not isinstance(value, float):
            raise Invalid(
                f"trial {number} of {row.name!r} has no finite value of {row.metric!r}",
                why="a trial is complete when one knows how good it was",
                fix=f"log {row.metric!r}, give it as the value, or end the trial as failed",
            )


def _no_trial(study: str, number: int) -> NotFound:
    return NotFound(f"study {study!r} has no trial {number}")
