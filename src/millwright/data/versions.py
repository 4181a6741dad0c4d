"""Datasets and their versions: bytes that are stored once and looked over once.

A version is its bytes. Adding the same bytes to a dataset again gives the version that is there
and writes nothing, neither a row nor an event.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from millwright.artifacts.files import explain
from millwright.artifacts.store import ArtifactStore
from millwright.core.clock import Clock
from millwright.core.digest import Digest, digest_bytes, digest_file
from millwright.core.errors import Conflict, Invalid, MillwrightError, NotFound
from millwright.core.ids import DatasetId, DatasetVersionId, EventId, bounds, new_id
from millwright.core.refs import LATEST, Ref, check_name, did_you_mean, parse_ref
from millwright.data.batches import (
    Source,
    Table,
    check_file,
    check_format,
    open_file,
    open_frame,
    open_known,
)
from millwright.data.expectations import describe
from millwright.data.frames import arrow_bytes
from millwright.data.profile import profile_batches
from millwright.data.validate import validate
from millwright.metadata.database import Database, Reader, Writer
from millwright.metadata.tables import data as tables
from millwright.records.data import Dataset, DatasetVersion, Expectation, ValidationReport
from millwright.records.events import (
    Act,
    DatasetVersionCreated,
    Detail,
    ExpectationsChecked,
    Subject,
)
from millwright.stats.profile import TableProfile

_SHOWN_NAMES = 10


class Recorder(Protocol):
    """Writes an event in the transaction that makes it true, as the journal does."""

    def append(
        self, tx: Writer, act: Act, detail: Detail, subjects: Sequence[Subject], /
    ) -> EventId:
        """Write the event and return its id."""
        ...


@dataclass(frozen=True, slots=True)
class _Kept:
    """Stored bytes, and the table in them."""

    digest: Digest
    size_bytes: int
    table: Table


class Datasets:
    """The datasets of all projects of a home.

    A `ref` is `name` or `name@latest` (the newest version), `name@v3`, or a version's id or the
    beginning of one; `project` is the project's key. Whether the actor may do it is for the
    caller to check. Every method that takes a ref raises NotFound, saying what there is, when
    it names nothing, and Invalid when it cannot be one.
    """

    def __init__(
        self, database: Database, artifacts: ArtifactStore, recorder: Recorder, clock: Clock
    ) -> None:
        self._database = database
        self._artifacts = artifacts
        self._recorder = recorder
        self._clock = clock

    def add(self, act: Act, name: str, source: Source) -> DatasetVersion:
        """Store a file or a data frame as the newest version of `name`, and return it.

        The dataset is made when it is new. Raises what `open_table` raises, having stored
        nothing, and Conflict when the file changes meanwhile.
        """
        check_name(name, "dataset")
        if isinstance(source, Path):
            return self._add_file(act, name, source)
        table = open_frame(source)
        data = arrow_bytes(table.lazy)
        found = self._find_same(act.project_key, name, digest_bytes(data))
        if found is not None:
            return found
        digest = self._artifacts.put_bytes(data)
        return self._register(act, name, _Kept(digest, len(data), table))

    def add_stored(
        self, act: Act, name: str, *, digest: Digest, kept_as: str, source: str
    ) -> DatasetVersion:
        """Make bytes that the artifact store holds already the newest version of `name`.

        `kept_as` is their format; `source` says where they came from. Raises NotFound when the
        bytes are not stored, and otherwise as `add`.
        """
        check_name(name, "dataset")
        fmt = check_format(kept_as)
        found = self._find_same(act.project_key, name, digest)
        if found is not None:
            return found
        with self._fetched(digest) as path:
            table = open_file(path, kept_as=fmt, label=source)
            return self._register(act, name, _Kept(digest, path.stat().st_size, table))

    def get(self, project: int, ref: str) -> DatasetVersion:
        """Return one version."""
        with self._database.read() as tx:
            return _resolve(tx, project, ref)

    def list_datasets(self, project: int) -> list[Dataset]:
        """Return the project's datasets, by name."""
        with self._database.read() as tx:
            return tables.list_datasets(tx, project=project)

    def list_versions(self, project: int, name: str) -> list[DatasetVersion]:
        """Return all versions of a dataset, oldest first; raises NotFound when there is none."""
        check_name(name, "dataset")
        with self._database.read() as tx:
            versions = tables.list_versions(tx, project=project, name=name)
            if not versions:
                raise _no_dataset(tx, project, name)
            return versions

    @contextmanager
    def open(self, project: int, ref: str) -> Generator[Table]:
        """Hold a version open as a table, to be read batch by batch; used in a `with` block.

        Its bytes were checked against their digest. Raises Corrupt when they have changed.
        """
        version = self.get(project, ref)
        with self._fetched(version.digest) as path:
            yield open_known(
                path,
                kept_as=check_format(version.format),
                schema=version.schema,
                row_count=version.row_count,
                label=version.source,
            )

    def load(self, project: int, ref: str) -> pl.DataFrame:
        """Return a whole version in memory, checked against its digest."""
        with self.open(project, ref) as table:
            return table.frame()

    def profile(self, project: int, ref: str) -> TableProfile:
        """Return the profile made when the version was added."""
        version = self.get(project, ref)
        return TableProfile.from_bytes(self._artifacts.read_bytes(version.profile_digest))

    def checkout(self, project: int, ref: str, path: Path) -> DatasetVersion:
        """Write a version's bytes to the file `path`, and return the version.

        A file that holds these bytes already is left alone; raises Conflict when it holds others.
        """
        version = self.get(project, ref)
        if path.exists():
            if path.is_file() and digest_file(path) == version.digest:
                return version
            raise Conflict(
                f"{path} exists and is not {version.name}@v{version.version}",
                why="a checkout never overwrites what it did not write",
                fix="move it away, or name another file",
            )
        self._artifacts.fetch(version.digest, path)
        return version

    def validate(self, act: Act, ref: str, expectations: Sequence[Expectation]) -> ValidationReport:
        """Hold a version against expectations, journal the outcome, and return the report."""
        version = self.get(act.project_key, ref)
        with self.open(act.project_key, version.id) as table:
            report = validate(table, expectations)
        failed = [describe(r.expectation) for r in report.results if not r.passed]
        with self._database.write() as tx:
            self._recorder.append(
                tx,
                act,
                ExpectationsChecked(
                    reason=act.reason,
                    name=version.name,
                    version=version.version,
                    passed=report.passed,
                    failed=failed,
                ),
                [_subject(version)],
            )
        return report

    def _add_file(self, act: Act, name: str, path: Path) -> DatasetVersion:
        kept_as = check_file(path)
        try:
            before = digest_file(path)
        except OSError as error:
            raise explain(error, f"cannot read {path}") from error
        found = self._find_same(act.project_key, name, before)
        if found is not None:
            return found
        table = open_file(path, kept_as=kept_as, label=path.name)
        profile = profile_batches(table.batches(), table.schema)
        blob = self._artifacts.put_file(path)
        if blob.digest != before:
            raise Conflict(
                f"{path} changed while it was read",
                why="another process is writing to it; nothing was added",
                fix="add it again when it is complete",
            )
        return self._write(act, name, _Kept(blob.digest, blob.size_bytes, table), profile)

    def _register(self, act: Act, name: str, kept: _Kept) -> DatasetVersion:
        profile = profile_batches(kept.table.batches(), kept.table.schema)
        return self._write(act, name, kept, profile)

    def _write(self, act: Act, name: str, kept: _Kept, profile: TableProfile) -> DatasetVersion:
        profile_digest = self._artifacts.put_bytes(profile.to_bytes())
        now_us = self._clock.now_us()
        with self._database.write() as tx:
            dataset_pk, dataset_id = tables.ensure_dataset(
                tx,
                project=act.project_key,
                name=name,
                new_id=DatasetId(new_id("dat")),
                now_us=now_us,
            )
            # Looked up again under the lock: somebody may have added the same bytes meanwhile.
            found = tables.find_by_digest(
                tx, project=act.project_key, name=name, digest=kept.digest
            )
            if found is not None:
                return found
            version = tables.insert_version(
                tx,
                project=act.project_key,
                dataset_pk=dataset_pk,
                version=DatasetVersion(
                    id=DatasetVersionId(new_id("dsv")),
                    name=name,
                    version=0,
                    digest=kept.digest,
                    format=kept.table.format,
                    size_bytes=kept.size_bytes,
                    row_count=kept.table.row_count,
                    schema=kept.table.schema,
                    profile_digest=profile_digest,
                    source=kept.table.source,
                    actor=act.actor,
                    created_us=now_us,
                ),
            )
            self._recorder.append(
                tx,
                act,
                DatasetVersionCreated(
                    reason=act.reason,
                    name=name,
                    version=version.version,
                    row_count=version.row_count,
                    size_bytes=version.size_bytes,
                    source=version.source,
                ),
                [Subject(kind="dataset", id=dataset_id), _subject(version)],
            )
        return version

    def _find_same(self, project: int, name: str, digest: Digest) -> DatasetVersion | None:
        with self._database.read() as tx:
            return tables.find_by_digest(tx, project=project, name=name, digest=digest)

    @contextmanager
    def _fetched(self, digest: Digest) -> Generator[Path]:
        """Copy the stored bytes, checked, to a file that lives as long as the `with` block."""
        with tempfile.TemporaryDirectory(prefix="millwright-") as folder:
            path = Path(folder, "data")
            with self._artifacts.open(digest) as stored, path.open("wb") as copy:
                shutil.copyfileobj(stored, copy, 1 << 20)
            yield path


def _subject(version: DatasetVersion) -> Subject:
    return Subject(kind="dataset_version", id=version.id, digest=version.digest)


def _resolve(tx: Reader, project: int, text: str) -> DatasetVersion:
    ref = parse_ref(text)
    if ref.alias not in {None, LATEST}:
        raise Invalid(
            f"{text!r} names no version of a dataset",
            why=f"after '@' stands a version, such as v3, or {LATEST}",
        )
    if ref.version is not None:
        found = tables.find_version(tx, project=project, name=ref.name, number=ref.version)
    else:
        found = tables.find_latest(tx, project=project, name=ref.name)
    if found is None and ref == Ref(text) and text.lower().startswith("dsv_"):
        found = _by_id(tx, project, text)
    if found is not None:
        return found
    latest = tables.find_latest(tx, project=project, name=ref.name)
    if latest is None:
        raise _no_dataset(tx, project, ref.name)
    raise NotFound(
        f"no dataset version {text}",
        why=f"{ref.name} has the versions v1 to v{latest.version}",
        fix=f"{ref.name}@{LATEST} is the newest",
    )


def _by_id(tx: Reader, project: int, text: str) -> DatasetVersion:
    low, high = bounds(text, "dsv")
    found = tables.find_by_id(tx, project=project, low=low, high=high)
    if len(found) > 1:
        raise Invalid(
            f"{text!r} begins the ids of several dataset versions",
            why=", ".join(f"{version.id} ({version.name}@v{version.version})" for version in found),
            fix="give more characters",
        )
    if not found:
        raise NotFound(f"no dataset version {text} in this project")
    return found[0]


def _no_dataset(tx: Reader, project: int, name: str) -> MillwrightError:
    names = [dataset.name for dataset in tables.list_datasets(tx, project=project)]
    if not names:
        return NotFound(
            f"no dataset {name}",
            why="this project has no datasets yet",
            fix=f"mill data add {name} FILE",
        )
    shown = ", ".join(names[:_SHOWN_NAMES])
    more = len(names) - _SHOWN_NAMES
    return NotFound(
        f"no dataset {name}",
        why=f"this project has {shown}" + (f" and {more} more" if more > 0 else ""),
        fix=did_you_mean(name, names),
    )
