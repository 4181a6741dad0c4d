from __future__ import annotations

from dataclasses import dataclass

import pytest

from fixtures.journals import ORIGIN
from millwright.artifacts.store import ArtifactStore
from millwright.artifacts.trees import put_tree
from millwright.core.canonical import encode
from millwright.core.digest import Digest, digest_bytes
from millwright.core.errors import Invalid, NotFound
from millwright.core.ids import ActorId, ProjectId, RunId, new_id
from millwright.journal.log import Journal
from millwright.metadata.database import Database
from millwright.metadata.tables.access import insert_project
from millwright.records.events import Act
from millwright.records.runs import MetricPoint, RunSource
from millwright.testing.artifacts import MemoryBackend
from millwright.testing.clock import FakeClock
from millwright.tracking.comparisons import PATCH, Comparisons
from millwright.tracking.runs import Runs


@dataclass(frozen=True)
class Kept:
    """Runs of one project, and the store that keeps what they were made from."""

    runs: Runs
    store: ArtifactStore
    comparisons: Comparisons
    act: Act

    def run(
        self,
        *,
        code: dict[str, bytes] | None = None,
        patch: bytes | None = None,
        packages: dict[str, str] | None = None,
        commit: str | None = None,
        params: dict[str, str] | None = None,
        auc: float = 0.5,
        code_digest: Digest | None = None,
    ) -> RunId:
        tree = code_digest if code is None else put_tree(self.store, dict(code)).digest
        source = RunSource(
            command=["fit.py"],
            python="3.11",
            platform="test",
            git_commit=commit,
            code_digest=tree,
            git_diff_digest=None if patch is None else self.store.put_bytes(patch),
            environment_digest=None if packages is None else self.store.put_bytes(encode(packages)),
        )
        run = self.runs.start(self.act, name="fit", source=source)
        self.runs.logs.log_batch(
            self.act, run, params=params, points=[MetricPoint(key="auc", value=auc)]
        )
        return run


@pytest.fixture
def kept(database: Database) -> Kept:
    clock, project = FakeClock(), ProjectId(new_id("prj"))
    with database.write() as tx:
        key = insert_project(tx, project_id=project, name="default", now_us=0)
    assert key is not None
    act = Act(actor=ActorId(new_id("act")), project=project, project_key=key)
    store = ArtifactStore(MemoryBackend())
    runs = Runs(database, Journal(database, None, clock, origin=ORIGIN), clock)
    return Kept(runs, store, Comparisons(database, store), act)


def test_code_data_and_environment_of_runs_are_read(kept: Kept) -> None:
    first = kept.run(
        code={"fit.py": b"depth = 3\n"}, packages={"numpy": "2.0", "polars": "1.0"}, commit="a"
    )
    second = kept.run(
        code={"fit.py": b"depth = 5\n"}, packages={"numpy": "2.1", "polars": "1.0"}, commit="b"
    )
    third = kept.run(code={"fit.py": b"depth = 3\n"}, params={"depth": "3"})
    found = kept.comparisons.compare(
        kept.act.project_key, [first, second, third, first], differing=True
    )
    assert found.runs == [first, second, third]
    assert [(one.key, one.values) for one in found.environment] == [("numpy", ["2.0", "2.1", None])]
    assert [(one.run, [file.diff for file in one.files]) for one in found.code] == [
        (second, ["--- a/fit.py\n+++ b/fit.py\n@@ -1 +1 @@\n-depth = 3\n+depth = 5\n"])
    ]
    whole = kept.comparisons.compare(kept.act.project_key, [first, third])
    assert [one.key for one in whole.environment] == ["numpy", "polars"]
    assert [one.files for one in whole.code] == [[]]


def test_where_no_files_were_kept_the_patches_are_compared(kept: Kept) -> None:
    first, second = kept.run(patch=b"+a\n"), kept.run(patch=b"+b\n")
    (code,) = kept.comparisons.compare(kept.act.project_key, [first, second]).code
    assert [(one.path, one.change) for one in code.files] == [(PATCH, "changed")]
    first, second = kept.run(commit="a"), kept.run(commit="b")
    (code,) = kept.comparisons.compare(kept.act.project_key, [first, second]).code
    assert code.note == f"no source files were kept of {first} and {second}"
    same = kept.run(commit="a")
    (code,) = kept.comparisons.compare(kept.act.project_key, [first, same]).code
    assert code.note == ""


def test_a_run_without_source_files_has_not_removed_them(kept: Kept) -> None:
    first, second = kept.run(code={"fit.py": b"1"}), kept.run()
    (code,) = kept.comparisons.compare(kept.act.project_key, [first, second]).code
    assert (code.files, code.note) == ([], f"no source files were kept of {second}")


def test_what_is_gone_is_said_and_breaks_nothing(kept: Kept) -> None:
    gone = digest_bytes(b"never stored")
    first, second = kept.run(code={"a.py": b"1"}), kept.run(code_digest=gone)
    found = kept.comparisons.compare(kept.act.project_key, [first, second])
    assert found.code[0].note.startswith("source files cannot be read: nothing is stored under ")
    assert gone[3:5] in found.code[0].note
    assert found.code[0].files == []


def test_so_many_runs_are_compared(kept: Kept) -> None:
    run = kept.run()
    with pytest.raises(Invalid, match="a run is compared with another one"):
        kept.comparisons.compare(kept.act.project_key, [run, run])
    with pytest.raises(Invalid, match="51 runs cannot be compared"):
        kept.comparisons.compare(kept.act.project_key, [f"run_{at}" for at in range(51)])
    with pytest.raises(NotFound):
        kept.comparisons.compare(kept.act.project_key, [run, new_id("run")])
    with pytest.raises(Invalid, match="5001 lines are too many"):
        kept.comparisons.parallel(kept.act.project_key, [run] * 5001, None)


def test_a_chart_reads_only_what_it_shows(kept: Kept) -> None:
    runs = [kept.run(params={"depth": str(at)}, auc=at / 10) for at in range(3)]
    chart = kept.comparisons.parallel(kept.act.project_key, runs, None)
    assert [axis.key for axis in chart.axes] == ["params.depth", "metrics.auc"]
    assert [line.values for line in chart.lines] == [[0.0, 0.0], [1.0, 0.1], [2.0, 0.2]]
    chart = kept.comparisons.parallel(kept.act.project_key, runs, ["metrics.auc"])
    assert [line.values for line in chart.lines] == [[0.0], [0.1], [0.2]]
