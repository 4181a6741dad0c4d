"""The SQL of step runs and of the cache of their results."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from millwright.core.digest import Digest
from millwright.core.ids import RunId
from millwright.metadata.database import Reader, Writer
from millwright.records.pipelines import (
    Fingerprint,
    PipelineRun,
    StepOutcome,
    StepOutput,
    StepRun,
)

RECENT_RUNS = 20
"""How many runs of a pipeline are looked at to say what changed since the last one."""

_OUTPUTS = msgspec.json.Decoder(list[StepOutput])
_PARTS = msgspec.json.Decoder(dict[str, str])


class CachedRow(Struct, frozen=True, kw_only=True):
    """A result that can be used again, and the run that made it."""

    run: RunId
    outputs_json: str

    def outputs(self) -> list[StepOutput]:
        """Return the results."""
        return _OUTPUTS.decode(self.outputs_json)


class _StepRow(Struct, frozen=True, kw_only=True):
    run: RunId
    step: str
    outcome: StepOutcome
    why: str
    fingerprint: str
    parts_json: str
    outputs_json: str
    start_us: int
    end_us: int | None
    log_digest: Digest | None


class _RunRow(Struct, frozen=True, kw_only=True):
    pk: int
    pipeline: str
    status: str


class _PreviousRow(Struct, frozen=True, kw_only=True):
    step: str
    fingerprint: Digest
    parts_json: str


def find_cached(tx: Reader, *, project: int, fingerprint: Digest) -> CachedRow | None:
    """Return the result kept for a fingerprint, or None."""
    return tx.first(
        CachedRow,
        """
        SELECT run.id AS run, step_cache.outputs_json FROM step_cache
        JOIN run ON run.pk = step_cache.run_pk
        WHERE step_cache.project_id = :project AND step_cache.fingerprint = :fingerprint
        """,
        project=project,
        fingerprint=fingerprint,
    )


def insert_cached(
    tx: Writer,
    *,
    project: int,
    fingerprint: Digest,
    run: RunId,
    outputs: Sequence[StepOutput],
    now_us: int,
) -> bool:
    """Keep a result; returns False when one is kept for this fingerprint already: it stays."""
    changed = tx.run(
        """
        INSERT INTO step_cache (project_id, fingerprint, run_pk, outputs_json, created_us)
        SELECT CAST(:project AS BIGINT), CAST(:fingerprint AS TEXT), run.pk,
            CAST(:outputs AS TEXT), CAST(:now AS BIGINT)
        FROM run WHERE run.id = :run
        ON CONFLICT (project_id, fingerprint) DO NOTHING
        """,
        project=project,
        fingerprint=fingerprint,
        run=run,
        outputs=_encode(outputs),
        now=now_us,
    )
    return changed == 1


def delete_cached(tx: Writer, *, project: int, fingerprint: Digest, outputs_json: str) -> None:
    """Forget a result that can no longer be read, unless another has taken its place."""
    tx.run(
        """
        DELETE FROM step_cache WHERE project_id = :project AND fingerprint = :fingerprint
            AND outputs_json = :outputs
        """,
        project=project,
        fingerprint=fingerprint,
        outputs=outputs_json,
    )


def insert_step_run(
    tx: Writer,
    *,
    run: RunId,
    step: str,
    fingerprint: Fingerprint | None,
    outcome: StepOutcome,
    why: str,
    outputs: Sequence[StepOutput] = (),
) -> None:
    """Add what is known of a step to its run, which is there already."""
    tx.run(
        """
        INSERT INTO step_run (run_pk, step, fingerprint, parts_json, outcome, why, outputs_json)
        SELECT run.pk, CAST(:step AS TEXT), CAST(:fingerprint AS TEXT), CAST(:parts AS TEXT),
            CAST(:outcome AS TEXT), CAST(:why AS TEXT), CAST(:outputs AS TEXT)
        FROM run WHERE run.id = :run
        """,
        run=run,
        step=step,
        fingerprint="" if fingerprint is None else fingerprint.digest,
        parts=msgspec.json.encode({} if fingerprint is None else fingerprint.parts).decode(),
        outcome=outcome,
        why=why,
        outputs=_encode(outputs),
    )


def end_step_run(
    tx: Writer, *, run: RunId, outcome: StepOutcome, outputs: Sequence[StepOutput] = ()
) -> None:
    """Record how a running step ended, and its results."""
    tx.run(
        """
        UPDATE step_run SET outcome = :outcome, outputs_json = :outputs
        WHERE run_pk = (SELECT pk FROM run WHERE id = :run)
        """,
        run=run,
        outcome=outcome,
        outputs=_encode(outputs),
    )


def read_pipeline_run(tx: Reader, *, project: int, run: RunId) -> PipelineRun | None:
    """Return a run of a pipeline with its steps in the order they began, or None."""
    found = tx.first(
        _RunRow,
        """
        SELECT run.pk, pipeline.name AS pipeline, run.status FROM run
        JOIN pipeline ON pipeline.pk = run.pipeline_pk
        WHERE run.project_id = :project AND run.id = :run AND run.kind = 'pipeline'
        """,
        project=project,
        run=run,
    )
    if found is None:
        return None
    rows = tx.rows(
        _StepRow,
        """
        SELECT run.id AS run, step_run.step, step_run.outcome, step_run.why,
            step_run.fingerprint, step_run.parts_json, step_run.outputs_json,
            run.start_us, run.end_us, run.log_digest
        FROM run JOIN step_run ON step_run.run_pk = run.pk
        WHERE run.parent_pk = :parent ORDER BY run.pk
        """,
        parent=found.pk,
    )
    return PipelineRun(
        run=run, pipeline=found.pipeline, status=found.status, steps=[_to_step(row) for row in rows]
    )


def read_previous(tx: Reader, *, project: int, pipeline: str) -> dict[str, Fingerprint]:
    """Return the fingerprint each step of a pipeline had when it last gave a result.

    Looks at the last RECENT_RUNS runs of the pipeline.
    """
    rows = tx.rows(
        _PreviousRow,
        """
        SELECT step_run.step, step_run.fingerprint, step_run.parts_json
        FROM run JOIN step_run ON step_run.run_pk = run.pk
        WHERE step_run.outcome IN ('ran', 'cached') AND run.parent_pk IN (
            SELECT parent.pk FROM run parent JOIN pipeline ON pipeline.pk = parent.pipeline_pk
            WHERE pipeline.project_id = :project AND pipeline.name = :pipeline
                AND parent.kind = 'pipeline'
            ORDER BY parent.pk DESC LIMIT :limit
        )
        ORDER BY run.pk
        """,
        project=project,
        pipeline=pipeline,
        limit=RECENT_RUNS,
    )
    # In order of time, so that the newest of each step is the one that stays.
    return {
        row.step: Fingerprint(digest=row.fingerprint, parts=_PARTS.decode(row.parts_json))
        for row in rows
    }


def _to_step(row: _StepRow) -> StepRun:
    fingerprint = None
    if row.fingerprint:
        fingerprint = Fingerprint(
            digest=Digest(row.fingerprint), parts=_PARTS.decode(row.parts_json)
        )
    return StepRun(
        run=row.run,
        step=row.step,
        outcome=row.outcome,
        why=row.why,
        fingerprint=fingerprint,
        outputs=_OUTPUTS.decode(row.outputs_json),
        start_us=row.start_us,
        end_us=row.end_us,
        log_digest=row.log_digest,
    )


def _encode(outputs: Sequence[StepOutput]) -> str:
    return msgspec.json.encode(list(outputs)).decode()
