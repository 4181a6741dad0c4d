"""The rows a package keeps of those its model was trained on, and what the model answered.

`input_example.json` holds the rows. Ours are written as MLflow writes a data frame (`columns` and
`data`); of its other forms those of tables are read too: bare rows of an array, whose columns are
called by their places, and rows below `inputs`. `output_example.json` is ours alone: the name of
an output -> its values, where `{"float": "inf"}` stands for what JSON has no number for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, cast

import msgspec
import numpy as np
from msgspec import Struct

from millwright.core.errors import Corrupt, NotFound
from millwright.records.events import JsonValue
from millwright.records.schema import Signature
from millwright.registry.facts import ANSWERS, EXAMPLE
from millwright.registry.signature import Array, Columns, check_columns


class _Odd(Struct, frozen=True):
    """No number, or an infinite one. No text alone: a label may be called `nan`."""

    float: str


_Written: TypeAlias = float | int | str | bool | _Odd
_ANSWERS = msgspec.json.Decoder(dict[str, list[_Written | list[float | _Odd]]])


def example_text(examples: Columns) -> str:
    """Return the file that keeps `examples`."""
    values = [_json_values(column) for column in examples.values()]
    rows = [list(row) for row in zip(*values, strict=True)]
    return msgspec.json.encode({"columns": list(examples), "data": rows}).decode() + "\n"


def answers_text(answers: Mapping[str, Array]) -> str:
    """Return the file that keeps what a model answered to its examples."""
    values = {name: _written(column.tolist()) for name, column in answers.items()}
    return msgspec.json.encode(values).decode() + "\n"


def read_answers(folder: Path) -> dict[str, Array] | None:
    """Return what was answered to the kept rows; None where nobody noted it. Raises Corrupt."""
    try:
        read = _ANSWERS.decode((folder / ANSWERS).read_bytes())
        return {
            name: np.array([_meant(value) for value in values]) for name, values in read.items()
        }
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise Corrupt(f"{folder / ANSWERS} cannot be read", why=str(error)) from error


def read_examples(folder: Path, signature: Signature) -> dict[str, Array]:
    """Return the rows that a package keeps of those it was trained on, as the model takes them.

    Raises NotFound where there are none, Corrupt when they cannot be read, and Invalid when
    they do not fit the signature.
    """
    return check_columns(signature, read_example_columns(folder))


def read_example_columns(folder: Path) -> dict[str, Array]:
    """Return the kept rows as they stand in the file; raises NotFound and Corrupt."""
    try:
        read = cast("object", msgspec.json.decode((folder / EXAMPLE).read_bytes()))
    except FileNotFoundError as error:
        raise NotFound(f"{folder} keeps no example rows") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Corrupt(f"{folder / EXAMPLE} cannot be read", why=str(error)) from error
    names, rows = _table(read)
    widths = {len(row) for row in rows}
    if len(widths) > 1 or (names and widths - {len(names)}):
        raise Corrupt(f"{folder / EXAMPLE} is no table", why=f"its rows have {sorted(widths)}")
    if not names:
        names = [str(place) for place in range(widths.pop() if widths else 0)]
    columns: dict[str, Array] = {}
    for place, name in enumerate(names):
        values = [row[place] for row in rows]
        columns[name] = np.array(values, dtype=object if None in values else None)
    return columns


def _table(read: object) -> tuple[list[str], Sequence[Sequence[object]]]:
    """Return the columns' names, where the file has some, and the rows."""
    if isinstance(read, dict):
        table = cast("dict[str, object]", read)
        names, data = table.get("columns", []), table.get("data", table.get("inputs"))
        if isinstance(names, list) and isinstance(data, list):
            return [str(name) for name in cast("list[object]", names)], _rows(
                cast("list[object]", data)
            )
    if isinstance(read, list):
        return [], _rows(cast("list[object]", read))
    return [], []


def _rows(data: list[object]) -> list[Sequence[object]]:
    return [cast("list[object]", row) if isinstance(row, list) else [row] for row in data]


def _written(value: object) -> object:
    if isinstance(value, list):
        return [_written(item) for item in cast("list[object]", value)]
    if isinstance(value, float) and not math.isfinite(value):
        return _Odd(str(value))
    return value


def _meant(value: _Written | list[float | _Odd]) -> object:
    if isinstance(value, list):
        return [_meant(item) for item in value]
    return float(value.float) if isinstance(value, _Odd) else value


def _json_values(column: Array) -> list[JsonValue]:
    values = cast("list[JsonValue]", column.tolist())
    return [None if value != value else value for value in values]  # noqa: PLR0124 (NaN)
