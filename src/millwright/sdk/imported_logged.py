"""Logged models on their way into the home: what runs made, before and beside the registry."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from millwright.core.errors import Conflict, Invalid
from millwright.core.ids import LoggedModelId, RunId, from_hex, to_hex
from millwright.doors.door import Door
from millwright.records.runs import ArtifactFile, LoggedModel, LoggedModelMetric, ModelUse
from millwright.sdk.imported_run import FILES_AT_ONCE, RunTaker, refusal, spelled
from millwright.sdk.imported_start import ID, SOURCE
from millwright.tracking.sources.found import FoundLoggedModel, FoundMeasure, Source, Unread

MEASURES_AT_ONCE = 1000


class LoggedModelTaker:
    """Takes logged models in, each once, with their files."""

    def __init__(self, door: Door, source: Source) -> None:
        self._door = door
        self._source = source
        self._taken: dict[str, LoggedModel] = {}
        self._measures: list[tuple[LoggedModelId, list[FoundMeasure]]] = []

    def take(self, taker: RunTaker, found: FoundLoggedModel) -> int:
        """Take a model that a run made; return 1 when it is kept whole, else 0."""
        model = self.find(found.uuid)
        if model is None:
            model = self._make(taker, found)
        elif lacking := {key: found.tags[key] for key in found.tags.keys() - model.tags.keys()}:
            model = self._door.logged_models.set_tags(id=model.id, tags=lacking)
        self._taken[found.uuid] = model
        is_whole = self._store_files(model, found, taker)
        self._door.logged_models.finish(id=model.id, status=found.status)
        self._door.logged_models.log_uses(
            run=taker.id, uses=[ModelUse(way="output", model=model.id, step=found.step)]
        )
        measures = [one for one in found.measures if _fits(one, found, taker)]
        if measures:
            self._measures.append((model.id, measures))
        return int(is_whole)

    def _make(self, taker: RunTaker, found: FoundLoggedModel) -> LoggedModel:
        """Make our model, under the id it had, by which links to it go on."""
        create = partial(
            self._door.logged_models.create,
            experiment=f"#{taker.run.experiment_number}",
            name=found.name,
            run=taker.id,
            type=found.type,
            params=found.params,
            tags=found.tags | {SOURCE: self._source.kind, ID: found.uuid},
            created_us=found.created_us,
        )
        try:
            return create(id=LoggedModelId(from_hex(found.uuid, "lgm")))
        except (Conflict, Invalid):
            # Another project of the home has it under that id, or it is none of 32 digits.
            return create()

    def find(self, uuid: str) -> LoggedModel | None:
        """Return our model for a foreign one, taken now or by an earlier import."""
        if uuid not in self._taken:
            held = f"tags.`{ID}` = '{uuid}' AND tags.`{SOURCE}` = '{self._source.kind}'"
            there = self._door.logged_models.search(filter=held, limit=1).models
            if not there:
                return None
            self._taken[uuid] = there[0]
        return self._taken[uuid]

    def measured(self) -> list[tuple[LoggedModelId, list[FoundMeasure]]]:
        """Return what was measured of the models taken since this was asked before."""
        measured, self._measures = self._measures, []
        return measured

    def measure(
        self, model: LoggedModelId, measures: Sequence[FoundMeasure], runs: Mapping[str, RunId]
    ) -> None:
        """Keep what runs measured of a model; to be called when the runs are there."""
        rows = [
            LoggedModelMetric(
                key=one.key,
                value=spelled(one.value),
                step=one.step,
                time_us=one.time_us,
                run=runs[one.run],
                dataset_name=one.dataset_name,
                dataset_digest=one.dataset_digest,
            )
            for one in measures
            if one.run in runs
        ]
        for at in range(0, len(rows), MEASURES_AT_ONCE):
            some = rows[at : at + MEASURES_AT_ONCE]
            self._door.logged_models.log_metrics(id=model, metrics=some)

    def _store_files(self, model: LoggedModel, found: FoundLoggedModel, taker: RunTaker) -> bool:
        stored: list[ArtifactFile] = []
        is_whole = True
        with tempfile.TemporaryDirectory(prefix="mill-import-") as aside:
            for one in found.files():
                if isinstance(one, Unread):
                    taker.take(one)
                    is_whole = False
                    continue
                path = one.fetch(Path(aside, "file"))
                stored.append(
                    ArtifactFile(
                        path=f"{folder_of(model)}/{one.path}",
                        digest=self._door.artifacts.put_file(path),
                        size_bytes=path.stat().st_size,
                    )
                )
        put_files(self._door, stored)
        return is_whole


def _fits(measure: FoundMeasure, found: FoundLoggedModel, taker: RunTaker) -> bool:
    why = refusal(measure.key, measure.step, measure.time_us)
    if why is not None:
        taker.take(Unread(where=f"logged model {found.uuid}", why=why))
    return why is None


def put_files(door: Door, files: Sequence[ArtifactFile]) -> None:
    """Give stored bytes their paths, so many at a time as the door takes."""
    for at in range(0, len(files), FILES_AT_ONCE):
        door.files.put(files=list(files[at : at + FILES_AT_ONCE]))


def folder_of(model: LoggedModel) -> str:
    """Return the folder in which a logged model's files lie, among the artifacts by path."""
    return f"{model.experiment}/models/m-{to_hex(model.id)}/artifacts"
