"""What differs between two versions of a model, or of two models: a pure comparison of records."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from millwright.core.digest import Digest
from millwright.records.models import ModelVersion
from millwright.records.runs import Run
from millwright.records.schema import Column

Value: TypeAlias = "str | float | None"

_REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*(?:\[[^\]]*\])?)\s*(.*)")
_RUNS = re.compile(r"[-_.]+")


class Side(Struct, frozen=True, kw_only=True):
    """One of the two that are compared."""

    version: ModelVersion
    run: Run | None = None
    requirements: str = ""
    """The text of its package's `requirements.txt`."""


class Change(Struct, frozen=True, kw_only=True):
    """One thing that is not the same; None on the side that does not have it."""

    key: str
    left: Value
    right: Value
    difference: float | None = None
    """Right less left, for two numbers."""


class ColumnChange(Struct, frozen=True, kw_only=True):
    """One column that one of them has otherwise, or not."""

    way: Literal["input", "output"]
    name: str
    left: Column | None
    right: Column | None
    breaks: bool
    """Whether rows or readers that fit the left one do not fit the right one."""


class Comparison(Struct, frozen=True, kw_only=True):
    """Everything that differs, left to right; empty lists where nothing does."""

    left: str
    right: str
    same_model: bool
    """Whether both answer alike: one model digest."""
    digests: list[Change]
    columns: list[ColumnChange]
    flavors: list[Change]
    params: list[Change]
    metrics: list[Change]
    requirements: list[Change]
    inputs: list[Change]
    """The data and other things their runs read, by name: digests."""
    source: list[Change]
    """Code, environment, commit and Python of their runs."""

    @property
    def breaks(self) -> bool:
        """Whether the right one cannot take the left one's place."""
        return any(change.breaks for change in self.columns)


def compare(left: Side, right: Side) -> Comparison:
    """Return what differs between two versions; what is the same is left out."""
    return Comparison(
        left=f"{left.version.name}@v{left.version.version}",
        right=f"{right.version.name}@v{right.version.version}",
        same_model=left.version.digest == right.version.digest,
        digests=_changes(_digests(left.version), _digests(right.version)),
        columns=[
            *_columns("input", left.version.signature.inputs, right.version.signature.inputs),
            *_columns("output", left.version.signature.outputs, right.version.signature.outputs),
        ],
        flavors=_changes(
            dict.fromkeys(left.version.flavors, "yes"), dict.fromkeys(right.version.flavors, "yes")
        ),
        params=_changes(_of(left.run, "params"), _of(right.run, "params")),
        metrics=_changes(_of(left.run, "metrics"), _of(right.run, "metrics")),
        requirements=_changes(_pins(left.requirements), _pins(right.requirements)),
        inputs=_changes(_inputs(left.run), _inputs(right.run)),
        source=_changes(_source(left.run), _source(right.run)),
    )


def _changes(left: Mapping[str, Value], right: Mapping[str, Value]) -> list[Change]:
    found: list[Change] = []
    for key in sorted(set(left) | set(right)):
        was, now = left.get(key), right.get(key)
        if was == now and (key in left) == (key in right):
            continue
        difference = now - was if isinstance(was, float) and isinstance(now, float) else None
        found.append(Change(key=key, left=was, right=now, difference=difference))
    return found


def _columns(
    way: Literal["input", "output"], left: list[Column], right: list[Column]
) -> list[ColumnChange]:
    before = {column.name: column for column in left}
    after = {column.name: column for column in right}
    found: list[ColumnChange] = []
    for name in [*before, *(name for name in after if name not in before)]:
        was, now = before.get(name), after.get(name)
        if was != now:
            breaks = _breaks_input(was, now) if way == "input" else _breaks_output(was, now)
            found.append(ColumnChange(way=way, name=name, left=was, right=now, breaks=breaks))
    return found


def _breaks_input(was: Column | None, now: Column | None) -> bool:
    # A column more has to be given, a column less is given in vain: both are refused.
    if was is None or now is None:
        return True
    widened = was.kind == now.kind or (was.kind, now.kind) == ("integer", "float")
    return not widened or (was.nullable and not now.nullable)


def _breaks_output(was: Column | None, now: Column | None) -> bool:
    # One answer more does no harm to who reads the others.
    return was is not None and (now is None or was.kind != now.kind)


def _digests(version: ModelVersion) -> dict[str, Value]:
    found: dict[str, Value] = {"model": version.digest, "package": version.package_digest}
    return found | ({"profile": version.profile_digest} if version.profile_digest else {})


def _of(run: Run | None, what: Literal["params", "metrics"]) -> Mapping[str, Value]:
    if run is None:
        return {}
    return run.params if what == "params" else run.metrics


def _pins(text: str) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for line in text.splitlines():
        matched = _REQUIREMENT.match(line.partition("#")[0].strip())
        if matched:
            found[_RUNS.sub("-", matched[1]).lower()] = matched[2].strip().removeprefix("==")
    return found


def _inputs(run: Run | None) -> dict[str, Value]:
    links = [] if run is None else run.links
    return {f"{link.what} {link.name}": link.digest for link in links if link.way == "input"}


def _source(run: Run | None) -> dict[str, Value]:
    if run is None:
        return {}
    said: dict[str, Digest | str | None] = {
        "code": run.source.code_digest,
        "environment": run.source.environment_digest,
        "git commit": run.source.git_commit,
        "git diff": run.source.git_diff_digest,
        "python": run.source.python,
    }
    return {key: value for key, value in said.items() if value is not None}
