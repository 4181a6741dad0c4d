"""The SQL of studies and their trials."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from millwright.metadata.database import Reader, Writer
from millwright.metadata.parameters import in_list


class StudyRow(Struct, frozen=True, kw_only=True):
    """A study as its table holds it; its run's row tells the rest."""

    run_pk: int
    name: str
    space_json: str
    metric: str
    direction: str


class TrialRow(Struct, frozen=True, kw_only=True):
    """A trial as its table holds it."""

    run_pk: int
    study_pk: int
    number: int
    state: str


_STUDY = """
    SELECT s.run_pk, s.name, s.space_json, s.metric, s.direction
    FROM study s JOIN run ON run.pk = s.run_pk
"""


def insert_study(
    tx: Writer,
    *,
    run_pk: int,
    project: int,
    name: str,
    space_json: str,
    metric: str,
    direction: str,
) -> bool:
    """Make a run a study; False when its project has one of that name."""
    return (
        tx.run(
            """
            INSERT INTO study (run_pk, project_id, name, space_json, metric, direction)
            VALUES (:run, :project, :name, :space, :metric, :direction)
            ON CONFLICT (project_id, name) DO NOTHING
            """,
            run=run_pk,
            project=project,
            name=name,
            space=space_json,
            metric=metric,
            direction=direction,
        )
        == 1
    )


def find_study(tx: Reader, *, project: int, name: str) -> StudyRow | None:
    """Return the study of that name, unless its run is deleted."""
    return tx.first(
        StudyRow,
        f"{_STUDY} WHERE s.project_id = :project AND s.name = :name AND run.deleted_us IS NULL",
        project=project,
        name=name,
    )


def find_study_of_run(tx: Reader, *, run_pk: int) -> StudyRow | None:
    """Return the study that a run is."""
    return tx.first(StudyRow, f"{_STUDY} WHERE s.run_pk = :run", run=run_pk)


def list_studies(tx: Reader, *, project: int) -> list[StudyRow]:
    """Return the studies whose runs are not deleted, newest first."""
    return tx.rows(
        StudyRow,
        f"{_STUDY} WHERE s.project_id = :project AND run.deleted_us IS NULL ORDER BY s.run_pk DESC",
        project=project,
    )


def list_trials(tx: Reader, *, study_pks: Sequence[int]) -> list[TrialRow]:
    """Return the trials of studies whose runs are not deleted, by study and number."""
    fragment, given = in_list("study", list(study_pks))
    return tx.rows(
        TrialRow,
        "SELECT t.run_pk, t.study_pk, t.number, t.state FROM study_trial t "
        "JOIN run ON run.pk = t.run_pk "
        f"WHERE t.study_pk IN {fragment} AND run.deleted_us IS NULL "
        "ORDER BY t.study_pk, t.number",
        **given,
    )


def find_trial(tx: Reader, *, study_pk: int, number: int) -> TrialRow | None:
    """Return a trial by its number."""
    return tx.first(
        TrialRow,
        "SELECT run_pk, study_pk, number, state FROM study_trial "
        "WHERE study_pk = :study AND number = :number",
        study=study_pk,
        number=number,
    )


def next_number(tx: Reader, *, study_pk: int) -> int:
    """Return the number of the next trial; whoever gives it holds the study's lock."""
    highest = tx.value(
        int,
        "SELECT coalesce(max(number), -1) FROM study_trial WHERE study_pk = :study",
        study=study_pk,
    )
    return 0 if highest is None else highest + 1


def insert_trial(tx: Writer, *, run_pk: int, study_pk: int, number: int) -> bool:
    """Make a run a trial; False when it is one already."""
    inserted = tx.run(
        """
        INSERT INTO study_trial (run_pk, study_pk, number, state)
        VALUES (:run, :study, :number, 'running') ON CONFLICT (run_pk) DO NOTHING
        """,
        run=run_pk,
        study=study_pk,
        number=number,
    )
    return inserted == 1


def end_trial(tx: Writer, *, run_pk: int, state: str) -> bool:
    """Say how a trial ended; False when that was said before."""
    changed = tx.run(
        "UPDATE study_trial SET state = :state WHERE run_pk = :run AND state = 'running'",
        run=run_pk,
        state=state,
    )
    return changed == 1


def delete_of_runs(tx: Writer, *, run_pks: Sequence[int]) -> None:
    """Remove the trials and studies that these runs are, with all trials of such studies."""
    fragment, given = in_list("run", list(run_pks))
    tx.run(f"DELETE FROM study_trial WHERE run_pk IN {fragment}", **given)
    tx.run(f"DELETE FROM study_trial WHERE study_pk IN {fragment}", **given)
    tx.run(f"DELETE FROM study WHERE run_pk IN {fragment}", **given)
