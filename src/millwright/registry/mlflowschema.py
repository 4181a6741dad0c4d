"""MLflow's signatures in our words: which columns a model takes, and of which kinds.

MLflow writes a signature as JSON inside YAML. What it says in columns of plain types is ours as
well; so is one table of numbers, whose columns are then called by their places, `0`, `1` and so
on, as pandas calls them. Anything else (nested objects, images, bytes) has no columns.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import msgspec

from millwright.core.errors import Invalid
from millwright.records.events import JsonValue
from millwright.records.schema import Column, ColumnKind, Signature
from millwright.registry.signature import PREDICTION

MAX_COLUMNS = 10_000

_KINDS: dict[str, ColumnKind] = {
    "boolean": "boolean",
    "integer": "integer",
    "long": "integer",
    "float": "float",
    "double": "float",
    "string": "text",
    "datetime": "timestamp",
}
_NUMBERS = re.compile(r"(u?int|float)(8|16|32|64)|bool")


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter that a call may give beside the rows."""

    name: str
    kind: ColumnKind
    default: JsonValue
    is_list: bool = False
    """Whether it takes a list of such values."""


def parse_signature(written: Mapping[str, JsonValue]) -> tuple[Signature, str]:
    """Return the signature, and why it names no columns when it does not.

    A signature without columns has no inputs. Its one answer is `prediction`, whatever MLflow
    calls it; where its kind is not said, there are no outputs. Raises Invalid when it is not
    written as MLflow does.
    """
    inputs, why = _inputs(_parsed(written, "inputs"))
    return Signature(inputs=inputs, outputs=_outputs(_parsed(written, "outputs"))), why


def parse_params(written: Mapping[str, JsonValue]) -> tuple[Param, ...]:
    """Return the parameters that a call may give; those of nested types are left out."""
    found: list[Param] = []
    for each in _parsed(written, "params"):
        kind = _kind(each)
        name = each.get("name")
        if kind is not None and isinstance(name, str):
            shape = each.get("shape")
            found.append(Param(name, kind, each.get("default"), is_list=shape is not None))
    return tuple(found)


def _parsed(written: Mapping[str, JsonValue], key: str) -> list[dict[str, JsonValue]]:
    text = written.get(key)
    if text is None:
        return []
    if not isinstance(text, str):
        raise Invalid(f"the signature's {key} are not written as MLflow writes them")
    try:
        return cast(
            "list[dict[str, JsonValue]]",
            msgspec.json.decode(text, type=list[dict[str, object]]),
        )
    except (msgspec.DecodeError, RecursionError) as error:
        raise Invalid(f"the signature's {key} cannot be read", why=str(error)[:200]) from error


def _inputs(specs: Sequence[Mapping[str, JsonValue]]) -> tuple[list[Column], str]:
    if not specs:
        return [], "the model was logged without a signature"
    if specs[0].get("type") == "tensor":
        return _tensor_columns(specs)
    if len(specs) > MAX_COLUMNS:
        return [], f"its signature has more than {MAX_COLUMNS} columns"
    columns: list[Column] = []
    for place, spec in enumerate(specs):
        kind = _kind(spec)
        name = spec.get("name", str(place) if len(specs) > 1 else "0")
        if kind is None or not isinstance(name, str):
            return [], f"its signature has a column {name!s:.60} of the type {spec.get('type')!s}"
        # What need not be there may be missing in a row.
        columns.append(Column(name=name, kind=kind, nullable=spec.get("required") is False))
    if len({column.name for column in columns}) < len(columns):
        return [], "its signature has two columns of one name"
    return columns, ""


def _tensor_columns(specs: Sequence[Mapping[str, JsonValue]]) -> tuple[list[Column], str]:
    shape, kind = _tensor(specs[0])
    match shape:
        case [_, int(width)] if len(specs) == 1 and kind is not None and 0 < width <= MAX_COLUMNS:
            return [Column(name=str(place), kind=kind) for place in range(width)], ""
        case _:
            return [], f"its signature is of tensors ({shape!s:.60}), not of columns"


def _outputs(specs: Sequence[Mapping[str, JsonValue]]) -> list[Column]:
    if len(specs) != 1:
        return []
    kind = _kind(specs[0])
    if specs[0].get("type") == "tensor":
        shape, kind = _tensor(specs[0])
        if len(shape) != 1 and shape[1:] != [1]:
            kind = None
    return [] if kind is None else [Column(name=PREDICTION, kind=kind)]


def _kind(spec: Mapping[str, JsonValue]) -> ColumnKind | None:
    name = spec.get("type")
    return _KINDS.get(name) if isinstance(name, str) else None


def _tensor(spec: Mapping[str, JsonValue]) -> tuple[list[JsonValue], ColumnKind | None]:
    described = spec.get("tensor-spec")
    if not isinstance(described, dict):
        return [], None
    shape, dtype = described.get("shape"), described.get("dtype")
    if not isinstance(shape, list) or not isinstance(dtype, str) or not _NUMBERS.fullmatch(dtype):
        return shape if isinstance(shape, list) else [], None
    if dtype == "bool":
        return shape, "boolean"
    return shape, "float" if dtype.startswith("float") else "integer"
