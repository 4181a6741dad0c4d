"""Runs held against one another: what differs, and what a chart of many of them needs."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from millwright.core.ids import RunId

FileChangeKind: TypeAlias = Literal["added", "removed", "changed"]
AxisKind: TypeAlias = Literal["number", "category"]


class ComparedValue(Struct, frozen=True, kw_only=True):
    """One thing as each run has it, in the order of the runs; None where a run has it not."""

    key: str
    values: list[str | float | None]
    """A metric that is not a number is the text `NaN`."""
    differs: bool


class FileChange(Struct, frozen=True, kw_only=True):
    """One source file that two runs do not share."""

    path: str
    change: FileChangeKind
    diff: str
    """As a unified diff; empty for what is no text, or where the whole became too long."""


class CodeDifference(Struct, frozen=True, kw_only=True):
    """The source of a run against that of the first."""

    base: RunId
    run: RunId
    files: list[FileChange]
    is_whole: bool = True
    """False when diffs were left out, the whole having become too long."""
    note: str = ""
    """Why nothing can be said, where nothing can."""


class RunComparison(Struct, frozen=True, kw_only=True):
    """What several runs have in common, and what not."""

    runs: list[RunId]
    names: list[str]
    params: list[ComparedValue]
    metrics: list[ComparedValue]
    """The newest value of each."""
    tags: list[ComparedValue]
    source: list[ComparedValue]
    """Command, Python, platform, commit, and the digests of what was kept."""
    data: list[ComparedValue]
    """What each read, by name: digests."""
    environment: list[ComparedValue]
    """Installed distributions: versions."""
    code: list[CodeDifference]


class Axis(Struct, frozen=True, kw_only=True):
    """One axis of a parallel-coordinates chart."""

    key: str
    """`params.depth` or `metrics.auc`."""
    kind: AxisKind
    low: float | None = None
    high: float | None = None
    """Of a number: the least and the greatest that a run has."""
    categories: list[str] = []
    """Of a category: every text that a run has, sorted."""


class AxisLine(Struct, frozen=True, kw_only=True):
    """One run on its way through all axes."""

    run: RunId
    name: str
    values: list[float | None]
    """A number, or the place of a text among the axis's categories; None where there is none."""


class ParallelChart(Struct, frozen=True, kw_only=True):
    """What a parallel-coordinates chart of runs is drawn from."""

    axes: list[Axis]
    lines: list[AxisLine]
