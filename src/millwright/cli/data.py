"""`mill data`: datasets and their versions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from millwright.cli import text
from millwright.cli.session import session
from millwright.cli.verbs import DryRun, Reason, noun
from millwright.core.digest import digest_file
from millwright.core.errors import Conflict, Invalid, NotFound, Refused
from millwright.core.refs import check_name

if TYPE_CHECKING:
    from millwright.records.data import DatasetVersion, Expectation, ValidationReport
    from millwright.records.events import JsonValue

app = noun("Datasets and their versions.")

FORMATS = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".ipc": "arrow",
    ".feather": "arrow",
}
"""Suffix -> format; told again here, since a client has no data-frame library."""

_SHOWN_LEVELS = 4

Ref = Annotated[str, typer.Argument(metavar="REF", help="NAME, NAME@v3, or an id.")]


@app.command()
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, Parquet or Arrow.")],
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="By default the file's name.")
    ] = None,
    reason: Reason = "",
    dry_run: DryRun = False,
) -> None:
    """Add a file as the newest version of a dataset; the same bytes are the same version."""
    here = session()
    kept_as = check_file(file)
    called = check_name(name or file.stem, "dataset")
    if dry_run:
        from millwright.data.batches import open_table

        seen = open_table(file)
        found = f"{file.name} holds {text.counted(seen.row_count, 'row')} in "
        found += text.counted(len(seen.schema.columns), "column")
        here.would("data.add", name=called, format=kept_as, source=file.name, found=[found])
        return
    with here.door() as door:
        digest = door.artifacts.put_file(file)
        version = door.data.add(
            name=called, digest=digest, format=kept_as, source=file.name, reason=reason
        )
    here.answer(version, lambda: version_lines(version))
    here.say(f"Look at it: mill data profile {version.name}@v{version.version}")


@app.command("list")
def list_all() -> None:
    """List the project's datasets."""
    here = session()
    with here.door() as door:
        found = door.data.list_all()
    here.answer(
        found,
        lambda: text.table(
            ["name", "newest", "created", "id"],
            [(one.name, f"v{one.versions}", text.when(one.created_us), one.id) for one in found],
        ),
        empty="There are no datasets yet. Add one: mill data add FILE",
    )


@app.command()
def show(
    ref: Ref,
    versions: Annotated[
        bool, typer.Option("--versions", help="List all versions of the dataset.")
    ] = False,
) -> None:
    """Show one version: its digest, rows and columns."""
    here = session()
    with here.door() as door:
        if versions:
            found = door.data.versions(name=ref)
            here.answer(found, lambda: _version_table(found))
            return
        version = door.data.show(ref=ref)
    here.answer(version, lambda: [*version_lines(version), "", *_column_lines(version)])


@app.command()
def profile(ref: Ref) -> None:
    """Show what the columns look like: counts, missing values, quantiles, levels."""
    here = session()
    with here.door() as door:
        found = door.data.profile(ref=ref)
    here.answer(found, lambda: _profile_lines(found))


@app.command()
def validate(
    what: Annotated[str, typer.Argument(metavar="FILE|REF", help="A file, or a stored version.")],
    expect: Annotated[
        Path, typer.Option("--expect", metavar="FILE", help="Expectations, YAML or JSON.")
    ],
    reason: Reason = "",
    dry_run: DryRun = False,
) -> None:
    """Hold a file or a version against expectations; exit 5 when it does not meet them."""
    here = session()
    expectations = read_expectations(expect)
    if Path(what).is_file():
        # A file that is not stored needs no project, and nothing is journaled.
        from millwright.data.batches import open_table
        from millwright.data.validate import validate as hold

        report = hold(open_table(Path(what)), expectations)
    else:
        with here.door() as door:
            if dry_run:
                version = door.data.show(ref=what)
                here.would("data.validate", ref=version.id, expectations=expectations)
                return
            report = door.data.validate(ref=what, expectations=expectations, reason=reason)
    here.answer(report, lambda: _report_lines(report))
    if not report.passed:
        raise typer.Exit(Refused.exit_code)


@app.command()
def checkout(
    ref: Ref,
    target: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="By default NAME.FORMAT, here.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Write a version's bytes to a file; one that holds other bytes is never overwritten."""
    here = session()
    with here.door() as door:
        version = door.data.show(ref=ref)
        path = target or Path(f"{version.name}.{version.format}")
        if path.is_dir():
            path /= f"{version.name}.{version.format}"
        same = path.is_file() and digest_file(path) == version.digest
        if path.exists() and not same:
            raise Conflict(
                f"{path} exists and is not {version.name}@v{version.version}",
                why="a checkout never overwrites what it did not write",
                fix="move it away, or name another file",
            )
        if dry_run:
            here.would("artifacts.fetch", digest=version.digest, target=str(path))
            return
        if not same:
            door.artifacts.fetch(version.digest, path)
    here.answer(
        {"path": str(path), "digest": version.digest, "size_bytes": version.size_bytes},
        lambda: [f"{path}  {text.size(version.size_bytes)}  {version.digest}"],
    )


def check_file(path: Path) -> str:
    """Return a file's format; raises NotFound, or Invalid for an empty or unknown one."""
    if not path.exists():
        raise NotFound(f"there is no file {path}", fix="check the path")
    if not path.is_file():
        raise Invalid(f"{path} is not a file", fix="name a CSV, Parquet or Arrow file")
    kept_as = FORMATS.get(path.suffix.lower())
    if kept_as is None:
        raise Invalid(
            f"{path} has no format that is known",
            why=f"its suffix is {path.suffix or 'missing'}; known: {', '.join(FORMATS)}",
            fix="name it by what it holds",
        )
    if path.stat().st_size == 0:
        raise Invalid(f"{path} is empty", why="it has no bytes", fix="add it when it has rows")
    return kept_as


def read_expectations(path: Path) -> list[Expectation]:
    """Return the expectations in a file; raises NotFound and Invalid."""
    from millwright.data.expectations import parse_yaml

    if not path.is_file():
        raise NotFound(f"there is no file {path}", fix="write the expectations into one")
    return parse_yaml(path.read_bytes())


def version_lines(version: DatasetVersion) -> list[str]:
    """Return what a person wants to know of a version first."""
    return text.facts(
        {
            "dataset": f"{version.name}@v{version.version}",
            "id": version.id,
            "digest": version.digest,
            "rows": f"{version.row_count:,}",
            "columns": len(version.schema.columns),
            "size": text.size(version.size_bytes),
            "format": version.format,
            "source": version.source,
            "created": text.when(version.created_us),
        }
    )


def _version_table(versions: list[DatasetVersion]) -> list[str]:
    return text.table(
        ["version", "rows", "size", "created", "digest", "id"],
        [
            (
                f"v{one.version}",
                one.row_count,
                text.size(one.size_bytes),
                text.when(one.created_us),
                one.digest,
                one.id,
            )
            for one in versions
        ],
    )


def _column_lines(version: DatasetVersion) -> list[str]:
    return text.table(
        ["column", "kind", "missing"],
        [
            (one.name, one.kind, "some" if one.nullable else "none")
            for one in version.schema.columns
        ],
    )


def _profile_lines(found: dict[str, JsonValue]) -> list[str]:
    return text.table(
        ["column", "kind", "present", "missing", "distinct", "looks like"],
        [
            (
                name,
                str(column.get("kind")),
                cast("int", column.get("count")),
                cast("int", column.get("missing")),
                cast("int", column.get("distinct")),
                _looks(column),
            )
            for name, column in cast("dict[str, dict[str, JsonValue]]", found).items()
        ],
    )


def _looks(column: dict[str, JsonValue]) -> str:
    if column.get("kind") == "numeric":
        figures = cast("dict[str, float | None]", column)
        low, high, mean = (text.number(figures.get(name)) for name in ("min", "max", "mean"))
        return f"{low} to {high}, mean {mean}"
    top = cast("list[tuple[str, int]]", column.get("top", []))
    more = ", …" if len(top) > _SHOWN_LEVELS else ""
    return ", ".join(f"{value!r} {count}" for value, count in top[:_SHOWN_LEVELS]) + more


def _report_lines(report: ValidationReport) -> list[str]:
    here = session()
    lines: list[str] = []
    for one in report.results:
        word = here.paint("PASS", "good") if one.passed else here.paint("FAIL", "bad")
        lines.append(f"{word}  {one.message}")
        lines += text.indented(text.indented(text.indented(one.examples)))
    failed = sum(not one.passed for one in report.results)
    total = text.counted(len(report.results), "expectation")
    rows = text.counted(report.row_count, "row")
    lines.append(f"{failed} of {total} failed on {rows}" if failed else f"{total} met on {rows}")
    return lines
