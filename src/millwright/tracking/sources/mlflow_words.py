"""What MLflow calls things, in our words: states, times, values, and where artifacts lie."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

from millwright.core.digest import digest_bytes
from millwright.core.errors import Corrupt, Failed, Invalid, NotFound
from millwright.records.runs import MetricPoint, RunStatus
from millwright.tracking.sources.found import FoundFile, FoundLoggedModel, FoundRun, Item, Unread
from millwright.tracking.sources.paths import list_files

PARENT = "mlflow.parentRunId"
_LARGEST = 1.7976931348623157e308
_STATES: dict[str, RunStatus] = {
    "FINISHED": "finished",
    "FAILED": "failed",
    "KILLED": "cancelled",
}
LoggedStatus: TypeAlias = Literal["pending", "ready", "failed"]
_LOGGED_STATES: dict[str, LoggedStatus] = {
    "2": "ready",
    "LOGGED_MODEL_READY": "ready",
    "READY": "ready",
    "3": "failed",
    "LOGGED_MODEL_UPLOAD_FAILED": "failed",
    "FAILED": "failed",
}
_MODEL_ID = re.compile(r"m-([0-9a-f]{32})")
_UUID = re.compile(r"[0-9a-f]{32}")


def split_address(address: str) -> SplitResult:
    """Return the parts of an address; raises Invalid for what has none."""
    try:
        parts = urlsplit(address)
        # A port that is no number is met only when it is asked for.
        _ = parts.port
    except ValueError as error:
        raise no_address(address) from error
    return parts


def no_address(address: str) -> Invalid:
    """Return the error of an address that nobody can go to."""
    return Invalid(
        f"{without_login(address)!r} is no address",
        why="its host cannot be one, its port is no number, or a bracket lacks the other",
        fix="give one such as http://127.0.0.1:5000; in a password write % and two digits for "
        "signs such as / and @",
    )


def without_login(address: str) -> str:
    """Return an address as it may be shown: without the name and password in it."""
    return re.sub(r"//.*@", "//", address)


def to_us(milliseconds: float | None) -> int:
    """Return a time of MLflow's in microseconds; never 0, which would read as "now"."""
    return max(1, int(milliseconds or 0) * 1000)


def to_status(text: str) -> RunStatus:
    """Return the state of a run; one that is scheduled counts as running."""
    return _STATES.get(text, "running")


def to_logged_status(text: str | int) -> LoggedStatus:
    """Return the state of a logged model."""
    return _LOGGED_STATES.get(str(text), "pending")


def to_point(
    key: str, value: float, *, step: int, time_ms: int, is_nan: bool = False
) -> MetricPoint:
    """Return a point."""
    kept = to_value(value, is_nan=is_nan)
    return MetricPoint(key=key, value=kept, step=step, time_us=to_us(time_ms))


def to_value(value: float, *, is_nan: bool = False) -> float | None:
    """Return a value; None stands for not-a-number.

    MLflow's stores put the largest number a double holds in the place of an infinite one.
    """
    if is_nan or math.isnan(value):
        return None
    return math.copysign(math.inf, value) if abs(value) >= _LARGEST else value


def to_run(
    uuid: str,
    *,
    name: str,
    experiment: str,
    start_ms: int | None,
    tags: Mapping[str, str],
    seen: Iterable[object],
) -> FoundRun:
    """Return a run; `seen` is whatever changes when the store holds more of it."""
    mark = "\n".join(str(one) for one in seen)
    return FoundRun(
        id=uuid,
        name=name or tags.get("mlflow.runName") or uuid,
        experiment=experiment,
        start_us=to_us(start_ms),
        parent=tags.get(PARENT) or None,
        mark=digest_bytes(mark.encode("utf-8", "surrogatepass")),
        uuid=uuid if _UUID.fullmatch(uuid) else None,
        command=tuple(part for part in (tags.get("mlflow.source.name"),) if part),
        git_commit=tags.get("mlflow.source.git.commit") or None,
        user=tags.get("mlflow.user", ""),
    )


def marked(run: FoundRun, besides: Iterable[Item]) -> FoundRun:
    """Return the run with a mark that also changes with its files, its data and its models."""
    try:
        seen = _seen(besides)
    except (Corrupt, Failed, Invalid, NotFound, OSError, TypeError, ValueError, OverflowError):
        # What is wrong with this run is said when it is taken, and ends no other.
        seen = ["unread"]
    mark = "\n".join([run.mark, *seen])
    return replace(run, mark=digest_bytes(mark.encode("utf-8", "surrogatepass")))


def _seen(items: Iterable[Item]) -> list[str]:
    return sorted(map(_seen_of_one, items))


def _seen_of_one(item: Item) -> str:
    match item:
        case FoundFile():
            return f"{item.path} {item.size_bytes} {item.changed_ns}"
        case FoundLoggedModel():
            said = [getattr(item, one.name) for one in fields(item) if one.name != "files"]
            return f"{said} {_seen(item.files())}"
        case _:
            return repr(item)


def parents_first(runs: Iterable[FoundRun]) -> Iterator[FoundRun]:
    """Iterate over runs with each parent before its children, otherwise as they come.

    Parents that go round in a circle, or are not among the runs, hold up nobody.
    """
    waiting = {run.id: run for run in runs}
    given: set[str] = set()
    for run in list(waiting.values()):
        line: list[FoundRun] = []
        above: FoundRun | None = run
        while above is not None and above.id not in given:
            given.add(above.id)
            line.append(above)
            above = waiting.get(above.parent) if above.parent is not None else None
        yield from reversed(line)


def logged_model_uuid(uri: str) -> str | None:
    """Return the digits of the logged model that `models:/m-...` means."""
    found = _MODEL_ID.search(uri)
    return found[1] if found else None


@dataclass(frozen=True, slots=True)
class ArtifactFolders:
    """Where artifacts lie on this machine.

    A store may name any place of the machine it was made on. What is taken lies below a folder
    that the user named, or below that of the store itself; nothing else is read.
    """

    roots: tuple[Path, ...]
    """The folders that artifacts are taken from, resolved."""
    proxied: tuple[Path, ...]
    """What `mlflow-artifacts:/` may stand for; each lies below one of the roots."""

    def files(self, uri: str, *, needed: bool) -> Iterator[FoundFile | Unread]:
        """Iterate over the files at an artifact URI; an empty place is named when `needed`."""
        try:
            folder = self._find(uri)
        except Invalid as error:
            yield Unread(where=uri, why=f"{error.what}; {error.fix}")
            return
        if folder is not None and folder.is_dir():
            root = next(root for root in self.roots if folder.is_relative_to(root))
            yield from list_files(folder, within=root)
        elif needed:
            yield Unread(where=uri, why="there is no such folder of artifacts")

    def _find(self, uri: str) -> Path | None:
        """Return the folder, which need not be there; raises Invalid when it is not for us."""
        parts = urlsplit(uri)
        if parts.scheme == "mlflow-artifacts":
            inner = unquote(parts.path).lstrip("/")
            if not self.proxied:
                raise Invalid(
                    "the artifacts lie where the server that wrote them kept them",
                    fix="name that folder: --artifacts DIR",
                )
            return self._first([root / inner for root in self.proxied])
        if parts.scheme in {"", "file"}:
            path = Path(unquote(parts.path) if parts.scheme else uri)
            if not path.is_absolute():
                return self._first([root / path for root in self.roots])
            return self._first([path]) if path.exists() else self._moved(path)
        raise Invalid(
            f"{parts.scheme}:// is not read directly",
            fix="import from the running server (--from http://…), or copy the artifacts and "
            "name their folder: --artifacts DIR",
        )

    def _first(self, paths: list[Path]) -> Path | None:
        """Return the first of the paths that is there; raises Invalid when all lie outside."""
        inside = [
            path
            for path in (path.resolve() for path in paths)
            if any(path.is_relative_to(root) for root in self.roots)
        ]
        if not inside:
            raise Invalid(
                f"the artifacts lie outside of {self.roots[-1]}, and nothing outside is read",
                fix="name their folder: --artifacts DIR",
            )
        return next((path for path in inside if path.is_dir()), None)

    def _moved(self, path: Path) -> Path | None:
        """Return the folder of a store that was moved: the longest end of the path found here."""
        for at in range(1, len(path.parts) - 1):
            for root in self.roots:
                candidate = root.joinpath(*path.parts[at:]).resolve()
                if candidate.is_dir() and candidate.is_relative_to(root):
                    return candidate
        return None
