"""Sending what earlier runs could not: the spools that lie under a project's home.

Each is sent in the order in which it was written, once in effect: it may be killed at any
moment and begun again. A spool that a living process uses is left to that process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from millwright.core.errors import MillwrightError, NotFound
from millwright.core.ids import RunId
from millwright.records.runs import Run
from millwright.sdk.connection import open_door
from millwright.sdk.items import FIRST, Finished, Item, Refusal, deliver, deliver_parts, is_away
from millwright.sdk.route import spool_folder
from millwright.sdk.spool import SUFFIX, Spool

if TYPE_CHECKING:
    from millwright.doors.door import Door
    from millwright.workspace.config import Config


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What became of the spools."""

    delivered: list[RunId] = field(default_factory=list[RunId])
    waiting: dict[str, str] = field(default_factory=dict[str, str])
    """Run, or file -> why it still waits."""
    refusals: list[Refusal] = field(default_factory=list[Refusal])
    """What the door will never take; it is gone from the spool."""
    torn: dict[RunId, int] = field(default_factory=dict[RunId, int])
    """Run -> bytes behind the last whole record, as a killed process leaves them: left out."""


def sync_spool(config: Config, *, run: RunId | None = None) -> SyncReport:
    """Send what waits under the home that `config` names, of one run or of all.

    Only what is meant for the server of `config`: its token is for nobody else. Runs go in the
    order in which they began, so that a run follows the one it is part of. Raises nothing for a
    server that is away; the report says what waits and why.
    """
    report = SyncReport()
    for name, paths in groupby(spools_in(spool_folder(config)), key=_run_of):
        if run is None or name == run:
            _sync_run(config, list(paths), report)
    return report


def spools_in(folder: Path) -> list[Path]:
    """Return the spools in a folder, by run, that of the process which began it first."""
    return sorted(folder.glob(f"*{SUFFIX}"), key=lambda path: (_run_of(path), len(path.name)))


def _sync_run(config: Config, paths: list[Path], report: SyncReport) -> None:
    name = _run_of(paths[0])
    with ExitStack() as held:
        spools: list[Spool] = []
        for path in paths:
            try:
                spool = Spool.adopt(path)
            except (MillwrightError, OSError) as error:
                report.waiting[path.name] = str(error)
                return
            if spool is None and not path.exists():
                # Whoever sends at the same time has just delivered it.
                continue
            if spool is None:
                report.waiting[name] = "a process that is running uses it"
                return
            held.callback(spool.close)
            spools.append(spool)
            if spool.torn_bytes:
                run = spool.header.run
                report.torn[run] = report.torn.get(run, 0) + spool.torn_bytes
            if spool.header.url != config.url:
                report.waiting[name] = f"it is for {spool.header.url or 'a home without server'}"
                return
        if not spools:
            return
        try:
            _send(config, spools, report)
        except MillwrightError as error:
            report.waiting[name] = error.what
            return
        for spool in spools:
            spool.clean()
        report.delivered.append(spools[0].header.run)


def _send(config: Config, spools: list[Spool], report: SyncReport) -> None:
    header = spools[0].header
    door = open_door(replace(config, project=header.project), create=True)
    try:
        _reopen(door, header.run, spools)
        for spool in spools:
            for item in _items(spool):
                if isinstance(item, Finished) and spool.waiting == 1:
                    # It ends the run, to which another process' spool may still have to tell.
                    break
                report.refusals.extend(_deliver(door, spool, item))
        for spool in spools:
            for item in _items(spool):
                report.refusals.extend(_deliver(door, spool, item))
    finally:
        door.close()


def _reopen(door: Door, run: RunId, spools: list[Spool]) -> None:
    """Open a closed run again for what still belongs to it, and note how it is to be closed."""
    found = _find(door, run)
    if found is None or found.status == "running" or found.end_us is None:
        return
    if all(spool.waiting <= 1 and isinstance(spool.head(), Finished | None) for spool in spools):
        return
    if not any(isinstance(spool.last(), Finished) for spool in spools):
        # Written down first: if this process is killed, the next one closes the run.
        spools[0].append(
            Finished(
                status=found.status,
                error=found.error,
                log_digest=found.log_digest,
                end_us=found.end_us,
            )
        )
    door.runs.resume(run=run)


def _find(door: Door, run: RunId) -> Run | None:
    try:
        return door.runs.show(ref=run)
    except NotFound:
        return None


def _items(spool: Spool) -> Iterator[Item]:
    """Iterate over the first item that waits, as long as it is taken away."""
    while (item := spool.head()) is not None:
        yield item


def _deliver(door: Door, spool: Spool, item: Item) -> list[Refusal]:
    refused: list[Refusal] = []
    run = spool.header.run
    try:
        deliver(door, run, item, folder=spool.objects)
    except MillwrightError as error:
        if is_away(error) or isinstance(item, FIRST):
            raise
        refused = deliver_parts(door, run, item, folder=spool.objects)
    spool.advance(item)
    return refused


def _run_of(path: Path) -> str:
    return path.name.partition(".")[0]
