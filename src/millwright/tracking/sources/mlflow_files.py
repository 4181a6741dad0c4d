"""An MLflow store in files: the folder `mlruns/` of scripts that name no store.

Each experiment is a folder with a `meta.yaml`, each run a folder in it; a parameter, a tag, a
metric is a file called as it, and the registry lies in `models/`. Nothing outside of the folder
is read, whatever links there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from millwright.core.errors import Corrupt, Invalid, NotFound
from millwright.tracking.sources.found import (
    FoundDataset,
    FoundEnd,
    FoundExperiment,
    FoundLoggedModel,
    FoundMeasure,
    FoundModel,
    FoundParams,
    FoundRun,
    FoundTags,
    FoundVersion,
    Item,
    Unread,
)
from millwright.tracking.sources.mlflow_answers import DatasetRecord
from millwright.tracking.sources.mlflow_words import (
    ArtifactFolders,
    logged_model_uuid,
    marked,
    parents_first,
    to_logged_status,
    to_point,
    to_run,
    to_status,
    to_us,
    to_value,
)
from millwright.tracking.sources.paths import list_files

META = "meta.yaml"
REGISTRY = "models"
MAX_META_BYTES = 1 << 20
_RUN = re.compile(r"[0-9a-f]{32}")
_VERSION = re.compile(r"[0-9]{1,18}")
_STATES = {"1": "RUNNING", "2": "SCHEDULED", "3": "FINISHED", "4": "FAILED", "5": "KILLED"}
M = TypeVar("M", bound=Struct)


class _Experiment(Struct, frozen=True, kw_only=True):
    name: str
    lifecycle_stage: str = "active"


class _Run(Struct, frozen=True, kw_only=True):
    run_name: str | None = None
    user_id: str | None = None
    status: int | str = 1
    start_time: int | None = None
    end_time: int | None = None
    lifecycle_stage: str = "active"
    artifact_uri: str = ""


class _Input(Struct, frozen=True, kw_only=True):
    source_id: str
    source_type: str = ""
    tags: dict[str, str] = {}


class _LoggedModel(Struct, frozen=True, kw_only=True):
    model_id: str
    name: str = ""
    model_type: str | None = None
    status: int | str = ""
    creation_timestamp: int | None = None
    artifact_location: str = ""
    source_run_id: str | None = None


class _Model(Struct, frozen=True, kw_only=True):
    name: str
    description: str | None = None


class _Version(Struct, frozen=True, kw_only=True):
    version: int
    run_id: str | None = None
    creation_timestamp: int | None = None
    description: str | None = None
    current_stage: str | None = None
    source: str | None = None
    storage_location: str | None = None


class MlflowFiles:
    """Fills `found.Source` from a folder of files; raises NotFound and Invalid."""

    kind = "mlflow"
    scope = ""

    def __init__(self, folder: Path, *, artifacts: Sequence[Path] = ()) -> None:
        if folder.is_file():
            raise Invalid(
                f"{folder} is a file, and a store in files is a folder",
                fix=f"for a SQLite database: --from sqlite:///{folder}",
            )
        if not folder.is_dir():
            raise NotFound(f"there is no MLflow store at {folder}")
        self._root = folder.resolve()
        if not any(self._root.glob(f"*/{META}")):
            raise Invalid(f"{folder} is no store of MLflow's", why=f"no folder in it has a {META}")
        named = tuple(one.resolve() for one in artifacts)
        self._models: dict[Path, list[tuple[Path, _LoggedModel | Unread]]] = {}
        self._folders = ArtifactFolders((*named, self._root), named)

    @property
    def place(self) -> str:
        """The folder, as MLflow names it."""
        return f"file://{self._root}"

    def close(self) -> None:
        """Let go of nothing: no file stays open."""

    def experiments(self) -> Iterator[FoundExperiment]:
        """Iterate over the experiments that were not deleted."""
        for folder in self._folders_of(self._root):
            meta = self._meta(folder, _Experiment)
            if isinstance(meta, _Experiment) and meta.lifecycle_stage == "active":
                tags = dict(self._texts(folder / "tags", []))
                yield FoundExperiment(name=meta.name, tags=tags)

    def runs(self) -> Iterator[FoundRun | Unread]:
        """Iterate over the runs that were not deleted, by the time they began."""
        heads: list[FoundRun] = []
        self._models.clear()
        deleted = 0
        for folder in self._folders_of(self._root):
            experiment = self._meta(folder, _Experiment)
            if isinstance(experiment, Unread):
                yield experiment
                continue
            for inner in self._folders_of(folder):
                if not _RUN.fullmatch(inner.name):
                    continue
                meta = self._meta(inner, _Run)
                if isinstance(meta, Unread):
                    yield meta
                elif meta.lifecycle_stage != "active" or experiment.lifecycle_stage != "active":
                    deleted += 1
                else:
                    heads.append(self._head(inner, meta, experiment.name))
        heads.sort(key=lambda run: (run.start_us, run.id))
        yield from parents_first(heads)
        if deleted:
            yield Unread(where=self.place, why=f"deleted runs were left out: {deleted}")

    def items(self, run: FoundRun) -> Iterator[Item]:
        """Iterate over what the files hold of a run."""
        folder = next(self._root.glob(f"*/{run.id}"))
        meta = self._meta(folder, _Run)
        if isinstance(meta, Unread):
            yield meta
            return
        unread: list[Unread] = []
        yield FoundParams(params=dict(self._texts(folder / "params", unread)))
        yield FoundTags(tags=dict(self._texts(folder / "tags", unread)))
        yield from unread
        for key, words, where in self._lines(folder / "metrics"):
            try:
                step = int(words[2]) if len(words) > 2 else 0
                yield to_point(key, float(words[1]), step=step, time_ms=int(words[0]))
            except (ValueError, IndexError):
                yield Unread(where=where, why="the line is no point of a metric")
        yield from self._datasets(folder)
        yield from self._logged_models(folder)
        yield from self._folders.files(str(folder / "artifacts"), needed=False)
        status = _STATES.get(str(meta.status), str(meta.status))
        yield FoundEnd(status=to_status(status), end_us=to_us(meta.end_time))

    def models(self) -> Iterator[FoundModel | Unread]:
        """Iterate over the registered models by name."""
        for folder in self._folders_of(self._root / REGISTRY):
            meta = self._meta(folder, _Model)
            if isinstance(meta, Unread):
                yield meta
                continue
            versions: list[FoundVersion] = []
            for inner in self._folders_of(folder):
                if inner.name.startswith("version-"):
                    version = self._meta(inner, _Version)
                    if isinstance(version, Unread):
                        yield version
                    elif version.current_stage != "Deleted_Internal":
                        versions.append(self._version(inner, version))
            aliases = self._texts(folder / "aliases", [])
            yield FoundModel(
                name=meta.name,
                description=meta.description or "",
                tags=dict(self._texts(folder / "tags", [])),
                aliases={
                    alias: int(number) for alias, number in aliases if _VERSION.fullmatch(number)
                },
                versions=tuple(sorted(versions, key=lambda one: one.version)),
            )

    def _head(self, folder: Path, meta: _Run, experiment: str) -> FoundRun:
        tags = dict(self._texts(folder / "tags", []))
        if meta.user_id:
            tags.setdefault("mlflow.user", meta.user_id)
        head = to_run(
            folder.name,
            name=meta.run_name or "",
            experiment=experiment,
            start_ms=meta.start_time,
            tags=tags,
            seen=(meta.status, meta.end_time),
        )
        return marked(head, chain(list_files(folder), self._logged_models(folder)))

    def _datasets(self, folder: Path) -> Iterator[FoundDataset | Unread]:
        for inner in self._folders_of(folder / "inputs"):
            used = self._meta(inner, _Input)
            if isinstance(used, Unread):
                yield used
            elif used.source_type == "DATASET" and _RUN.fullmatch(used.source_id):
                held = self._meta(folder.parent / "datasets" / used.source_id, DatasetRecord)
                if isinstance(held, Unread):
                    yield held
                    continue
                tags = dict(used.tags)
                context = tags.pop("mlflow.data.context", None)
                known = msgspec.structs.asdict(held)
                yield FoundDataset(**known, context=context, tags=tags)

    def _logged_models(self, folder: Path) -> Iterator[FoundLoggedModel | Unread]:
        for inner, meta in self._models_of(folder.parent):
            if isinstance(meta, Unread):
                yield meta
                continue
            uuid = logged_model_uuid(meta.model_id)
            if meta.source_run_id != folder.name or uuid is None:
                continue
            unread: list[Unread] = []
            measures = tuple(self._measures(inner, unread))
            yield from unread
            yield FoundLoggedModel(
                uuid=uuid,
                name=meta.name,
                type=meta.model_type or "",
                status=to_logged_status(meta.status),
                created_us=to_us(meta.creation_timestamp),
                step=0,
                params=dict(self._texts(inner / "params", [])),
                tags=dict(self._texts(inner / "tags", [])),
                measures=measures,
                files=partial(self._folders.files, str(inner / "artifacts"), needed=True),
            )

    def _models_of(self, experiment: Path) -> list[tuple[Path, _LoggedModel | Unread]]:
        # Read once for all the runs of an experiment, each of which asks for its own.
        if experiment not in self._models:
            inner = self._folders_of(experiment / "models")
            self._models[experiment] = [(one, self._meta(one, _LoggedModel)) for one in inner]
        return self._models[experiment]

    def _measures(self, folder: Path, unread: list[Unread]) -> Iterator[FoundMeasure]:
        for key, words, where in self._lines(folder / "metrics"):
            try:
                yield FoundMeasure(
                    key=key,
                    value=to_value(float(words[1])),
                    step=int(words[2]),
                    time_us=to_us(int(words[0])),
                    run=words[3],
                    dataset_name=words[4] if len(words) > 5 else "",
                    dataset_digest=words[5] if len(words) > 5 else "",
                )
            except (ValueError, IndexError):
                unread.append(Unread(where=where, why="the line is no point of a metric"))

    def _version(self, folder: Path, meta: _Version) -> FoundVersion:
        source = meta.source or ""
        return FoundVersion(
            version=meta.version,
            run=meta.run_id or None,
            created_us=to_us(meta.creation_timestamp),
            description=meta.description or "",
            stage="" if meta.current_stage in {None, "None"} else meta.current_stage or "",
            tags=dict(self._texts(folder / "tags", [])),
            source=source,
            logged_model=logged_model_uuid(source),
            files=partial(self._folders.files, meta.storage_location or source, needed=True),
        )

    def _folders_of(self, folder: Path) -> list[Path]:
        """Return the folders in a folder that have a meta.yaml, by name."""
        if not folder.is_dir() or folder.is_symlink():
            return []
        return sorted(
            inner
            for inner in folder.iterdir()
            if inner.is_dir() and not inner.is_symlink() and (inner / META).is_file()
        )

    def _meta(self, folder: Path, shape: type[M]) -> M | Unread:
        path = folder / META
        try:
            return msgspec.convert(_yaml(path, self._root), shape, strict=False)
        except (msgspec.ValidationError, Corrupt, OSError) as error:
            why = error.what if isinstance(error, Corrupt) else str(error)
            return Unread(where=str(path), why=why)

    def _texts(self, folder: Path, unread: list[Unread]) -> Iterator[tuple[str, str]]:
        """Iterate over the files below a folder as name and text."""
        for one in list_files(folder, within=self._root) if folder.is_dir() else ():
            if isinstance(one, Unread):
                unread.append(one)
            else:
                yield one.path, one.fetch(Path()).read_text(encoding="utf-8", errors="replace")

    def _lines(self, folder: Path) -> Iterator[tuple[str, list[str], str]]:
        """Iterate over the lines of the files below a folder: name, words, and where it stands."""
        for one in list_files(folder, within=self._root) if folder.is_dir() else ():
            if isinstance(one, Unread):
                continue
            path = one.fetch(Path())
            with path.open(encoding="utf-8", errors="replace") as stream:
                for number, line in enumerate(stream, start=1):
                    if words := line.split():
                        yield one.path, words, f"{path} line {number}"


def _yaml(path: Path, root: Path) -> Mapping[str, object]:
    import yaml

    if not path.resolve().is_relative_to(root):
        raise Corrupt("it is a link that leads outside")
    data = path.read_bytes()
    if len(data) > MAX_META_BYTES:
        raise Corrupt(f"it has {len(data)} bytes, where {MAX_META_BYTES} are the most")
    try:
        found: object = yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 (both are safe)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise Corrupt(f"it is no YAML: {error}"[:200]) from error
    return msgspec.convert(found, dict[str, object])
