"""Verbs of `mill runs` that put runs away, take them back, and remove them for good."""

from __future__ import annotations

from msgspec.structs import replace

from millwright.cli import text
from millwright.cli.run_search import Refs, named
from millwright.cli.session import session
from millwright.cli.verbs import DryRun, OlderThan, Reason
from millwright.doors.door import Door
from millwright.records.purges import Purged
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


def purge(days: OlderThan = None, reason: Reason = "", dry_run: DryRun = False) -> None:
    """Remove for good what was deleted long ago. Runs, experiments and logged models."""
    here = session()
    with here.door() as door:
        counted = door.runs.purge(older_than_days=days, dry_run=True)
        is_empty = removes_nothing(counted)
        if not dry_run and is_empty:
            counted = replace(counted, dry_run=False)
        elif not dry_run:
            found = ", ".join(_counts(counted))
            here.confirm(f"Remove {found} for good? Nobody can take that back.")
            counted = door.runs.purge(older_than_days=days, reason=reason)
    here.answer(counted, lambda: purge_lines(counted))
    if is_empty:
        return
    if dry_run:
        here.say("Nothing was changed. Leave --dry-run out to do it.")
    else:
        here.say("The bytes of artifacts stay in the store: other things may point at them.")


def purge_lines(found: Purged) -> list[str]:
    """Return what a purge removed, or would remove, and what it left and why."""
    done = "would remove" if found.dry_run else "removed"
    first = f"{done} {', '.join(_counts(found))}; deleted before {text.when(found.before_us)}"
    if removes_nothing(found):
        first = f"nothing to remove was deleted before {text.when(found.before_us)}"
    return [
        first,
        *(f"kept {one.what}: {one.why}" for one in found.kept),
    ]


def removes_nothing(found: Purged) -> bool:
    """Tell whether a purge removes nothing."""
    return not _counts(found)


def _counts(found: Purged) -> list[str]:
    counts = {
        "run": found.runs,
        "experiment": found.experiments,
        "logged model": found.logged_models,
        "file name": found.files,
        "model": found.models,
        "version": found.versions,
    }
    return [text.counted(count, noun) for noun, count in counts.items() if count]


def _shown(door: Door, refs: list[str]) -> list[Run]:
    return [door.runs.show(ref=named(door, ref)) for ref in dict.fromkeys(refs)]


def _said(run: Run) -> str:
    return f"{run.id} {run.name}"


VERBS = (delete, restore, purge)
