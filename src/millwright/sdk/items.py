"""What a run has to tell, as records: handed to the door, or kept in the spool until it answers.

Each may be delivered twice and changes nothing the second time: the door knows a run by its id,
a point by its key, step, time and value, a parameter by its value, and of tags the last wins.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, assert_never

from msgspec import Struct

from millwright.core.digest import Digest
from millwright.core.errors import (
    Conflict,
    Corrupt,
    Denied,
    Failed,
    MillwrightError,
    NotFound,
    TimedOut,
    Unreachable,
)
from millwright.core.ids import RunId
from millwright.records.data import DatasetVersion
from millwright.records.models import ModelVersion
from millwright.records.runs import (
    ArtifactFile,
    LoggedDataset,
    MetricPoint,
    Problem,
    Run,
    RunLink,
    RunSource,
    RunStatus,
)

if TYPE_CHECKING:
    from millwright.doors.door import Door


class Begun(Struct, frozen=True, kw_only=True, tag="begun"):
    """The run began; its id was given by the script."""

    name: str
    experiment: str
    source: RunSource
    parent: RunId | None = None
    start_us: int


class Resumed(Struct, frozen=True, kw_only=True, tag="resumed"):
    """A run that was there goes on."""


class Batch(Struct, frozen=True, kw_only=True, tag="batch"):
    """Points, parameters and tags, in one write."""

    points: list[MetricPoint] = []
    params: dict[str, str] = {}
    tags: dict[str, str] = {}


class Stored(Struct, frozen=True, kw_only=True, tag="stored"):
    """Objects for the artifact store: names of files beside the spool, a tree behind its files."""

    objects: list[str]


class Linked(Struct, frozen=True, kw_only=True, tag="linked"):
    """What the run read and made."""

    links: list[RunLink]


class Filed(Struct, frozen=True, kw_only=True, tag="filed"):
    """Stored bytes get their paths among the artifacts of the run."""

    files: list[ArtifactFile]


class DatasetRead(Struct, frozen=True, kw_only=True, tag="read"):
    """The run read a version of a dataset that is there."""

    ref: str


class DatasetAdded(Struct, frozen=True, kw_only=True, tag="dataset"):
    """Stored bytes become a version of a dataset, which the run read."""

    name: str
    digest: Digest
    format: str
    source: str


class Described(Struct, frozen=True, kw_only=True, tag="described"):
    """Data that the run read and that is kept elsewhere, as its owner describes it."""

    datasets: list[LoggedDataset]


class ModelRegistered(Struct, frozen=True, kw_only=True, tag="model"):
    """A stored package becomes a version of a model, which the run made."""

    model: str
    package_digest: Digest
    link: str


class Finished(Struct, frozen=True, kw_only=True, tag="finished"):
    """The run ended."""

    status: RunStatus
    error: Problem | None
    log_digest: Digest | None
    end_us: int
    goes_on: bool = False
    """Whether the run had ended before: then its log goes behind the one that is there."""


Item: TypeAlias = (
    Begun
    | Resumed
    | Batch
    | Stored
    | Linked
    | Filed
    | DatasetRead
    | DatasetAdded
    | Described
    | ModelRegistered
    | Finished
)

MAX_BATCH_CHARS = 1 << 19
"""Of texts; a server takes 8 MiB, and a character is four bytes, or six as JSON escapes it."""
FIRST = (Begun, Resumed)
"""Without these all that follows is refused too: when one is, everything waits for a person."""

AWAY = (Unreachable, TimedOut, Denied, Failed)
"""What may be otherwise tomorrow: the server is away or broken, or the token has run out."""


def deliver(door: Door, run: RunId, item: Item, *, folder: Path) -> None:
    """Tell the door one item of a run; `folder` holds the objects beside its spool.

    Raises what the door raises: one of AWAY, or the reason why it never takes the item.
    """
    match item:
        case Begun():
            _begin(door, run, item)
        case Resumed():
            door.runs.resume(run=run)
        case Batch():
            door.runs.log_batch(run=run, points=item.points, params=item.params, tags=item.tags)
        case Stored():
            for name in item.objects:
                door.artifacts.put_file(folder / name)
        case Linked():
            door.runs.log_links(run=run, links=item.links)
        case Filed():
            door.runs.log_artifacts(run=run, files=item.files)
        case DatasetRead():
            _link_dataset(door, run, door.data.show(ref=item.ref))
        case DatasetAdded():
            add_dataset(door, run, item)
        case Described():
            door.runs.log_datasets(run=run, datasets=item.datasets)
        case ModelRegistered():
            register_model(door, run, item)
        case Finished():
            _finish(door, run, item)
        case _:
            assert_never(item)


def add_dataset(door: Door, run: RunId, item: DatasetAdded) -> DatasetVersion:
    """Make stored bytes a version of a dataset that the run read, and return it."""
    version = door.data.add(
        name=item.name, digest=item.digest, format=item.format, source=item.source
    )
    _link_dataset(door, run, version)
    return version


def register_model(door: Door, run: RunId, item: ModelRegistered) -> ModelVersion:
    """Make a stored package a version of a model, made when new, and return it."""
    # A model that is there may have another risk than a new one would, and keeps it.
    with suppress(Conflict):
        door.models.create(name=item.model)
    made = door.models.register(name=item.model, package_digest=item.package_digest, run=run)
    link = RunLink(
        way="output", name=item.link, what="model_version", id=made.id, digest=made.package_digest
    )
    door.runs.log_links(run=run, links=[link])
    return made


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that the door will never take, and why."""

    item: Item
    error: MillwrightError

    def __str__(self) -> str:
        return f"{name_of(self.item)}: {self.error.what}"


def name_of(item: Item) -> str:
    """Return what an item is called where it is told of: the keys in it, or its kind."""
    if not isinstance(item, Batch):
        return type(item).__name__
    names = [*dict.fromkeys(point.key for point in item.points), *item.params, *item.tags]
    return ", ".join(names[:3]) + (" and others" if len(names) > 3 else "")


def deliver_parts(door: Door, run: RunId, item: Item, *, folder: Path) -> list[Refusal]:
    """Tell the door what it takes of an item that it refused as a whole; return the rest.

    Raises one of AWAY when the door is away.
    """
    refused: list[Refusal] = []
    for part in parts_of(item):
        try:
            deliver(door, run, part, folder=folder)
        except MillwrightError as error:
            if is_away(error):
                raise
            refused.append(Refusal(part, error))
    return refused


def parts_of(item: Item) -> Iterator[Item]:
    """Iterate over what can be refused one by one, for a door that refused it all at once."""
    if isinstance(item, Batch):
        if item.points:
            yield Batch(points=item.points)
        yield from (Batch(params={key: value}) for key, value in item.params.items())
        yield from bounded(Batch(tags=item.tags))
    elif isinstance(item, Stored):
        yield from (Stored(objects=[name]) for name in item.objects)
    else:
        yield item


def bounded(batch: Batch) -> Iterator[Batch]:
    """Iterate over parts of a batch, none much larger than a server takes at once."""
    if chars_in(batch.params) + chars_in(batch.tags) <= MAX_BATCH_CHARS:
        if batch != Batch():
            yield batch
        return
    if batch.points:
        yield Batch(points=batch.points)
    yield from (Batch(params=part) for part in _pieces(batch.params))
    yield from (Batch(tags=part) for part in _pieces(batch.tags))


def chars_in(texts: dict[str, str]) -> int:
    """Return how many characters the keys and texts have."""
    return sum(len(key) + len(text) for key, text in texts.items())


def _pieces(texts: dict[str, str]) -> Iterator[dict[str, str]]:
    piece: dict[str, str] = {}
    chars = 0
    for key, text in texts.items():
        piece[key] = text
        chars += len(key) + len(text)
        if chars >= MAX_BATCH_CHARS:
            yield piece
            piece, chars = {}, 0
    if piece:
        yield piece


def is_away(error: MillwrightError) -> bool:
    """Tell whether trying again later may help."""
    return isinstance(error, AWAY)


def _link_dataset(door: Door, run: RunId, version: DatasetVersion) -> None:
    link = RunLink(
        way="input",
        name=version.name,
        what="dataset_version",
        id=version.id,
        digest=version.digest,
    )
    door.runs.log_links(run=run, links=[link])


def _begin(door: Door, run: RunId, item: Begun) -> Run:
    try:
        return door.runs.start(
            id=run,
            name=item.name,
            source=item.source,
            experiment=item.experiment,
            parent=item.parent,
            start_us=item.start_us,
        )
    except NotFound as error:
        # The run it is part of waits in a spool of its own, and may come at any moment.
        raise Unreachable(f"run {run} waits for its parent", why=error.what) from error


def _finish(door: Door, run: RunId, item: Finished) -> None:
    log = item.log_digest
    if item.goes_on:
        found = door.runs.show(ref=run)
        if found.status == "running" and found.log_digest not in {None, log}:
            log = _joined_log(door, found.log_digest, log)
    try:
        door.runs.finish(
            run=run,
            status=item.status,
            error=item.error,
            log_digest=log,
            end_us=item.end_us,
        )
    except Conflict:
        # The answer to an earlier try was lost: it is closed as it should be.
        if door.runs.show(ref=run).status != item.status:
            raise


def _joined_log(door: Door, earlier: Digest | None, later: Digest | None) -> Digest | None:
    """Return the log of a run that went on, stored as one; the later alone if the other is gone."""
    if earlier is None or later is None:
        return later or earlier
    try:
        with tempfile.TemporaryDirectory(prefix="mill-log-") as folder:
            first, second = Path(folder, "first"), Path(folder, "second")
            door.artifacts.fetch(earlier, first)
            door.artifacts.fetch(later, second)
            with first.open("ab") as whole, second.open("rb") as rest:
                shutil.copyfileobj(rest, whole)
            return door.artifacts.put_file(first)
    except (NotFound, Corrupt):
        return later
    except OSError as error:
        raise Failed("there is no room to join the log of a run", why=str(error)) from error
