"""What several runs have in common and what not, decided from their records alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from msgspec.structs import replace

from millwright.records.comparisons import CodeDifference, ComparedValue, RunComparison
from millwright.records.runs import Infinite, Run

Value: TypeAlias = "str | float | None"

NOT_A_NUMBER = "NaN"


def compare_runs(
    runs: Sequence[Run],
    environments: Sequence[Mapping[str, str]],
    code: Sequence[CodeDifference],
) -> RunComparison:
    """Return everything of each run side by side, sorted by name.

    `environments` holds each run's distributions and their versions, empty where they are not
    known; `code` what was found of the source files, against the first run's.
    """
    return RunComparison(
        runs=[run.id for run in runs],
        names=[run.name for run in runs],
        params=side_by_side([run.params for run in runs]),
        metrics=side_by_side([_metrics(run.metrics) for run in runs]),
        tags=side_by_side([run.tags for run in runs]),
        source=side_by_side([_source(run) for run in runs], is_sorted=False),
        data=side_by_side([_data(run) for run in runs]),
        environment=side_by_side(environments, known=[bool(one) for one in environments]),
        code=list(code),
    )


def only_differing(found: RunComparison) -> RunComparison:
    """Return the comparison without what is the same in every run."""

    def kept(values: list[ComparedValue]) -> list[ComparedValue]:
        return [one for one in values if one.differs]

    return replace(
        found,
        params=kept(found.params),
        metrics=kept(found.metrics),
        tags=kept(found.tags),
        source=kept(found.source),
        data=kept(found.data),
        environment=kept(found.environment),
        code=[one for one in found.code if one.files or one.note],
    )


def side_by_side(
    given: Sequence[Mapping[str, Value]],
    *,
    is_sorted: bool = True,
    known: Sequence[bool] | None = None,
) -> list[ComparedValue]:
    """Return every key that any of the mappings has, with the value of each.

    Those that are not `known` differ from none: of them nobody can say what they would hold.

    >>> side_by_side([{"a": "1"}, {"a": "2", "b": "x"}])[0].values
    ['1', '2']
    """
    keys = list(dict.fromkeys(key for one in given for key in one))
    if is_sorted:
        keys.sort()
    found: list[ComparedValue] = []
    for key in keys:
        values = [one.get(key) for one in given]
        told = (
            values
            if known is None
            else [one for one, is_known in zip(values, known, strict=True) if is_known]
        )
        found.append(
            ComparedValue(key=key, values=values, differs=any(one != told[0] for one in told))
        )
    return found


def _metrics(metrics: Mapping[str, float | Infinite | None]) -> dict[str, Value]:
    return {key: NOT_A_NUMBER if value is None else value for key, value in metrics.items()}


_SOURCE: dict[str, Callable[[Run], str | None]] = {
    "command": lambda run: " ".join(run.source.command),
    "python": lambda run: run.source.python,
    "platform": lambda run: run.source.platform,
    "git commit": lambda run: run.source.git_commit,
    "uncommitted changes": lambda run: run.source.git_diff_digest,
    "source files": lambda run: run.source.code_digest,
    "environment": lambda run: run.source.environment_digest,
}


def _source(run: Run) -> dict[str, Value]:
    return {name: value for name, read in _SOURCE.items() if (value := read(run)) is not None}


def _data(run: Run) -> dict[str, Value]:
    """Return what a run read, by name; one name may have been read under several digests."""
    found: dict[str, list[str]] = {}
    for link in run.links:
        if link.way == "input":
            found.setdefault(link.name, []).append(link.digest)
    for one in run.datasets:
        name = f"{one.name} ({one.context})" if one.context else one.name
        found.setdefault(name, []).append(one.digest)
    for use in run.models:
        if use.way == "input":
            found.setdefault("logged models", []).append(use.model)
    return {name: ", ".join(sorted(digests)) for name, digests in found.items()}
