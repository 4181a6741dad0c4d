"""Results that can be used again, by fingerprint: looked up, checked, and kept.

A result is taken from the cache only when every byte of it is still what it was. One that is
gone or damaged is as good as none; the reason is told, and running the step again repairs it.
"""

from __future__ import annotations

from dataclasses import dataclass

from millwright.artifacts.store import ArtifactStore
from millwright.core.digest import Digest
from millwright.core.errors import Corrupt
from millwright.core.ids import RunId
from millwright.metadata.database import Database, Writer
from millwright.metadata.tables import pipelines as tables
from millwright.pipelines.values import damaged_objects
from millwright.records.pipelines import Fingerprint, StepOutput


@dataclass(frozen=True, slots=True)
class Cached:
    """A sound result, and the run that made it."""

    run: RunId
    outputs: list[StepOutput]


@dataclass(frozen=True, slots=True)
class Missed:
    """No result that can be used."""

    trouble: str = ""
    """Why one that was kept cannot be used; empty when none was kept."""
    outputs_json: str = ""
    """What was kept, as its row holds it."""
    damaged: tuple[Digest, ...] = ()
    """Stored objects whose bytes are not what they were."""


class Cache:
    """The results kept for one project."""

    def __init__(self, database: Database, store: ArtifactStore, project_key: int) -> None:
        self._database = database
        self._store = store
        self._project = project_key

    def look_up(self, fingerprint: Fingerprint) -> Cached | Missed:
        """Return the result for a fingerprint, having read all of it, or why there is none."""
        with self._database.read() as tx:
            row = tables.find_cached(tx, project=self._project, fingerprint=fingerprint.digest)
        if row is None:
            return Missed()
        outputs = row.outputs()
        troubles: list[str] = []
        damaged: list[Digest] = []
        for output in outputs:
            for digest, error in damaged_objects(self._store, output):
                word = "damaged" if isinstance(error, Corrupt) else "gone"
                troubles.append(f"its cached result {output.name} is {word}: {error.what}")
                if isinstance(error, Corrupt):
                    damaged.append(digest)
        if not troubles:
            return Cached(row.run, outputs)
        return Missed("; ".join(troubles), row.outputs_json, tuple(damaged))

    def keep(
        self,
        tx: Writer,
        fingerprint: Fingerprint,
        run: RunId,
        outputs: list[StepOutput],
        now_us: int,
    ) -> bool:
        """Keep a result in the caller's transaction; of two for one fingerprint the first stays."""
        return tables.insert_cached(
            tx,
            project=self._project,
            fingerprint=fingerprint.digest,
            run=run,
            outputs=outputs,
            now_us=now_us,
        )

    def forget(self, tx: Writer, fingerprint: Fingerprint, missed: Missed) -> None:
        """Forget a result that could not be used, so that the next one can be kept."""
        if missed.outputs_json:
            tables.delete_cached(
                tx,
                project=self._project,
                fingerprint=fingerprint.digest,
                outputs_json=missed.outputs_json,
            )
