"""Artifacts made ready on this machine: what a server is not sent at once waits in a folder.

The digests are those that the artifact store gives, so that what refers to them can be written
before they are there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from millwright.artifacts.store import ArtifactStore
from millwright.core.digest import Digest
from millwright.records.runs import RunSource
from millwright.sdk.outbox import Outbox


@dataclass(frozen=True, slots=True)
class Staged:
    """A file, copied aside."""

    digest: Digest
    objects: list[str]
    """Names of files in the folder it was copied to."""


def stage(path: Path, folder: Path) -> Staged:
    """Copy a file into `folder`; raises NotFound and Invalid."""
    outbox = _open_outbox(folder)
    digest = ArtifactStore(outbox).put_file(path).digest
    return Staged(digest, [one.name for one in outbox.paths()])


def stage_source(root: Path, folder: Path) -> tuple[RunSource, list[str]]:
    """Copy what a run under `root` is made from into `folder`; return it and its objects."""
    from millwright.tracking.environment import capture, command_line

    outbox = _open_outbox(folder)
    source = capture(ArtifactStore(outbox), root, command_line())
    return source, [one.name for one in outbox.paths()]


def _open_outbox(folder: Path) -> Outbox:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Outbox(folder)
