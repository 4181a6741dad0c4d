"""Verbs of `mill runs` that put runs away, take them back, and remove them for good."""

from __future__ import annotations

from millwright.cli import text
from millwright.cli.run_search import Refs, named
from millwright.cli.session import session
from millwright.cli.verbs import DryRun, Reason
from millwright.doors.door import Door
from millwright.records.runs import Run


def delete(refs: Refs, reason: Reason = "", dry_run: DryRun = False) -> None:
    """Put runs away; they can be restored until they are purged."""
    here = session()
    with here.door() as door:
        runs = _shown(door, refs)
        if dry_run:
            here.would("runs.delete", found=[_said(one) for one in runs], reason=reason)
            return
        here.confirm(f"Delete {text.counted(len(runs), 'run')}?")
        for one in runs:
            door.runs.delete(run=one.id, reason=reason)
        runs = _shown(door, [one.id for one in runs])
    here.answer(runs, lambda: [f"deleted {_said(one)}" for one in runs])
    here.say(f"Take them back: mill runs restore {' '.join(one.id for one in runs)}")


def restore(refs: Refs, reason: Reason = "", dry_run: DryRun = False) -> None:
    """Take deleted runs back."""
    here = session()
    with here.door() as door:
        runs = _shown(door, refs)
        if dry_run:
            here.would("runs.restore", found=[_said(one) for one in runs], reason=reason)
            return
        for one in runs:
            door.runs.restore(run=one.id, reason=reason)
        runs = _shown(door, [one.id for one in runs])
    here.answer(runs, lambda: [f"restored {_said(one)}" for one in runs])


def _shown(door: Door, refs: list[str]) -> list[Run]:
    return [door.runs.show(ref=named(door, ref)) for ref in dict.fromkeys(refs)]


def _said(run: Run) -> str:
    return f"{run.id} {run.name}"


VERBS = (delete, restore)
