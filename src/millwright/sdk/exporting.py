"""Runs as event files, so that `tensorboard --logdir` shows them.

Each run gets a folder with one file: its metrics as scalars, its parameters for the hparams
page and as a text, its tags as a text, and images among its artifacts. The file is written
aside and put in place whole; exporting a run again replaces it.
"""

from __future__ import annotations

import math
import struct
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from msgspec import Struct

from millwright.core.clock import US_PER_S
from millwright.core.errors import Failed, Invalid
from millwright.core.ids import RunId
from millwright.doors.door import Door
from millwright.records.runs import ArtifactEntry, MetricPoint, Run
from millwright.tracking.sources import events
from millwright.tracking.sources.eventfile import frame
from millwright.tracking.sources.paths import as_path

MAX_IMAGE_BYTES = 32 << 20
_PNG = b"\x89PNG\r\n\x1a\n"
_IHDR = struct.Struct(">4sII")


class ExportReport(Struct, frozen=True, kw_only=True):
    """What was written where."""

    runs: int
    points: int
    texts: int
    images: int
    files: list[str]


def export_tensorboard(door: Door, refs: Sequence[str], logdir: Path) -> ExportReport:
    """Write runs below a logdir, and return how much was written.

    A run's folder is called as the run; of several of one name the later ones have their id
    behind it. Raises NotFound for an unknown run and Failed when a file cannot be written.
    """
    taken: dict[str, RunId] = {}
    total = {"points": 0, "texts": 0, "images": 0}
    files: list[str] = []
    for ref in refs:
        run = door.runs.show(ref=ref)
        name = as_path(run.name)
        if taken.setdefault(name, run.id) != run.id:
            name = f"{name}-{run.id.partition('_')[2][-8:]}"
        folder = logdir.joinpath(*name.split("/"))
        path = folder / f"events.out.tfevents.{run.start_us // US_PER_S:010d}.{run.id}"
        try:
            counts = _write(door, run, path)
        except OSError as error:
            raise Failed(f"cannot write {path}", why=str(error)) from error
        total = {key: total[key] + counts[key] for key in total}
        files.append(str(path))
    return ExportReport(runs=len(files), files=files, **total)


def runs_of_experiment(door: Door, experiment: str) -> Iterator[str]:
    """Iterate over the ids of an experiment's runs."""
    token: str | None = None
    while True:
        found = door.runs.search(experiments=[experiment], fields=[], limit=1000, token=token)
        yield from (run.id for run in found.runs)
        token = found.next_token
        if token is None:
            return


def check_logdir(logdir: Path) -> Path:
    """Return a folder that can be written below; raises Invalid for a file of that name."""
    if logdir.exists() and not logdir.is_dir():
        raise Invalid(f"{logdir} is a file, and runs are written below a folder")
    return logdir


def _write(door: Door, run: Run, path: Path) -> dict[str, int]:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    counts = {"points": 0, "texts": 0, "images": 0}
    start_s = run.start_us / US_PER_S
    try:
        with aside.open("wb") as stream:
            stream.write(frame(events.event(start_s)))
            if run.params:
                _put(stream, start_s, events.hparams(run.params, start_s=start_s))
            for tag, texts in (("params", run.params), ("tags", run.tags)):
                if texts:
                    _put(stream, start_s, events.text(tag, _table(texts)))
                    counts["texts"] += 1
            for key in run.metrics:
                for point in _history(door, run.id, key):
                    value = math.nan if point.value is None else float(point.value)
                    summary = events.scalar(key, value)
                    _put(stream, point.time_us / US_PER_S, summary, step=point.step)
                    counts["points"] += 1
            for tag, step, png, (width, height) in _images(door, run.id):
                summary = events.image(tag, png, width=width, height=height)
                _put(stream, start_s, summary, step=step)
                counts["images"] += 1
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return counts


def _put(stream: BinaryIO, wall_time_s: float, summary: bytes, *, step: int = 0) -> None:
    stream.write(frame(events.event(wall_time_s, step=step, summary=summary)))


def _history(door: Door, run: RunId, key: str) -> list[MetricPoint]:
    points: list[MetricPoint] = []
    token: str | None = None
    while True:
        page = door.runs.history_page(ref=run, key=key, token=token)
        points += page.points
        token = page.next_token
        if token is None:
            # TensorBoard takes a step that goes back for a run begun anew, and forgets what was.
            return sorted(points, key=lambda point: (point.step, point.time_us))


def _images(door: Door, run: RunId) -> Iterator[tuple[str, int, bytes, tuple[int, int]]]:
    """Iterate over (tag, step, bytes, size) of the images, by tag and step."""
    found: list[tuple[str, int, ArtifactEntry]] = []
    waiting = [""]
    while waiting:
        for entry in door.runs.artifacts(ref=run, folder=waiting.pop()):
            if entry.digest is None:
                waiting.append(entry.path)
            elif entry.path.lower().endswith(".png") and (entry.size_bytes or 0) <= MAX_IMAGE_BYTES:
                found.append((*_tag(entry.path), entry))
    with tempfile.TemporaryDirectory(prefix="mill-export-") as aside:
        for tag, step, entry in sorted(found, key=lambda one: one[:2]):
            assert entry.digest is not None, "folders were left out"
            path = Path(aside, "image")
            door.artifacts.fetch(entry.digest, path)
            png = path.read_bytes()
            path.unlink()
            if (size := _size(png)) is not None:
                yield tag, step, png, size


def _tag(path: str) -> tuple[str, int]:
    """Return tag and step of an image; one that was imported has them in its path."""
    parts = PurePosixPath(path)
    if parts.parts[0] == "images" and len(parts.parts) > 2 and parts.stem.isdigit():
        return "/".join(parts.parts[1:-1]), int(parts.stem)
    return path[: -len(parts.suffix)], 0


def _size(png: bytes) -> tuple[int, int] | None:
    if not png.startswith(_PNG) or len(png) < len(_PNG) + 4 + _IHDR.size:
        return None
    kind, width, height = _IHDR.unpack_from(png, len(_PNG) + 4)
    return (width, height) if kind == b"IHDR" else None


def _table(texts: Mapping[str, str]) -> str:
    """Return names and values as a table of Markdown, which TensorBoard shows as one."""
    rows = [f"| {_cell(key)} | {_cell(value)} |" for key, value in sorted(texts.items())]
    return "\n".join(["| name | value |", "| --- | --- |", *rows])


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
