"""Tables as streams of batches: CSV, Parquet, Arrow or a data frame in, one kind of batch out.

A table is looked over once when it is opened, so that its schema holds for every row, and can
then be read any number of times. Memory is bounded by the batch, never by the file.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import polars as pl

from millwright.core.errors import Denied, Failed, Invalid, NotFound
from millwright.core.refs import did_you_mean
from millwright.data.delimited import check_csv
from millwright.data.frames import PandasFrame, from_pandas
from millwright.data.kinds import from_text, infer_text, normalise, present, schema_of
from millwright.records.schema import TableSchema

Format: TypeAlias = Literal["csv", "parquet", "arrow"]

FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".ipc": "arrow",
    ".feather": "arrow",
}
"""A file's suffix, in lower case -> its format."""

MAX_BATCH_ROWS = 1 << 16
_BATCH_CELLS = 1 << 22
DATA_FRAME = "data frame"


Source: TypeAlias = "Path | pl.DataFrame | PandasFrame"


@dataclass(frozen=True, slots=True)
class Table:
    """A table that can be read any number of times, in the types of `kinds.TYPES`."""

    source: str
    """A file's name, or `data frame`."""
    format: Format
    schema: TableSchema
    row_count: int
    lazy: pl.LazyFrame

    def batches(self) -> Iterator[pl.DataFrame]:
        """Iterate over all rows in their order, in batches that depend on the width alone.

        A batch has 65,536 rows, fewer when there are more than 64 columns; the last one has
        what is left. Raises Invalid when the file turns out to be unreadable.
        """
        rows = max(1, min(MAX_BATCH_ROWS, _BATCH_CELLS // max(1, len(self.schema.columns))))
        with _explained(self.source):
            yield from _even(
                self.lazy.collect_batches(chunk_size=rows, lazy=True, engine="streaming"), rows
            )

    def frame(self) -> pl.DataFrame:
        """Return the whole table in memory."""
        with _explained(self.source):
            return self.lazy.collect(engine="streaming")


def open_table(source: Source) -> Table:
    """Return the table in a file, a Polars or a pandas data frame, looked over once.

    Raises NotFound when there is no such file, and Invalid when it is empty, has no rows or no
    columns, names a column twice, cannot be read as what its suffix says, or holds a column
    that has no kind.
    """
    if not isinstance(source, Path):
        return open_frame(source)
    return open_file(source, kept_as=check_file(source), label=source.name)


def open_frame(frame: pl.DataFrame | PandasFrame) -> Table:
    """Return the table in a data frame; raises Invalid as `open_table` does."""
    polars = frame if isinstance(frame, pl.DataFrame) else from_pandas(frame)
    with _explained(DATA_FRAME):
        return _surveyed(polars.lazy(), label=DATA_FRAME, kept_as="arrow")


def open_file(path: Path, *, kept_as: Format, label: str) -> Table:
    """Return the table in a file of the format `kept_as`, called `label` in what is said of it.

    Raises Invalid as `open_table` does.
    """
    with _explained(label):
        if kept_as == "csv":
            layout = check_csv(path, label=label)
            texts = _texts(path, names=layout.names, row_count=layout.row_count)
            schema = infer_text(texts)
            return Table(label, "csv", schema, layout.row_count, _typed(texts, schema))
        return _surveyed(_scan(path, kept_as), label=label, kept_as=kept_as)


def open_known(
    path: Path, *, kept_as: Format, schema: TableSchema, row_count: int, label: str
) -> Table:
    """Return the table in a file that has been looked over before, without doing it again."""
    with _explained(label):
        if kept_as == "csv":
            names = [column.name for column in schema.columns]
            lazy = _typed(_texts(path, names=names, row_count=row_count), schema)
        else:
            lazy = normalise(_scan(path, kept_as))
        return Table(label, kept_as, schema, row_count, lazy)


def check_file(path: Path) -> Format:
    """Return the format of a file that is there, is not empty and has a known suffix.

    Raises NotFound, naming the nearest, when it is not there, Denied when it may not be looked
    at, and Invalid otherwise.
    """
    try:
        if path.is_dir():
            raise Invalid(f"{path} is a folder", fix="give one file")
        if not path.exists():
            near = [near.name for near in path.parent.iterdir()] if path.parent.is_dir() else []
            raise NotFound(f"there is no file {path}", fix=did_you_mean(path.name, near))
        if not path.is_file():
            raise Invalid(f"{path} is a device, pipe or socket", fix="give one file")
        if path.stat().st_size == 0:
            raise Invalid(f"{path.name} is empty", why="it has 0 bytes")
    except PermissionError as error:
        raise Denied(f"{path} cannot be read", why=str(error)) from error
    return format_of(path)


def format_of(path: Path) -> Format:
    """Return the format that the suffix of `path` stands for; raises Invalid when it is unknown."""
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise Invalid(
            f"{path.name} is of a format Millwright does not read",
            why=f"it reads {', '.join(FORMATS)}; the suffix here is {suffix or 'missing'!r}",
            fix=did_you_mean(suffix, FORMATS) or "convert the file, or give a data frame",
        )
    return FORMATS[suffix]


def check_format(text: str) -> Format:
    """Return `text` as a format; raises Invalid when it is none."""
    for known in FORMATS.values():
        if text == known:
            return known
    raise Invalid(
        f"{text[:80]!r} is not a format of a dataset",
        why=f"the formats are {', '.join(sorted(set(FORMATS.values())))}",
    )


def _surveyed(frame: pl.LazyFrame, *, label: str, kept_as: Format) -> Table:
    lazy = normalise(frame)
    if not lazy.collect_schema():
        raise Invalid(f"{label} has no columns")
    schema, row_count = schema_of(lazy)
    if row_count == 0:
        raise Invalid(f"{label} has columns and no rows")
    return Table(label, kept_as, schema, row_count, lazy)


def _texts(path: Path, *, names: list[str], row_count: int) -> pl.LazyFrame:
    scanned = pl.scan_csv(
        path,
        infer_schema=False,
        new_columns=names,
        # Polars reads blank lines at the end as rows.
        n_rows=row_count,
        glob=False,
    )
    return scanned.select(present(pl.col(name)).alias(name) for name in names)


def _typed(texts: pl.LazyFrame, schema: TableSchema) -> pl.LazyFrame:
    return texts.select(
        from_text(pl.col(column.name), column.kind).alias(column.name) for column in schema.columns
    )


def _scan(path: Path, kept_as: Format) -> pl.LazyFrame:
    if kept_as == "parquet":
        return pl.scan_parquet(path, glob=False)
    return pl.scan_ipc(path, glob=False)


def _even(pieces: Iterable[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    """Cut `pieces` anew, so that what is computed batch by batch is the same on every machine."""
    held: list[pl.DataFrame] = []
    count = 0
    for piece in pieces:
        held.append(piece)
        count += piece.height
        if count < rows:
            continue
        whole = pl.concat(held) if len(held) > 1 else piece
        at = 0
        while count - at >= rows:
            yield whole.slice(at, rows)
            at += rows
        held = [whole.slice(at)] if at < count else []
        count -= at
    if held:
        yield pl.concat(held)


@contextmanager
def _explained(label: str) -> Generator[None]:
    try:
        yield
    except PermissionError as error:
        raise Denied(f"{label} cannot be read", why=str(error)) from error
    except OSError as error:
        raise Failed(f"{label} cannot be read", why=str(error)) from error
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise Invalid(
            f"{label} cannot be read",
            why=str(error).strip().split("\n", 1)[0][:300],
            fix="check that the file is whole and is what its suffix says",
        ) from error
