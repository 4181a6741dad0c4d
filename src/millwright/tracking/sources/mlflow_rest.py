"""A running MLflow server, read through its REST API page by page.

What is asked for is what every version from 2 on answers; where version 3 has more (logged
models), a server that does not know the route is taken at its word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from urllib.parse import quote, urlsplit

from millwright.artifacts.paths import parse_artifact_path
from millwright.core.errors import Failed, Invalid, NotFound
from millwright.tracking.sources.found import (
    FoundDataset,
    FoundEnd,
    FoundExperiment,
    FoundFile,
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
from millwright.tracking.sources.mlflow_answers import (
    ArtifactAnswer,
    ExperimentsAnswer,
    HistoryAnswer,
    LoggedModelAnswer,
    ModelsAnswer,
    Pair,
    RunAnswer,
    RunRecord,
    RunsAnswer,
    UriAnswer,
    VersionRecord,
    VersionsAnswer,
)
from millwright.tracking.sources.mlflow_http import MlflowHttp
from millwright.tracking.sources.mlflow_words import (
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

_API = "/api/2.0/mlflow"
_PROXY = "/api/2.0/mlflow-artifacts/artifacts"
_PAGE = 1000
_MODELS_PAGE = 100
_POINTS_PAGE = 25_000
_MAX_DEPTH = 32


class MlflowServer:
    """Fills `found.Source` from the server that `http` speaks with."""

    kind = "mlflow"
    scope = ""

    def __init__(self, http: MlflowHttp) -> None:
        self._http = http

    @property
    def place(self) -> str:
        """The server's address."""
        return self._http.address

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def experiments(self) -> Iterator[FoundExperiment]:
        """Iterate over the experiments that were not deleted."""
        for _, one in self._experiments():
            yield one

    def runs(self) -> Iterator[FoundRun | Unread]:
        """Iterate over the runs that were not deleted, by the time they began."""
        heads: list[FoundRun] = []
        records: dict[str, RunRecord] = {}
        for number, experiment in self._experiments():
            body = {"experiment_ids": [number], "max_results": _PAGE}
            for page in self._http.post_pages(
                f"{_API}/runs/search", body | {"order_by": []}, RunsAnswer
            ):
                heads += [_head(run, experiment.name) for run in page.runs]
                records |= {run.info.run_id: run for run in page.runs}
        heads.sort(key=lambda run: (run.start_us, run.id))
        for head in parents_first(heads):
            yield marked(head, self._besides(records[head.id]))

    def items(self, run: FoundRun) -> Iterator[Item]:
        """Iterate over what the server holds of a run."""
        found = self._http.get(f"{_API}/runs/get", {"run_id": run.id}, RunAnswer).run
        yield FoundParams(params=_texts(found.data.params))
        yield FoundTags(tags=_texts(found.data.tags))
        for metric in found.data.metrics:
            asked = {"run_id": run.id, "metric_key": metric.key, "max_results": str(_POINTS_PAGE)}
            for page in self._http.get_pages(f"{_API}/metrics/get-history", asked, HistoryAnswer):
                for point in page.metrics:
                    try:
                        value = float(point.value)
                    except ValueError as error:
                        where = f"{self.place}, metric {point.key!r} of run {run.id}"
                        yield Unread(where=where, why=str(error))
                        continue
                    yield to_point(point.key, value, step=point.step, time_ms=point.timestamp)
        yield from self._besides(found)
        yield FoundEnd(status=to_status(found.info.status), end_us=to_us(found.info.end_time))

    def _besides(self, found: RunRecord) -> Iterator[Item]:
        """Iterate over what may come to a run when it has ended."""
        for used in found.inputs.dataset_inputs:
            tags = _texts(used.tags)
            yield FoundDataset(
                name=used.dataset.name,
                digest=used.dataset.digest,
                source_type=used.dataset.source_type,
                source=used.dataset.source,
                schema=used.dataset.schema,
                profile=used.dataset.profile,
                context=tags.pop("mlflow.data.context", None),
                tags=tags,
            )
        for made in found.outputs.model_outputs:
            yield self._logged_model(made.model_id, made.step)
        uri = found.info.artifact_uri
        yield from self._files(uri, run=found.info.run_id, path="", needed=False)

    def models(self) -> Iterator[FoundModel | Unread]:
        """Iterate over the registered models."""
        asked = {"max_results": str(_MODELS_PAGE)}
        for page in self._http.get_pages(f"{_API}/registered-models/search", asked, ModelsAnswer):
            for model in page.registered_models:
                try:
                    found = FoundModel(
                        name=model.name,
                        description=model.description,
                        tags=_texts(model.tags),
                        aliases={one.alias: int(one.version) for one in model.aliases},
                        versions=tuple(self._versions(model.name)),
                    )
                except ValueError as error:
                    yield Unread(where=f"{self.place}, model {model.name!r}", why=str(error))
                    continue
                yield found

    def _experiments(self) -> Iterator[tuple[str, FoundExperiment]]:
        for page in self._http.post_pages(
            f"{_API}/experiments/search",
            {"max_results": _PAGE},
            ExperimentsAnswer,
        ):
            for one in page.experiments:
                yield one.experiment_id, FoundExperiment(name=one.name, tags=_texts(one.tags))

    def _versions(self, name: str) -> list[FoundVersion]:
        asked = {"filter": f"name = {_quoted(name)}", "max_results": str(_PAGE)}
        found = [
            self._version(one)
            for page in self._http.get_pages(f"{_API}/model-versions/search", asked, VersionsAnswer)
            for one in page.model_versions
        ]
        return sorted(found, key=lambda one: one.version)

    def _version(self, one: VersionRecord) -> FoundVersion:
        return FoundVersion(
            version=int(one.version),
            run=one.run_id or None,
            created_us=to_us(one.creation_timestamp),
            description=one.description,
            stage="" if one.current_stage == "None" else one.current_stage,
            tags=_texts(one.tags),
            source=one.source,
            logged_model=logged_model_uuid(one.source),
            files=partial(self._files_of_version, one),
        )

    def _files_of_version(self, one: VersionRecord) -> Iterator[FoundFile | Unread]:
        asked = {"name": one.name, "version": one.version}
        try:
            uri = self._http.get(f"{_API}/model-versions/get-download-uri", asked, UriAnswer)
        except NotFound as error:
            yield Unread(where=f"{one.name} version {one.version}", why=error.what)
            return
        logged = logged_model_uuid(uri.artifact_uri)
        run, path = one.run_id, _below_run(uri.artifact_uri, one.run_id)
        yield from self._files(uri.artifact_uri, run=run, path=path, needed=True, model=logged)

    def _logged_model(self, model: str, step: int) -> FoundLoggedModel | Unread:
        uuid = logged_model_uuid(model)
        try:
            found = self._http.get(
                f"{_API}/logged-models/{quote(model)}", {}, LoggedModelAnswer
            ).model
        except NotFound as error:
            return Unread(where=f"logged model {model}", why=error.what)
        if uuid is None:
            return Unread(where=f"logged model {model}", why="its id is none")
        uri = found.info.artifact_uri
        return FoundLoggedModel(
            uuid=uuid,
            name=found.info.name,
            type=found.info.model_type,
            status=to_logged_status(found.info.status),
            created_us=to_us(found.info.creation_timestamp_ms),
            step=step,
            params=_texts(found.data.params),
            tags=_texts(found.info.tags),
            measures=tuple(
                FoundMeasure(
                    key=one.key,
                    value=to_value(float(one.value)),
                    step=one.step,
                    time_us=to_us(one.timestamp),
                    run=one.run_id,
                    dataset_name=one.dataset_name,
                    dataset_digest=one.dataset_digest,
                )
                for one in found.data.metrics
            ),
            files=partial(self._files, uri, run="", path=None, needed=True, model=uuid),
        )

    def _files(
        self, uri: str, *, run: str, path: str | None, needed: bool, model: str | None = None
    ) -> Iterator[FoundFile | Unread]:
        """Iterate over the files of a folder of artifacts, by the way that the server offers.

        `path` is the folder's below the artifacts of `run`; None when it is not among them.
        """
        parts = urlsplit(uri)
        if parts.scheme == "mlflow-artifacts":
            folder = parts.path.strip("/")
            yield from self._walked(
                _PROXY, {}, "path", folder, f"{_PROXY}/{quote(folder)}/", needed=needed
            )
        elif model is not None:
            base = f"{_API}/logged-models/m-{model}/artifacts/directories"
            file = f"/ajax-api/2.0/mlflow/logged-models/m-{model}/artifacts/files"
            yield from self._walked(
                base,
                {},
                "artifact_directory_path",
                "",
                f"{file}?artifact_file_path=",
                needed=needed,
            )
        elif run and path is not None:
            start = f"/get-artifact?run_uuid={run}&path="
            start += quote(f"{path}/") if path else ""
            yield from self._walked(
                f"{_API}/artifacts/list", {"run_id": run}, "path", path, start, needed=needed
            )
        else:
            yield Unread(where=uri, why="the server offers no way to read artifacts there")

    def _walked(
        self,
        route: str,
        asked: Mapping[str, str],
        argument: str,
        folder: str,
        start: str,
        *,
        needed: bool,
    ) -> Iterator[FoundFile | Unread]:
        """Iterate over the files below a folder; `start` is a file's address up to its path."""
        is_relative = route == _PROXY
        waiting = [folder]
        seen = 0
        while waiting:
            inner = waiting.pop()
            if inner.count("/") - folder.count("/") > _MAX_DEPTH:
                yield Unread(where=inner, why=f"folders are nested more than {_MAX_DEPTH} deep")
                continue
            query = dict(asked) | ({argument: inner} if inner else {})
            try:
                pages = list(self._http.get_pages(route, query, ArtifactAnswer))
            except NotFound:
                break
            except Failed as error:
                # A server that cannot reach its own bucket says so for each run.
                yield Unread(where=f"{self.place}, artifacts in {inner or start}", why=error.what)
                return
            for one in (one for page in pages for one in page.files):
                # The proxy names files below the folder that was asked for, the others whole.
                whole = f"{inner}/{one.path}" if is_relative and inner else one.path
                path = whole.removeprefix(f"{folder}/") if folder else whole
                if one.is_dir:
                    waiting.append(whole)
                    continue
                seen += 1
                yield self._file(path, one.file_size, start)
        if needed and not seen:
            yield Unread(where=folder or start, why="there is no such folder of artifacts")

    def _file(self, path: str, size_bytes: int | None, start: str) -> FoundFile | Unread:
        try:
            parse_artifact_path(path)
        except Invalid as error:
            return Unread(where=f"{self.place}, artifact {path[:80]!r}", why=error.why)
        return FoundFile(
            path=path,
            size_bytes=size_bytes,
            fetch=partial(self._http.download, start + quote(path)),
        )


def _head(run: RunRecord, experiment: str) -> FoundRun:
    tags = _texts(run.data.tags)
    if run.info.user_id:
        tags.setdefault("mlflow.user", run.info.user_id)
    seen = (
        run.info.status,
        run.info.end_time,
        sorted(_texts(run.data.params).items()),
        sorted(tags.items()),
        sorted((one.key, one.value, one.timestamp, one.step) for one in run.data.metrics),
    )
    return to_run(
        run.info.run_id,
        name=run.info.run_name,
        experiment=experiment,
        start_ms=run.info.start_time,
        tags=tags,
        seen=seen,
    )


def _texts(pairs: list[Pair]) -> dict[str, str]:
    return {pair.key: pair.value for pair in pairs}


def _below_run(uri: str, run: str) -> str | None:
    """Return the folder's path below the artifacts of its run, or None."""
    mark = f"/{run}/artifacts/"
    return uri.partition(mark)[2].strip("/") if run and mark in uri else None


def _quoted(name: str) -> str:
    # The filter language knows two kinds of quotes and no way to escape them.
    return f'"{name}"' if "'" in name else f"'{name}'"
