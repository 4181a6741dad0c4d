"""An MLflow store in SQLite, read straight from its tables and never written to.

The tables of MLflow 2 and 3 differ by what was added; which there are is looked up, not assumed.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from millwright.core.errors import Corrupt, Invalid, NotFound
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

_NEEDED = ("experiments", "runs", "metrics", "params", "tags")
_POINT = {"key", "value", "timestamp", "step", "is_nan"}
_WAIT_S = 10.0
_ROWS_AT_ONCE = 1000
_DEFAULT_WORKSPACE = "default"
# A column of SQLite's may hold anything, whatever type it was given.
_NO_NUMBER = (TypeError, ValueError, OverflowError)


class MlflowDatabase:
    """Fills `found.Source` from a SQLite file of MLflow's; raises NotFound and Invalid.

    Artifacts are read below the folder of the file, and below those of `artifacts`.
    """

    kind = "mlflow"
    scope = ""

    def __init__(self, path: Path, *, artifacts: Sequence[Path] = ()) -> None:
        if not path.is_file():
            raise NotFound(f"there is no MLflow database at {path}")
        self._path = path.resolve()
        beside = self._path.parent
        named = tuple(folder.resolve() for folder in artifacts)
        # Where `mlflow server` keeps artifacts when it is told nothing.
        proxied = (*named, beside / "mlartifacts") if (beside / "mlartifacts").is_dir() else named
        self._folders = ArtifactFolders((*named, beside), proxied)
        self._database = sqlite3.connect(
            f"file:{quote(str(self._path))}?mode=ro", uri=True, timeout=_WAIT_S
        )
        self._database.row_factory = sqlite3.Row
        self._database.text_factory = _as_text
        try:
            self._tables = self._columns()
        except Corrupt as error:
            self._database.close()
            raise Invalid(f"{path} is no SQLite database", why=error.why) from error
        missing = [name for name in _NEEDED if name not in self._tables]
        if missing:
            self._database.close()
            raise Invalid(
                f"{path} is no store of MLflow's", why=f"it has no tables {', '.join(missing)}"
            )
        if not self._tables["metrics"] >= _POINT:
            self._database.close()
            raise Invalid(
                f"{path} was written by an early version of MLflow",
                why="its metrics have no steps, or do not tell what is not a number",
                fix=f"bring a copy up to date first: mlflow db upgrade sqlite:///{path}",
            )

    @property
    def place(self) -> str:
        """The file, as MLflow names it."""
        return f"sqlite:///{self._path}"

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def experiments(self) -> Iterator[FoundExperiment]:
        """Iterate over the experiments that were not deleted, by number."""
        for row in self._rows(
            f"SELECT experiment_id, name, {self._workspace('experiments')} AS workspace "
            "FROM experiments WHERE lifecycle_stage = 'active' ORDER BY experiment_id"
        ):
            yield FoundExperiment(
                name=_named(row["name"], row["workspace"]),
                tags=self._texts("experiment_tags", "experiment_id", row["experiment_id"]),
            )

    def runs(self) -> Iterator[FoundRun | Unread]:
        """Iterate over the runs that were not deleted, by the time they began."""
        heads: list[FoundRun] = []
        places: dict[str, str] = {}
        deleted = 0
        for row in self._rows(
            f"""
            SELECT r.run_uuid, r.name, r.status, r.start_time, r.end_time, r.user_id,
                r.artifact_uri,
                e.name AS experiment, {self._workspace("experiments", "e")} AS workspace,
                r.lifecycle_stage <> 'active' OR e.lifecycle_stage <> 'active' AS deleted,
                (SELECT count(*) FROM metrics m WHERE m.run_uuid = r.run_uuid) AS points,
                (SELECT count(*) FROM params p WHERE p.run_uuid = r.run_uuid) AS params
            FROM runs r JOIN experiments e ON e.experiment_id = r.experiment_id
            ORDER BY r.start_time, r.run_uuid
            """
        ):
            if row["deleted"]:
                deleted += 1
                continue
            tags = self._texts("tags", "run_uuid", row["run_uuid"])
            if row["user_id"]:
                tags.setdefault("mlflow.user", row["user_id"])
            places[row["run_uuid"]] = row["artifact_uri"] or ""
            seen = (row["status"], row["end_time"], row["points"], row["params"])
            try:
                head = to_run(
                    row["run_uuid"],
                    name=row["name"] or "",
                    experiment=_named(row["experiment"], row["workspace"]),
                    start_ms=row["start_time"],
                    tags=tags,
                    seen=(*seen, sorted(tags.items())),
                )
            except _NO_NUMBER as error:
                yield Unread(where=f"{self.place}, run {row['run_uuid']}", why=str(error))
                continue
            heads.append(head)
        for head in parents_first(heads):
            yield marked(head, self._besides(head.id, places[head.id]))
        if deleted:
            yield Unread(where=self.place, why=f"deleted runs were left out: {deleted}")

    def items(self, run: FoundRun) -> Iterator[Item]:
        """Iterate over what the tables and the artifacts hold of a run."""
        yield FoundParams(params=self._texts("params", "run_uuid", run.id))
        yield FoundTags(tags=self._texts("tags", "run_uuid", run.id))
        yield from self._points(run)
        for row in self._rows(
            "SELECT status, end_time, artifact_uri FROM runs WHERE run_uuid = ?", run.id
        ):
            yield from self._besides(run.id, row["artifact_uri"] or "")
            yield FoundEnd(status=to_status(row["status"]), end_us=to_us(row["end_time"]))

    def _besides(self, run: str, uri: str) -> Iterator[Item]:
        """Iterate over what may come to a run when it has ended."""
        if {"inputs", "datasets"} <= self._tables.keys():
            yield from self._datasets(run)
        if "logged_models" in self._tables:
            yield from self._logged_models(run)
        if uri:
            yield from self._folders.files(uri, needed=False)

    def models(self) -> Iterator[FoundModel | Unread]:
        """Iterate over the registered models by name."""
        if "registered_models" not in self._tables:
            return
        workspace = self._workspace("registered_models")
        for row in self._rows(
            f"SELECT name, description, {workspace} AS workspace "
            "FROM registered_models ORDER BY name"
        ):
            try:
                model = self._model(row)
            except _NO_NUMBER as error:
                yield Unread(where=f"{self.place}, model {row['name']!r}", why=str(error))
                continue
            yield model

    def _model(self, row: sqlite3.Row) -> FoundModel:
        where = {"name": row["name"], "workspace": row["workspace"]}
        aliases = self._of_model("registered_model_aliases", "alias, version", where)
        tags = self._of_model("registered_model_tags", "key, value", where)
        return FoundModel(
            name=_named(row["name"], row["workspace"]),
            description=row["description"] or "",
            tags={tag["key"]: tag["value"] or "" for tag in tags},
            aliases={alias["alias"]: int(alias["version"]) for alias in aliases},
            versions=tuple(self._versions(where)),
        )

    def _versions(self, where: dict[str, str]) -> Iterator[FoundVersion]:
        tags: dict[int, dict[str, str]] = {}
        for tag in self._of_model("model_version_tags", "version, key, value", where):
            tags.setdefault(int(tag["version"]), {})[tag["key"]] = tag["value"] or ""
        location = (
            "storage_location" if "storage_location" in self._tables["model_versions"] else "NULL"
        )
        columns = (
            "version, creation_time, description, current_stage, source, run_id, "
            f"{location} AS location"
        )
        found = self._of_model("model_versions", columns, where)
        for row in sorted(found, key=lambda one: int(one["version"])):
            # A version that was deleted keeps its row, emptied.
            if row["current_stage"] == "Deleted_Internal":
                continue
            source = row["source"] or ""
            yield FoundVersion(
                version=int(row["version"]),
                run=row["run_id"] or None,
                created_us=to_us(row["creation_time"]),
                description=row["description"] or "",
                stage="" if row["current_stage"] in {None, "None"} else row["current_stage"],
                tags=tags.get(int(row["version"]), {}),
                source=source,
                logged_model=logged_model_uuid(source),
                files=lambda uri=row["location"] or source: self._files_of(uri),
            )

    def _files_of(self, uri: str) -> Iterator[FoundFile | Unread]:
        """Iterate over the files at a place that may be named by a run or a logged model."""
        logged = logged_model_uuid(uri)
        if uri.startswith("models:/") and logged is not None and "logged_models" in self._tables:
            for row in self._rows(
                "SELECT artifact_location FROM logged_models WHERE model_id = ?", f"m-{logged}"
            ):
                uri = row["artifact_location"]
        if found := re.fullmatch(r"runs:/([0-9a-f]{32})/(.+)", uri):
            for row in self._rows("SELECT artifact_uri FROM runs WHERE run_uuid = ?", found[1]):
                uri = f"{row['artifact_uri']}/{found[2]}"
        return self._folders.files(uri, needed=True)

    def _points(self, run: FoundRun) -> Iterator[Item]:
        for row in self._rows(
            "SELECT key, value, step, timestamp, is_nan FROM metrics WHERE run_uuid = ?", run.id
        ):
            try:
                yield to_point(
                    row["key"],
                    float(row["value"]),
                    step=int(row["step"]),
                    time_ms=int(row["timestamp"]),
                    is_nan=bool(row["is_nan"]),
                )
            except _NO_NUMBER as error:
                where = f"{self.place}, metric {row['key']!r} of run {run.id}"
                yield Unread(where=where, why=str(error))

    def _datasets(self, run: str) -> Iterator[FoundDataset]:
        for row in self._rows(
            """
            SELECT i.input_uuid, d.name, d.digest, d.dataset_source_type, d.dataset_source,
                d.dataset_schema, d.dataset_profile
            FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id
            WHERE i.destination_type = 'RUN' AND i.destination_id = ? AND i.source_type = 'DATASET'
            """,
            run,
        ):
            tags = self._texts("input_tags", "input_uuid", row["input_uuid"], key="name")
            yield FoundDataset(
                name=row["name"],
                digest=row["digest"],
                source_type=row["dataset_source_type"],
                source=row["dataset_source"],
                schema=row["dataset_schema"],
                profile=row["dataset_profile"],
                context=tags.pop("mlflow.data.context", None),
                tags=tags,
            )

    def _logged_models(self, run: str) -> Iterator[FoundLoggedModel | Unread]:
        for row in self._rows(
            """
            SELECT m.model_id, m.name, m.model_type, m.status, m.creation_timestamp_ms,
                m.artifact_location, (
                    SELECT max(i.step) FROM inputs i WHERE i.source_type = 'RUN_OUTPUT'
                        AND i.source_id = m.source_run_id AND i.destination_id = m.model_id
                ) AS step
            FROM logged_models m WHERE m.source_run_id = ? AND m.lifecycle_stage = 'active'
            """,
            run,
        ):
            uuid = logged_model_uuid(row["model_id"])
            if uuid is None:
                yield Unread(where=f"{self.place}, model {row['model_id']}", why="its id is none")
                continue
            of_model = ("model_id", row["model_id"])
            unread: list[Unread] = []
            measures = tuple(self._measures(row["model_id"], unread))
            yield from unread
            yield FoundLoggedModel(
                uuid=uuid,
                name=row["name"],
                type=row["model_type"] or "",
                status=to_logged_status(row["status"]),
                created_us=to_us(row["creation_timestamp_ms"]),
                step=row["step"] or 0,
                params=self._texts(
                    "logged_model_params", *of_model, key="param_key", value="param_value"
                ),
                tags=self._texts("logged_model_tags", *of_model, key="tag_key", value="tag_value"),
                measures=measures,
                files=lambda uri=row["artifact_location"]: self._folders.files(uri, needed=True),
            )

    def _measures(self, model: str, unread: list[Unread]) -> Iterator[FoundMeasure]:
        if "logged_model_metrics" not in self._tables:
            return
        # Whether a value is a number this table does not say: it holds 0 for one that is none.
        for row in self._rows(
            """
            SELECT l.metric_name, l.metric_value, l.metric_step, l.metric_timestamp_ms, l.run_id,
                l.dataset_name, l.dataset_digest, EXISTS (
                    SELECT 1 FROM metrics m WHERE m.run_uuid = l.run_id AND m.is_nan
                        AND m.key = l.metric_name AND m.step = l.metric_step
                        AND m.timestamp = l.metric_timestamp_ms
                ) AS is_nan
            FROM logged_model_metrics l WHERE l.model_id = ?
            """,
            model,
        ):
            try:
                yield FoundMeasure(
                    key=row["metric_name"],
                    value=to_value(float(row["metric_value"] or 0), is_nan=bool(row["is_nan"])),
                    step=int(row["metric_step"]),
                    time_us=to_us(row["metric_timestamp_ms"]),
                    run=row["run_id"],
                    dataset_name=row["dataset_name"] or "",
                    dataset_digest=row["dataset_digest"] or "",
                )
            except _NO_NUMBER as error:
                where = f"{self.place}, metric {row['metric_name']!r} of model {model}"
                unread.append(Unread(where=where, why=str(error)))

    def _columns(self) -> dict[str, set[str]]:
        names = [
            row["name"] for row in self._rows("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        return {
            name: {row["name"] for row in self._rows("SELECT name FROM pragma_table_info(?)", name)}
            for name in names
        }

    def _workspace(self, table: str, alias: str = "") -> str:
        """Return how a table says which workspace a row belongs to; older ones have but one."""
        if "workspace" not in self._tables[table]:
            return f"'{_DEFAULT_WORKSPACE}'"
        return f"{alias}.workspace" if alias else "workspace"

    def _of_model(self, table: str, columns: str, where: dict[str, str]) -> list[sqlite3.Row]:
        if table not in self._tables:
            return []
        condition = f"name = ? AND {self._workspace(table)} = ?"
        sql = f"SELECT {columns} FROM {table} WHERE {condition}"
        return list(self._rows(sql, where["name"], where["workspace"]))

    def _texts(
        self, table: str, column: str, of: str | int, *, key: str = "key", value: str = "value"
    ) -> dict[str, str]:
        if table not in self._tables:
            return {}
        found = self._rows(f"SELECT {key}, {value} FROM {table} WHERE {column} = ?", of)
        return {row[0]: "" if row[1] is None else str(row[1]) for row in found}

    def _rows(self, sql: str, *values: str | int) -> Iterator[sqlite3.Row]:
        try:
            cursor = self._database.execute(sql, values)
            while rows := cursor.fetchmany(_ROWS_AT_ONCE):
                yield from rows
        except sqlite3.Error as error:
            raise Corrupt(f"{self.place} cannot be read", why=str(error)) from error


def _as_text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _named(name: str, workspace: str) -> str:
    return name if workspace == _DEFAULT_WORKSPACE else f"{workspace}.{name}"
