"""Reads what a comparison of runs needs: records, environments, and the source files kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from millwright.artifacts.store import ArtifactStore
from millwright.artifacts.trees import load_tree
from millwright.core.digest import Digest
from millwright.core.errors import Invalid, MillwrightError
from millwright.metadata.database import Database
from millwright.records.comparisons import CodeDifference, ParallelChart, RunComparison
from millwright.records.runs import Run
from millwright.tracking.compare import compare_runs, only_differing
from millwright.tracking.handles import find_run
from millwright.tracking.parallel import parallel_chart
from millwright.tracking.reading import complete
from millwright.tracking.sources_diff import diff_sources

MAX_COMPARED = 50
MAX_LINES = 5000
PATCH = "uncommitted changes"
"""What stands for a path where only a patch of what was not committed is kept."""
_ENVIRONMENT = msgspec.json.Decoder(dict[str, str])


class Comparisons:
    """Compares the runs of all projects of a home."""

    def __init__(self, database: Database, artifacts: ArtifactStore) -> None:
        self._database = database
        self._artifacts = artifacts

    def compare(
        self, project_key: int, refs: Sequence[str], *, differing: bool = False
    ) -> RunComparison:
        """Return 2 to 50 runs side by side, or (`differing`) only what is not alike.

        Source files are compared with those of the first. What is no longer stored is said in a
        note. Raises NotFound for a run that is not there, and Invalid for too few or too many.
        """
        if len(dict.fromkeys(refs)) < 2:
            raise Invalid("a run is compared with another one", fix="name two runs or more")
        if len(dict.fromkeys(refs)) > MAX_COMPARED:
            raise Invalid(
                f"{len(dict.fromkeys(refs))} runs cannot be compared",
                why=f"a comparison takes 2 to {MAX_COMPARED}",
                fix="draw them: mill runs compare --parallel",
            )
        runs = self._read(project_key, refs, fields=None)
        found = compare_runs(
            runs,
            [self._environment(run) for run in runs],
            [self._code(runs[0], run) for run in runs[1:]],
        )
        return only_differing(found) if differing else found

    def parallel(
        self, project_key: int, refs: Sequence[str], axes: Sequence[str] | None
    ) -> ParallelChart:
        """Return what a chart of up to 5,000 runs is drawn from; see `parallel_chart`."""
        if len(refs) > MAX_LINES:
            raise Invalid(f"{len(refs)} lines are too many", why=f"a chart takes {MAX_LINES}")
        wanted = frozenset({"params", "metrics"}) if axes is None else frozenset(axes)
        return parallel_chart(self._read(project_key, refs, fields=wanted), axes)

    def _read(
        self, project_key: int, refs: Sequence[str], *, fields: frozenset[str] | None
    ) -> list[Run]:
        with self._database.read() as tx:
            rows = [find_run(tx, project_key, ref) for ref in dict.fromkeys(refs)]
            return complete(tx, rows, fields=fields)

    def _environment(self, run: Run) -> Mapping[str, str]:
        digest = run.source.environment_digest
        if digest is None:
            return {}
        try:
            return _ENVIRONMENT.decode(self._artifacts.read_bytes(digest))
        except (MillwrightError, msgspec.DecodeError):
            # That it is another one is seen by its digest, among what the runs were made from.
            return {}

    def _code(self, base: Run, other: Run) -> CodeDifference:
        def said(note: str) -> CodeDifference:
            return CodeDifference(base=base.id, run=other.id, files=[], note=note)

        try:
            before, after = self._sources(base), self._sources(other)
            if not before or not after:
                commits = (base.source.git_commit, other.source.git_commit)
                lacking = [run.id for run, kept in ((base, before), (other, after)) if not kept]
                if not before and not after and commits[0] == commits[1]:
                    return said("")
                return said(f"no source files were kept of {' and '.join(lacking)}")
            files, is_whole = diff_sources(before, after, self._artifacts.read_bytes)
        except MillwrightError as error:
            return said(f"source files cannot be read: {error.what}")
        return CodeDifference(base=base.id, run=other.id, files=files, is_whole=is_whole)

    def _sources(self, run: Run) -> dict[str, Digest]:
        if run.source.code_digest is not None:
            # The files as they were, what was not committed among them.
            tree = load_tree(self._artifacts, run.source.code_digest)
            return {str(entry.path): entry.digest for entry in tree.entries}
        patch = run.source.git_diff_digest
        return {} if patch is None else {PATCH: patch}
