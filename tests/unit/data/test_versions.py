from __future__ import annotations

import importlib
import io
import threading
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from millwright.artifacts.store import ArtifactStore, Blob, key_of
from millwright.core.clock import SystemClock
from millwright.core.digest import digest_bytes
from millwright.core.errors import Conflict, Corrupt, Invalid, NotFound, Refused
from millwright.core.ids import ActorId, EventId, ProjectId, new_id
from millwright.data.splits import split_by_key
from millwright.data.validate import require
from millwright.data.versions import Datasets
from millwright.metadata.database import Database, Writer
from millwright.records.data import InRange, IsUnique, RowCount
from millwright.records.events import Act, Detail, Subject
from millwright.testing.artifacts import MemoryBackend

CSV = b"id,x\n1,0.5\n2,\n3,1.5\n"
FRAME = pl.DataFrame({"id": [1, 2, 3], "x": [0.5, None, 1.5]})


class Recorded:
    """Keeps events in the order they were written, as a journal would."""

    def __init__(self) -> None:
        self.events: list[tuple[Detail, list[Subject]]] = []

    def append(
        self, tx: Writer, act: Act, detail: Detail, subjects: Sequence[Subject], /
    ) -> EventId:
        self.events.append((detail, list(subjects)))
        return EventId(new_id("evt"))

    def kinds(self) -> list[str]:
        return [type(detail).__name__ for detail, _ in self.events]


class Home:
    """A metadata store with two projects, an artifact store in memory and what was recorded."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.backend = MemoryBackend()
        self.artifacts = ArtifactStore(self.backend)
        self.recorded = Recorded()
        self.data = Datasets(database, self.artifacts, self.recorded, SystemClock())
        self.act, self.other = (self._project(name) for name in ("default", "other"))
        self.project = self.act.project_key

    def _project(self, name: str) -> Act:
        project_id = new_id("prj")
        with self.database.write() as tx:
            key = tx.insert(
                "INSERT INTO project (id, name, created_us) VALUES (:id, :name, 1) RETURNING pk",
                id=project_id,
                name=name,
            )
        return Act(
            actor=ActorId(new_id("act")), project=ProjectId(project_id), project_key=key, reason="r"
        )


@pytest.fixture
def home(database: Database) -> Home:
    return Home(database)


@pytest.fixture
def light(sqlite_address: str) -> Home:
    """For what does not depend on the database."""
    return Home(Database.at(sqlite_address))


def write(folder: Path, data: bytes = CSV, name: str = "loans.csv") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


class TestAdding:
    def test_a_file_becomes_a_version_with_its_bytes_schema_and_event(
        self, home: Home, tmp_path: Path
    ) -> None:
        version = home.data.add(home.act, "loans", write(tmp_path))
        assert version.digest == digest_bytes(CSV)
        assert home.artifacts.read_bytes(version.digest) == CSV
        assert (version.name, version.version, version.format) == ("loans", 1, "csv")
        assert (version.size_bytes, version.row_count) == (len(CSV), 3)
        assert (version.source, version.actor) == ("loans.csv", home.act.actor)
        assert [(c.name, c.kind, c.nullable) for c in version.schema.columns] == [
            ("id", "integer", False),
            ("x", "float", True),
        ]
        assert home.data.get(home.project, "loans") == version
        dataset = home.data.list_datasets(home.project)[0]
        assert (dataset.name, dataset.versions) == ("loans", 1)
        detail, subjects = home.recorded.events[0]
        assert type(detail).__name__ == "DatasetVersionCreated"
        assert detail.reason == "r"
        assert subjects == [
            Subject(kind="dataset", id=dataset.id),
            Subject(kind="dataset_version", id=version.id, digest=version.digest),
        ]

    def test_the_same_bytes_are_the_same_version_and_write_nothing(
        self, home: Home, tmp_path: Path
    ) -> None:
        first = home.data.add(home.act, "loans", write(tmp_path))
        stored = dict(home.backend.objects)
        assert home.data.add(home.act, "loans", write(tmp_path, name="renamed.csv")) == first
        assert home.recorded.kinds() == ["DatasetVersionCreated"]
        assert home.backend.objects == stored

    def test_other_bytes_are_the_next_version_and_the_old_ones_come_back(
        self, home: Home, tmp_path: Path
    ) -> None:
        first = home.data.add(home.act, "loans", write(tmp_path))
        second = home.data.add(home.act, "loans", write(tmp_path, CSV + b"4,2\n"))
        assert (second.version, second.row_count) == (2, 4)
        assert home.data.add(home.act, "loans", write(tmp_path)) == first
        assert home.data.list_versions(home.project, "loans") == [first, second]

    def test_equal_frames_are_one_version(self, home: Home) -> None:
        first = home.data.add(home.act, "loans", FRAME)
        assert (first.format, first.source) == ("arrow", "data frame")
        assert home.data.add(home.act, "loans", pl.concat([FRAME[:1], FRAME[1:]])) == first
        pandas = importlib.import_module("pandas").DataFrame(
            {"id": [1, 2, 3], "x": [0.5, float("nan"), 1.5]}
        )
        assert home.data.add(home.act, "loans", pandas) == first
        assert home.recorded.kinds() == ["DatasetVersionCreated"]

    def test_projects_do_not_see_each_other(self, home: Home, tmp_path: Path) -> None:
        mine = home.data.add(home.act, "loans", write(tmp_path))
        theirs = home.data.add(home.other, "loans", write(tmp_path))
        assert mine.id != theirs.id
        assert (mine.version, theirs.version) == (1, 1)
        with pytest.raises(NotFound):
            home.data.get(home.other.project_key, mine.id)

    def test_those_who_add_at_once_are_numbered_one_by_one(
        self, home: Home, tmp_path: Path
    ) -> None:
        def add(worker: int) -> None:
            for name in ("same", f"own{worker}"):
                home.data.add(
                    home.act,
                    "loans",
                    write(tmp_path, CSV + name.encode() + b",1\n", f"{worker}.csv"),
                )

        threads = [threading.Thread(target=add, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        versions = home.data.list_versions(home.project, "loans")
        assert [version.version for version in versions] == [1, 2, 3, 4, 5]
        assert len(home.recorded.events) == 5

    def test_stored_bytes_become_a_version(self, light: Home) -> None:
        digest = light.artifacts.put_bytes(CSV)
        version = light.data.add_stored(
            light.act, "loans", digest=digest, kept_as="csv", source="/far/away/loans.csv"
        )
        assert (version.digest, version.source) == (digest, "/far/away/loans.csv")
        assert version.size_bytes == len(CSV)
        again = light.data.add_stored(
            light.act, "loans", digest=digest, kept_as="csv", source="elsewhere"
        )
        assert again == version

    def test_a_file_that_cannot_be_read_leaves_nothing(self, light: Home, tmp_path: Path) -> None:
        with pytest.raises(Invalid, match="line 2 has 1 fields"):
            light.data.add(light.act, "loans", write(tmp_path, b"a,b\n1\n"))
        with pytest.raises(NotFound, match="there is no file"):
            light.data.add(light.act, "loans", tmp_path / "none.csv")
        with pytest.raises(Invalid, match="is empty"):
            light.data.add(light.act, "loans", write(tmp_path, b""))
        with pytest.raises(Invalid, match="cannot be the name of a dataset"):
            light.data.add(light.act, "lo@ns", write(tmp_path))
        with pytest.raises(NotFound):
            light.data.add_stored(
                light.act, "loans", digest=digest_bytes(b"x"), kept_as="csv", source="s"
            )
        assert light.backend.objects == {}
        assert light.recorded.events == []
        assert light.data.list_datasets(light.project) == []

    def test_a_file_that_changes_while_it_is_read_is_not_added(
        self, light: Home, tmp_path: Path
    ) -> None:
        path = write(tmp_path)

        class Changing(ArtifactStore):
            def put_file(self, path: Path) -> Blob:
                path.write_bytes(CSV + b"4,4\n")
                return super().put_file(path)

        data = Datasets(light.database, Changing(light.backend), light.recorded, SystemClock())
        with pytest.raises(Conflict, match="changed while it was read"):
            data.add(light.act, "loans", path)
        assert light.recorded.events == []


class TestRefs:
    def test_a_version_is_found_by_name_number_latest_id_and_prefix(
        self, home: Home, tmp_path: Path
    ) -> None:
        first = home.data.add(home.act, "loans", write(tmp_path))
        second = home.data.add(home.act, "loans", write(tmp_path, CSV + b"4,2\n"))
        for ref in (
            "loans",
            "loans@latest",
            "loans@v2",
            second.id,
            second.id.upper(),
            second.id[:-1],
        ):
            assert home.data.get(home.project, ref) == second
        assert home.data.get(home.project, "loans@v1") == first
        with pytest.raises(Invalid, match="begins the ids of several dataset versions"):
            home.data.get(home.project, "dsv_")

    def test_a_dataset_may_be_called_like_an_id(self, light: Home, tmp_path: Path) -> None:
        version = light.data.add(light.act, "dsv_0", write(tmp_path))
        assert light.data.get(light.project, "dsv_0") == version

    def test_what_is_not_there_is_told_with_what_is(self, home: Home, tmp_path: Path) -> None:
        with pytest.raises(NotFound) as none:
            home.data.get(home.project, "loans")
        assert str(none.value) == (
            "no dataset loans\nthis project has no datasets yet\nmill data add loans FILE"
        )
        for name in ("loans", "people"):
            home.data.add(home.act, name, write(tmp_path))
        with pytest.raises(NotFound) as unknown:
            home.data.list_versions(home.project, "lonas")
        assert str(unknown.value) == (
            "no dataset lonas\nthis project has loans, people\ndid you mean 'loans'?"
        )
        with pytest.raises(NotFound) as number:
            home.data.get(home.project, "loans@v7")
        assert str(number.value) == (
            "no dataset version loans@v7\nloans has the versions v1 to v1\n"
            "loans@latest is the newest"
        )
        with pytest.raises(Invalid, match="'loans@champion' names no version"):
            home.data.get(home.project, "loans@champion")
        with pytest.raises(NotFound, match="no dataset version dsv_7"):
            home.data.get(home.project, "dsv_7")


class TestReading:
    @pytest.mark.parametrize("suffix", ["csv", "parquet", "arrow"])
    def test_a_version_is_loaded_as_it_was_added(
        self, light: Home, tmp_path: Path, suffix: str
    ) -> None:
        path = tmp_path / f"t.{suffix}"
        kept = io.BytesIO()
        match suffix:
            case "csv":
                FRAME.write_csv(kept)
            case "parquet":
                FRAME.write_parquet(kept)
            case _:
                FRAME.write_ipc(kept)
        path.write_bytes(kept.getvalue())
        light.data.add(light.act, "t", path)
        assert light.data.load(light.project, "t").equals(FRAME)
        with light.data.open(light.project, "t@v1") as table:
            assert [batch.rows() for batch in table.batches()] == [FRAME.rows()]

    def test_a_damaged_version_is_named_and_not_loaded(self, light: Home, tmp_path: Path) -> None:
        version = light.data.add(light.act, "loans", write(tmp_path))
        light.backend.objects[key_of(version.digest)] = CSV.replace(b"0.5", b"9.5")
        with pytest.raises(Corrupt, match=version.digest):
            light.data.load(light.project, "loans")

    def test_the_profile_is_the_one_made_when_it_was_added(
        self, light: Home, tmp_path: Path
    ) -> None:
        version = light.data.add(light.act, "loans", write(tmp_path))
        profile = light.data.profile(light.project, "loans")
        assert profile.rows == 3
        assert profile.summary()["x"]["missing"] == 1
        assert digest_bytes(profile.to_bytes()) == version.profile_digest

    def test_a_checkout_writes_the_bytes_and_overwrites_nothing(
        self, light: Home, tmp_path: Path
    ) -> None:
        version = light.data.add(light.act, "loans", write(tmp_path))
        target = tmp_path / "out.csv"
        assert light.data.checkout(light.project, "loans", target) == version
        assert target.read_bytes() == CSV
        assert light.data.checkout(light.project, "loans", target) == version
        target.write_bytes(b"mine")
        with pytest.raises(Conflict, match=r"out\.csv exists and is not loans@v1"):
            light.data.checkout(light.project, "loans", target)
        assert target.read_bytes() == b"mine"


def test_real_data_is_versioned_validated_and_split(home: Home) -> None:
    columns, target = importlib.import_module("sklearn.datasets").load_breast_cancer(
        return_X_y=True
    )
    frame = pl.DataFrame(columns, schema=[f"c{at}" for at in range(30)]).with_columns(
        pl.Series("target", target)
    )
    version = home.data.add(home.act, "cancer", frame)
    assert (version.row_count, len(version.schema.columns)) == (569, 31)
    report = home.data.validate(
        home.act,
        "cancer",
        [InRange(column="c0", low=0, high=25), IsUnique(columns=["c0", "c1"]), RowCount(low=500)],
    )
    assert [result.failed_rows for result in report.results] == [5, 0, 0]
    with pytest.raises(Refused, match="c0 from 0 to 25: 5 of 569 rows fail"):
        require(report)
    detail, subjects = home.recorded.events[-1]
    assert type(detail).__name__ == "ExpectationsChecked"
    assert subjects == [Subject(kind="dataset_version", id=version.id, digest=version.digest)]
    shares = {"train": 0.6, "holdout": 0.2, "live": 0.2}
    parts = split_by_key(home.data.load(home.project, "cancer"), shares=shares, seed=1)
    assert sum(part.height for part in parts.values()) == 569
