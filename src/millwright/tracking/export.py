"""Runs as tables: one row a run, a column for each parameter, metric and tag.

Which columns there are is known only when the last run was seen. So each page is written as a
part of its own, and the parts are joined at the end, streaming: what stays in memory of a page
is where its columns lie in its part, some 100 kB for a thousand runs.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
import polars as pl

from millwright.core.errors import Conflict, Denied, Invalid, NotFound
from millwright.records.runs import Run
from millwright.tracking.columns import GROUPS, check_columns

Format: TypeAlias = Literal["csv", "parquet", "jsonl"]
Cell: TypeAlias = "str | int | float | None"

FORMATS: tuple[Format, ...] = ("csv", "parquet", "jsonl")
ROWS_A_GROUP = 10_000
"""A group of rows is held in memory until it is full."""
_TIME = pl.Datetime("us", "UTC")
_ATTRIBUTES: Mapping[str, tuple[pl.DataType, Callable[[Run], Cell]]] = {
    "id": (pl.String(), lambda run: run.id),
    "name": (pl.String(), lambda run: run.name),
    "kind": (pl.String(), lambda run: run.kind),
    "status": (pl.String(), lambda run: run.status),
    "experiment": (pl.String(), lambda run: run.experiment),
    "parent": (pl.String(), lambda run: run.parent),
    "pipeline": (pl.String(), lambda run: run.pipeline),
    "actor": (pl.String(), lambda run: run.actor),
    "user": (pl.String(), lambda run: run.user or None),
    "started": (_TIME, lambda run: run.start_us),
    "ended": (_TIME, lambda run: run.end_us),
    "commit": (pl.String(), lambda run: run.source.git_commit),
}
ATTRIBUTES = tuple(_ATTRIBUTES)
"""Columns that every table of runs can have."""


def format_of(path: Path) -> Format:
    """Return the format that a file's name asks for; raises Invalid for another."""
    for one in FORMATS:
        if path.suffix.lower() == f".{one}":
            return one
    raise Invalid(
        f"{path.name} does not say in which format runs are to be written",
        why=f"a file of runs ends in .{', .'.join(FORMATS)}",
    )


def frame_of(runs: Sequence[Run], columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Return runs as a frame, a row each.

    Without `columns` there is one for each attribute, then each parameter, metric and tag that
    any of them has, by name. A metric that a run has not is null, one that is not a number NaN.
    """
    chosen = _columns_of(runs) if columns is None else list(columns)
    return pl.DataFrame([_series(name, runs) for name in chosen])


def export_runs(
    pages: Iterable[Sequence[Run]],
    path: Path,
    *,
    columns: Sequence[str] | None = None,
    overwrite: bool = False,
) -> int:
    """Write runs, as they come page by page, to a file in the format its name asks for.

    A file of JSON lines holds the records themselves, unless `columns` are chosen. The file is
    there whole or not at all. Texts are written as they were logged, also those that a spreadsheet
    would take for a formula: with a quote before them they would be other texts for whoever reads
    the file back.

    Returns how many runs were written; raises Conflict for a file that is there already, Invalid
    for a format or a column there is not, NotFound without a folder to write to, and Denied where
    that takes nothing.
    """
    kind = format_of(path)
    if path.is_dir():
        raise Invalid(f"{path} is a folder", fix="name a file")
    if not path.absolute().parent.is_dir():
        raise NotFound(f"there is no folder {path.parent}", fix="make it first")
    if path.exists() and not overwrite:
        raise Conflict(
            f"{path} is there already", fix="name another file, or overwrite it: --overwrite"
        )
    chosen = None if columns is None else check_columns(columns, ATTRIBUTES)
    try:
        with tempfile.TemporaryDirectory(prefix=".runs-", dir=path.absolute().parent) as folder:
            aside = Path(folder) / path.name
            if kind == "jsonl":
                count = _write_lines(pages, aside, chosen)
            else:
                count = _write_table(pages, aside, Path(folder), chosen, kind)
            with aside.open("rb") as file:
                os.fsync(file.fileno())
            aside.replace(path)
    except OSError as error:
        raise Denied(f"{path} cannot be written", why=error.strerror or str(error)) from error
    except pl.exceptions.ComputeError as error:
        # So Polars says that a disk is full, or a file broke while it was written.
        raise Denied(f"{path} cannot be written", why=str(error)) from error
    return count


def _write_lines(pages: Iterable[Sequence[Run]], path: Path, columns: Sequence[str] | None) -> int:
    encode = msgspec.json.Encoder().encode
    count = 0
    with path.open("wb") as file:
        for runs in pages:
            for run in runs:
                record: object = run if columns is None else _row(run, columns)
                file.write(encode(record) + b"\n")
            count += len(runs)
    return count


def _write_table(
    pages: Iterable[Sequence[Run]],
    path: Path,
    folder: Path,
    columns: Sequence[str] | None,
    kind: Format,
) -> int:
    parts: list[Path] = []
    seen: dict[str, None] = {}
    count = 0
    for runs in pages:
        frame = frame_of(runs, columns)
        seen |= dict.fromkeys(frame.columns)
        parts.append(folder / f"part-{len(parts):06}.parquet")
        frame.write_parquet(parts[-1])
        count += len(runs)
    names = _ordered(seen) if columns is None else list(columns)
    if not parts:
        parts.append(folder / "part-empty.parquet")
        names = list(ATTRIBUTES) if columns is None else names
        frame_of([], names).write_parquet(parts[0])
    whole = pl.concat([pl.scan_parquet(part) for part in parts], how="diagonal").select(names)
    if kind == "parquet":
        whole.sink_parquet(path, row_group_size=ROWS_A_GROUP)
    else:
        whole.sink_csv(path, datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ")
    return count


def _columns_of(runs: Sequence[Run]) -> list[str]:
    logged = {f"params.{key}": None for run in runs for key in run.params}
    logged |= {f"metrics.{key}": None for run in runs for key in run.metrics}
    logged |= {f"tags.{key}": None for run in runs for key in run.tags}
    return _ordered(dict.fromkeys(ATTRIBUTES) | logged)


def _ordered(names: Iterable[str]) -> list[str]:
    """Return attributes in their order, then parameters, metrics and tags, each by name."""
    found = set(names)
    logged = [
        name
        for group in GROUPS
        for name in sorted(one for one in found if one.startswith(f"{group}."))
    ]
    return [name for name in ATTRIBUTES if name in found] + logged


def _series(name: str, runs: Sequence[Run]) -> pl.Series:
    if name in _ATTRIBUTES:
        kind, read = _ATTRIBUTES[name]
        return pl.Series(name, [read(run) for run in runs], dtype=kind)
    values = [_logged(run, name) for run in runs]
    kind = pl.Float64() if name.startswith("metrics.") else pl.String()
    return pl.Series(name, values, dtype=kind)


def _logged(run: Run, name: str) -> str | float | None:
    group, _, key = name.partition(".")
    if group != "metrics":
        return (run.params if group == "params" else run.tags).get(key)
    if key not in run.metrics:
        return None
    value = run.metrics[key]
    return float("nan") if value is None else float(value)


def _row(run: Run, columns: Sequence[str]) -> dict[str, Cell]:
    """Return a run as one flat record; JSON has no number for what is none, so it is spelled."""
    row: dict[str, Cell] = {}
    for name in columns:
        group, _, key = name.partition(".")
        if name in _ATTRIBUTES:
            row[name] = _ATTRIBUTES[name][1](run)
        elif group == "metrics" and key in run.metrics:
            value = run.metrics[key]
            row[name] = "NaN" if value is None else value
        else:
            row[name] = _logged(run, name)
    return row
