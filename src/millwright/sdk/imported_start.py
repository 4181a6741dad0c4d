"""A foreign run met in the home: under which id it is kept, and whether it is there already.

The id is made from the foreign one, so that a second import meets the same run; what the run was
before it was imported stands in its tags.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from millwright.core.digest import digest_bytes
from millwright.core.errors import Conflict, NotFound
from millwright.core.ids import RunId, encode, from_hex
from millwright.doors.door import Door
from millwright.records.runs import Run, RunSource
from millwright.sdk.checks import MAX_VALUE_CHARS
from millwright.tracking.environment import masked
from millwright.tracking.sources.found import FoundRun, Source

SOURCE, ID, PLACE, MARK, OPEN = (
    "import.source",
    "import.id",
    "import.place",
    "import.complete",
    "import.open",
)
"""The tags by which an imported run is known."""

NAME = "import.name"
"""The tag of what could not keep its name, with the name."""

MAX_TITLE_CHARS = 500


@dataclass(frozen=True, slots=True)
class Met:
    """A foreign run as the home knows it."""

    run: Run
    is_complete: bool
    """Whether it was taken in before, and the store has nothing more of it."""


def begin(door: Door, source: Source, found: FoundRun, parent: RunId | None) -> Met:
    """Begin a run, or meet it again; one that is not complete is open then.

    Raises Conflict when the id belongs to a run that was not imported, or was deleted here.
    """
    run = _start(door, source, found, parent)
    if (run.tags.get(SOURCE), run.tags.get(ID)) != (source.kind, found.id[:MAX_VALUE_CHARS]):
        raise Conflict(
            f"run {run.id} is here already, and was not imported from there",
            why=f"it should be {source.kind} run {found.id}",
        )
    if run.deleted_us is not None:
        raise Conflict(
            f"run {run.id} was imported and then deleted",
            fix=f"to have it back: mill runs restore {run.id}",
        )
    is_open = run.status == "running"
    if run.tags.get(MARK) == found.mark and (not is_open or run.tags.get(OPEN) == "yes"):
        return Met(run, is_complete=True)
    return Met(run if is_open else door.runs.resume(run=run.id), is_complete=False)


def run_id(source: Source, found: FoundRun, salt: str = "") -> RunId:
    """Return the id under which a foreign run is kept.

    A run that MLflow knows by 32 hexadecimal digits keeps them, and with them every link to it.
    Any other gets digits from its name, behind the time it began, as a new run would.
    """
    if found.uuid is not None and not salt:
        return RunId(from_hex(found.uuid, "run"))
    name = f"{source.kind}\x00{source.scope}\x00{found.id}\x00{salt}"
    digits = digest_bytes(name.encode("utf-8", "surrogatepass"))[3:35]
    moment = found.start_us // 1000 & (1 << 48) - 1
    number = UUID(hex=f"{moment:012x}{digits[:20]}", version=4).int
    # The version says that the time stands in front.
    return RunId(f"run_{encode(number & ~(0xF << 76) | 7 << 76)}")


def title(text: str, otherwise: str) -> str:
    """Return what can name a run or an experiment, as near to `text` as may be."""
    printable = "".join(char if char.isprintable() else " " for char in text).strip()
    return printable[:MAX_TITLE_CHARS] or otherwise


def experiment_name(text: str) -> str:
    """Return what can name an experiment; one that had to be changed never is another's name."""
    name = title(text, "imported")
    if name == text or not text:
        return name
    end = f"-{name_digits(text)}"
    return f"{name[: MAX_TITLE_CHARS - len(end)]}{end}"


def name_digits(text: str) -> str:
    """Return digits by which a changed name is told from another that would become the same."""
    return digest_bytes(text.encode("utf-8", "surrogatepass"))[3:11]


def _start(door: Door, source: Source, found: FoundRun, parent: RunId | None) -> Run:
    first = run_id(source, found)
    try:
        return door.runs.show(ref=first)
    except NotFound:
        pass
    try:
        return _start_as(first, door, source, found, parent)
    except Conflict as taken:
        # The store was imported into another project of this home, which has the id.
        second = run_id(source, found, door.jobs.status().project)
        try:
            return door.runs.show(ref=second)
        except NotFound:
            pass
        try:
            return _start_as(second, door, source, found, parent)
        except Conflict:
            raise taken from None


def _start_as(run: RunId, door: Door, source: Source, found: FoundRun, parent: RunId | None) -> Run:
    return door.runs.start(
        name=title(found.name, "imported"),
        source=RunSource(
            command=masked(found.command),
            python=found.python,
            platform=found.platform,
            git_commit=found.git_commit,
        ),
        experiment=experiment_name(found.experiment),
        parent=parent,
        reason=f"imported from {source.place}",
        id=run,
        start_us=found.start_us,
        user=found.user,
        tags={SOURCE: source.kind, ID: found.id[:MAX_VALUE_CHARS], PLACE: source.place},
    )
