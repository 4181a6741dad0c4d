"""Tables that users hand in: frames of any library, mappings, matrices; as files and as columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeAlias, cast

from millwright.core.errors import Invalid

if TYPE_CHECKING:
    import polars as pl

    from millwright.data.frames import PandasFrame
    from millwright.registry.signature import Columns, Frame, Matrix

    Table: TypeAlias = pl.DataFrame | pl.LazyFrame | PandasFrame | Mapping[str, object]


def frame_of(table: Table) -> pl.DataFrame:
    """Return a table of any kind as a Polars frame; raises Invalid."""
    import polars as pl

    if isinstance(table, pl.DataFrame):
        return table
    if isinstance(table, pl.LazyFrame):
        return table.collect()
    if isinstance(table, Mapping):
        try:
            return pl.DataFrame(dict(table))
        except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
            raise Invalid("the columns do not make a table", why=str(error)[:300]) from error
    if hasattr(table, "iloc"):
        from millwright.data.frames import from_pandas

        return from_pandas(table)
    raise Invalid(
        f"a {type(table).__name__} is no table",
        fix="give a Polars or pandas frame, or a mapping from names to columns",
    )


def table_writer(frame: pl.DataFrame, name: str) -> Callable[[Path], None]:
    """Return what writes a frame to a file, of the kind that `name` ends with; raises Invalid.

    It raises OSError where there is no room, and Invalid where the kind has no word for a column.
    """
    import polars as pl

    writers: dict[str, Callable[[Path], object]] = {
        ".parquet": frame.write_parquet,
        ".csv": frame.write_csv,
        ".arrow": frame.write_ipc,
        ".feather": frame.write_ipc,
        # By itself it tells nobody when the last of it found no room.
        ".json": lambda file: file.write_bytes(frame.write_json().encode()),
    }
    suffix = PurePosixPath(name).suffix
    if suffix not in writers:
        raise Invalid(
            f"{name!r} does not say how the table is to be kept",
            why=f"it ends with {suffix!r}",
            fix="end it with .parquet, .csv, .arrow or .json",
        )

    def write(file: Path) -> None:
        try:
            writers[suffix](file)
        except pl.exceptions.PolarsError as error:
            # Of Parquet it tells a full disk so, too.
            if "os error" in str(error):
                raise OSError(str(error)) from error
            raise Invalid(
                f"{name} cannot hold this table", why=str(error), fix="end it with .parquet"
            ) from error

    return write


def columns_of_example(model: object, example: object) -> Frame | Columns:
    """Return example rows as a package wants them: a matrix gets the names the model knows."""
    from millwright.registry.signature import columns_of

    if isinstance(example, Mapping) or hasattr(example, "columns"):
        return cast("Frame | Columns", example)
    known = cast("Sequence[object] | None", getattr(model, "feature_names_in_", None))
    return columns_of(cast("Matrix", example), known)
