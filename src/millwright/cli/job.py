"""`mill job`: durable work."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from millwright.cli import text
from millwright.cli.session import session
from millwright.cli.verbs import DryRun, Limit, Reason, noun
from millwright.core.errors import Invalid
from millwright.core.ids import JobId
from millwright.core.refs import did_you_mean
from millwright.records.jobs import Job, JobState

app = noun("Durable work.")

Id = Annotated[str, typer.Argument(metavar="ID")]
_STATES = ", ".join(JobState)


@app.command("list")
def list_all(
    state: Annotated[str | None, typer.Option("--state", metavar="STATE", help=_STATES)] = None,
    limit: Limit = 50,
) -> None:
    """List jobs, newest first."""
    here = session()
    known = [one.value for one in JobState]
    if state is not None and state not in known:
        raise Invalid(
            f"there is no state {state!r}",
            why=f"there are: {_STATES}",
            fix=did_you_mean(state, known),
        )
    with here.door() as door:
        found = door.jobs.list_all(state=state, limit=limit)
    here.answer(
        found,
        lambda: text.table(
            ["kind", "state", "attempt", "created", "took", "error", "id"],
            [
                (
                    one.kind,
                    one.state,
                    f"{one.attempt} of {one.max_attempts}",
                    text.when(one.created_us),
                    _took(one),
                    None if one.error is None else one.error.what,
                    one.id,
                )
                for one in found
            ],
        ),
        empty="There are no such jobs. Rules start them: mill rule list",
    )


@app.command()
def show(job: Id) -> None:
    """Show one job, and what came of it."""
    here = session()
    with here.door() as door:
        found = door.jobs.show(id=JobId(job))
    here.answer(found, lambda: job_lines(found))


@app.command()
def cancel(job: Id, reason: Reason = "", dry_run: DryRun = False) -> None:
    """End a job that has not finished."""
    here = session()
    with here.door() as door:
        if dry_run:
            found = door.jobs.show(id=JobId(job))
            here.would("jobs.cancel", id=found.id, reason=reason, found=[f"it is {found.state}"])
            return
        here.confirm(f"End the job {job}?")
        ended = door.jobs.cancel(id=JobId(job), reason=reason)
    here.answer(ended, lambda: job_lines(ended))


def job_lines(job: Job) -> list[str]:
    """Return a job as names and values."""
    lines = text.facts(
        {
            "job": job.id,
            "kind": job.kind,
            "state": job.state,
            "attempt": f"{job.attempt} of {job.max_attempts}",
            "arguments": msgspec.json.encode(job.args).decode(),
            "result": None if job.result is None else msgspec.json.encode(job.result).decode(),
            "key": job.key,
            "owner": job.owner,
            "actor": job.actor,
            "cause": job.cause,
            "created": text.when(job.created_us),
            "finished": text.when(job.finished_us),
        }
    )
    if job.error is not None:
        lines += [f"error: {job.error.what}"]
        lines += [f"why: {job.error.why}"] if job.error.why else []
        lines += [f"fix: {job.error.fix}"] if job.error.fix else []
    return lines


def _took(job: Job) -> str:
    return text.duration(None if job.finished_us is None else job.finished_us - job.created_us)
