"""Foreign models on their way into the home: logged ones, and the registry with its versions."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from millwright.core.errors import (
    Conflict,
    Corrupt,
    Denied,
    Failed,
    Invalid,
    NotFound,
    Refused,
)
from millwright.core.ids import LoggedModelId, RunId, to_hex
from millwright.core.refs import MAX_NAME_CHARS, check_name
from millwright.doors.door import Door
from millwright.records.models import ModelVersion
from millwright.records.runs import ArtifactFile, LoggedModel, LoggedModelMetric, ModelUse
from millwright.sdk.imported_run import RunTaker
from millwright.sdk.imported_start import ID, SOURCE
from millwright.tracking.sources.found import (
    Files,
    FoundLoggedModel,
    FoundMeasure,
    FoundModel,
    FoundVersion,
    Source,
    Unread,
)

MEASURES_AT_ONCE = 1000
Note: TypeAlias = Callable[[Unread], None]


class ModelTaker:
    """Takes models in, naming what cannot be."""

    def __init__(self, door: Door, source: Source, note: Note) -> None:
        self._door = door
        self._source = source
        self._note = note
        self._measures: list[tuple[LoggedModelId, tuple[FoundMeasure, ...]]] = []

    def take_logged(self, taker: RunTaker, found: FoundLoggedModel) -> int:
        """Take a model that a run made; return 1 when it is kept whole, else 0."""
        experiment = f"#{taker.run.experiment_number}"
        held = f"tags.`{ID}` = '{found.uuid}'"
        there = self._door.logged_models.search(experiments=[experiment], filter=held).models
        model = there[0] if there else self._make_logged(taker, found, experiment)
        is_whole = self._store_files(model, found, taker)
        self._door.logged_models.finish(id=model.id, status=found.status)
        self._door.logged_models.log_uses(
            run=taker.id, uses=[ModelUse(way="output", model=model.id, step=found.step)]
        )
        if found.measures:
            self._measures.append((model.id, found.measures))
        return int(is_whole)

    def measure(self, runs: Mapping[str, RunId]) -> None:
        """Keep what runs measured of models; to be called when the runs are there."""
        for model, measures in self._measures:
            rows = [
                LoggedModelMetric(
                    key=one.key,
                    value=one.value,
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
                self._door.logged_models.log_metrics(
                    id=model, metrics=rows[at : at + MEASURES_AT_ONCE]
                )
        self._measures.clear()

    def take(self, found: FoundModel, runs: Mapping[str, RunId]) -> Counter[str]:
        """Take a registered model with its versions and aliases; return how much is kept."""
        name = _name(found.name)
        if name != found.name:
            why = f"a model cannot have that name; here it is called {name!r}"
            self._note(Unread(where=f"model {found.name!r}", why=why))
        kept: Counter[str] = Counter(models=1)
        reason = f"imported from {self._source.place}"
        self._door.models.create(name=name, reason=reason)
        versions: dict[int, ModelVersion] = {}
        for version in found.versions:
            where = f"model {found.name!r} version {version.version}"
            try:
                made = self._register(name, version, runs, where)
            except (Invalid, NotFound, Conflict, Corrupt, Refused, Failed, OSError) as error:
                self._note(Unread(where=where, why=_why(error)))
                continue
            if made is not None:
                versions[version.version] = made
                kept["versions"] += 1
        for alias, number in found.aliases.items():
            where = f"alias {alias!r} of model {found.name!r}"
            if number not in versions:
                self._note(Unread(where=where, why=f"version {number} could not be taken"))
                continue
            try:
                self._promote(name, versions[number], alias, reason)
                kept["aliases"] += 1
            except (Invalid, Conflict, Refused, Denied) as error:
                self._note(Unread(where=where, why=_why(error)))
        return kept

    def _make_logged(
        self, taker: RunTaker, found: FoundLoggedModel, experiment: str
    ) -> LoggedModel:
        return self._door.logged_models.create(
            experiment=experiment,
            name=found.name,
            run=taker.id,
            type=found.type,
            params=found.params,
            tags=found.tags | {SOURCE: self._source.kind, ID: found.uuid},
        )

    def _store_files(self, model: LoggedModel, found: FoundLoggedModel, taker: RunTaker) -> bool:
        folder = f"{model.experiment}/models/m-{to_hex(model.id)}/artifacts"
        stored: list[ArtifactFile] = []
        with tempfile.TemporaryDirectory(prefix="mill-import-") as aside:
            is_whole = True
            for one in found.files():
                if isinstance(one, Unread):
                    taker.take(one)
                    is_whole = False
                    continue
                path = one.fetch(Path(aside, "file"))
                stored.append(
                    ArtifactFile(
                        path=f"{folder}/{one.path}",
                        digest=self._door.artifacts.put_file(path),
                        size_bytes=path.stat().st_size,
                    )
                )
        if stored:
            self._door.files.put(files=stored)
        return is_whole

    def _register(
        self, name: str, version: FoundVersion, runs: Mapping[str, RunId], where: str
    ) -> ModelVersion | None:
        with tempfile.TemporaryDirectory(prefix="mill-import-") as aside:
            package = Path(aside, "package")
            package.mkdir()
            if not self._fetch(version.files, package, where):
                return None
            digest = self._door.artifacts.put_folder(package)
        run = None if version.run is None else runs.get(version.run)
        return self._door.models.register(
            name=name,
            package_digest=digest,
            run=run,
            reason=f"imported from {self._source.place}, version {version.version}",
        )

    def _fetch(self, files: Files, folder: Path, where: str) -> bool:
        """Write a package's files to a folder; tell whether it is whole."""
        count = 0
        for one in files():
            if isinstance(one, Unread):
                self._note(Unread(where=f"{where}, {one.where}", why=one.why))
                return False
            target = folder.joinpath(*one.path.split("/"))
            target.parent.mkdir(parents=True, exist_ok=True)
            path = one.fetch(target)
            if path != target:
                shutil.copyfile(path, target)
            count += 1
        if not count:
            self._note(Unread(where=where, why="it has no files"))
        return count > 0

    def _promote(self, name: str, version: ModelVersion, alias: str, reason: str) -> None:
        held = self._door.models.history(name=name).model.aliases
        if held.get(alias) != version.version:
            self._door.models.promote(ref=f"{name}@v{version.version}", alias=alias, reason=reason)


def _name(text: str) -> str:
    """Return what can name a model here, as near to `text` as may be."""
    try:
        return check_name(text, "model")
    except Invalid:
        plain = "".join(
            char if char.isascii() and (char.isalnum() or char in "_-. ") else "-" for char in text
        )
        return plain.strip("_-. ")[:MAX_NAME_CHARS].strip() or "imported"


def _why(error: Exception) -> str:
    what, why = getattr(error, "what", str(error)), getattr(error, "why", "")
    return f"{what}: {why}" if why else what
