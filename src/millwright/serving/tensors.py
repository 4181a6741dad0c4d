"""Tensors in JSON become the columns a model takes, or an error that says what is wrong.

A model's columns are tensors named as the signature names them, of shape [n] or [n, 1]. Where
all columns are numbers, one tensor of shape [n, columns] under any name will do. `data` may be
nested or flat. Elements are checked against their datatype, and datatypes against the
signature; null stands for a missing value, where the column may lack one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import TypeAlias, cast

import msgspec
import numpy as np
from msgspec import Struct

from millwright.core.errors import Invalid
from millwright.core.refs import did_you_mean
from millwright.records.schema import Column, ColumnKind
from millwright.records.serving import Cell
from millwright.registry.signature import Array
from millwright.serving.protocol import Batch

MAX_ROWS = 10_000
"""Of one request; each row becomes a decision."""

Parameter: TypeAlias = str | int | float | bool

DATATYPES: dict[ColumnKind, str] = {
    "integer": "INT64",
    "float": "FP64",
    "boolean": "BOOL",
    "text": "BYTES",
    "timestamp": "INT64",
}
"""The datatype in which each kind of column is offered and answered."""

_INTEGER_BITS = {"INT8": 8, "INT16": 16, "INT32": 32, "INT64": 64}
_UNSIGNED_BITS = {"UINT8": 8, "UINT16": 16, "UINT32": 32, "UINT64": 64}
_FLOATS = ("FP32", "FP64")
_BINARY_ONLY = ("FP16", "BF16")
_KNOWN = ("BOOL", *_INTEGER_BITS, *_UNSIGNED_BITS, *_FLOATS, "BYTES")
_UNBOUNDED = frozenset({"FP64", "BOOL", "BYTES"})
_FP32_MAX = float(np.finfo(np.float32).max)

_TAKES: dict[ColumnKind, frozenset[str]] = {
    "integer": frozenset({*_INTEGER_BITS, *_UNSIGNED_BITS}),
    "float": frozenset({*_INTEGER_BITS, *_UNSIGNED_BITS, *_FLOATS}),
    "boolean": frozenset({"BOOL"}),
    "text": frozenset({"BYTES"}),
    "timestamp": frozenset({"INT64"}),
}
_NUMBERS = frozenset[ColumnKind]({"integer", "float"})
_ARRAY_TYPES: dict[ColumnKind, type[np.generic]] = {
    "integer": np.int64,
    "float": np.float64,
    "boolean": np.bool_,
    "text": np.object_,
    "timestamp": np.int64,
}


class Tensor(Struct, frozen=True):
    """A tensor as it stands in a request; `data` is not looked into yet."""

    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw = msgspec.Raw()
    parameters: dict[str, Parameter] | None = None


@dataclass(frozen=True, slots=True)
class _Decoders:
    """The ways in which the elements of one family of datatypes can lie in `data`."""

    plain: msgspec.json.Decoder[list[Cell]]
    flat: msgspec.json.Decoder[list[Cell]]
    nested: msgspec.json.Decoder[list[list[Cell]]]


def _decoders(plain: object, flat: object, nested: object) -> _Decoders:
    # A list of floats is no list of cells to a type checker, although each element is one.
    return _Decoders(
        msgspec.json.Decoder(cast("type[list[Cell]]", plain)),
        msgspec.json.Decoder(cast("type[list[Cell]]", flat)),
        msgspec.json.Decoder(cast("type[list[list[Cell]]]", nested)),
    )


_FLOAT_DATA = _decoders(list[float], list[float | None], list[list[float | None]])
_INTEGER_DATA = _decoders(list[int], list[int | None], list[list[int | None]])
_BOOLEAN_DATA = _decoders(list[bool], list[bool | None], list[list[bool | None]])
_TEXT_DATA = _decoders(list[str], list[str | None], list[list[str | None]])


def batch_of(tensors: list[Tensor], columns: list[Column]) -> Batch:
    """Return the rows that the tensors hold; raises Invalid, saying which is wrong and how."""
    if not tensors:
        raise Invalid("the request has no input tensor")
    first = tensors[0]
    if (
        len(tensors) == 1
        and len(first.shape) == 2
        and (len(columns) > 1 or first.name != columns[0].name)
    ):
        return _matrix(first, columns)
    return _by_column(tensors, columns)


def has(names: list[str], wanted: str) -> str:
    """Return words that say what there is instead of `wanted`, and which is nearest."""
    near = did_you_mean(wanted, names)
    return f"it has {_listed(names)}" + (f"; {near}" if near else "")


def _matrix(tensor: Tensor, columns: list[Column]) -> Batch:
    """Take one tensor as all columns side by side."""
    names = [column.name for column in columns]
    kinds = {column.kind for column in columns}
    if not kinds <= _NUMBERS:
        other = next(column.name for column in columns if column.kind not in _NUMBERS)
        raise Invalid(
            f"the tensor {tensor.name[:80]!r} is not a column of the model",
            why=f"one tensor can hold all columns only when all are numbers; {other!r} is not",
            fix=f"send a tensor for each column: {_listed(names)}",
        )
    width = len(columns)
    rows = _rows_of(tensor)
    if tensor.shape[1] != width:
        raise _wrong(tensor, f"its shape is {tensor.shape}; the model takes [{rows}, {width}]")
    if tensor.datatype not in _TAKES["float"]:
        raise _wrong(tensor, _unfit(tensor.datatype, "numbers"))
    values = _values(tensor)
    cells = [
        dict(zip(names, values[at : at + width], strict=True))
        for at in range(0, len(values), width)
    ]
    if kinds == {"float"} and None not in values:
        array = np.array(values, dtype=np.float64).reshape(rows, width)
        return Batch(dict(zip(names, array.T, strict=True)), cells)
    taken: dict[str, Array] = {}
    for at, column in enumerate(columns):
        own = values[at::width]
        if column.kind == "integer" and tensor.datatype in _FLOATS:
            own = _whole(tensor, column, own)
            for row, value in zip(cells, own, strict=True):
                row[column.name] = value
        taken[column.name] = _array(tensor, column, own)
    return Batch(taken, cells)


def _by_column(tensors: list[Tensor], columns: list[Column]) -> Batch:
    """Take each tensor as the column of its name."""
    found: dict[str, Tensor] = {}
    for tensor in tensors:
        if tensor.name in found:
            raise Invalid(f"the tensor {tensor.name[:80]!r} is given twice")
        found[tensor.name] = tensor
    names = [column.name for column in columns]
    for name in found:
        if name not in names:
            raise Invalid(f"the model has no input {name[:80]!r}", why=has(names, name))
    missing = [name for name in names if name not in found]
    if missing:
        raise Invalid(
            f"the request lacks {len(missing)} of the model's {len(names)} inputs",
            why=f"not there: {_listed(missing)}",
        )
    rows = _rows_of(tensors[0])
    taken: dict[str, Array] = {}
    values: list[list[Cell]] = []
    for column in columns:
        tensor = found[column.name]
        if len(tensor.shape) > 2 or (len(tensor.shape) == 2 and tensor.shape[1] != 1):
            raise _wrong(tensor, f"its shape is {tensor.shape}; a column is [n] or [n, 1]")
        if _rows_of(tensor) != rows:
            raise _wrong(tensor, f"it has {tensor.shape[0]} rows; {tensors[0].name!r} has {rows}")
        if tensor.datatype not in _TAKES[column.kind]:
            raise _wrong(tensor, _unfit(tensor.datatype, DATATYPES[column.kind]))
        own = _values(tensor)
        taken[column.name] = _array(tensor, column, own)
        values.append(own)
    return Batch(taken, [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)])


def _rows_of(tensor: Tensor) -> int:
    if not tensor.shape:
        raise _wrong(tensor, "it has no shape; a column is [n] or [n, 1]")
    rows = tensor.shape[0]
    if any(size < 1 for size in tensor.shape):
        raise _wrong(tensor, f"its shape is {tensor.shape}; every size is 1 or more")
    if rows > MAX_ROWS:
        raise Invalid(
            f"{rows} rows in one request", why=f"at most {MAX_ROWS} are taken", fix="send fewer"
        )
    return rows


def _values(tensor: Tensor) -> list[Cell]:
    """Return the elements of `data`, flat, each of the tensor's datatype or None."""
    raw, datatype = bytes(tensor.data), tensor.datatype
    if not raw:
        binary = "binary_data_size" in (tensor.parameters or {})
        raise _wrong(
            tensor, "binary tensors are not taken; send JSON" if binary else "it has no data"
        )
    if datatype in _FLOATS:
        decoders = _FLOAT_DATA
    elif datatype == "BYTES":
        decoders = _TEXT_DATA
    elif datatype == "BOOL":
        decoders = _BOOLEAN_DATA
    else:
        decoders = _INTEGER_DATA
    values = _decode(tensor, raw, decoders)
    if len(values) != prod(tensor.shape):
        raise _wrong(
            tensor,
            f"its shape {tensor.shape} is {prod(tensor.shape)} elements; data has {len(values)}",
        )
    if datatype not in _UNBOUNDED:
        _check_range(tensor, values)
    return values


def _decode(tensor: Tensor, raw: bytes, decoders: _Decoders) -> list[Cell]:
    try:
        return decoders.plain.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Nested, or with missing values, or wrong: the slower ways tell which.
        pass
    try:
        if not raw[1:].lstrip().startswith(b"["):
            return decoders.flat.decode(raw)
        rows = decoders.nested.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _wrong(
            tensor, f"data does not hold {tensor.datatype} elements: {str(error)[:300]}"
        ) from error
    width = prod(tensor.shape[1:])
    if len(rows) != tensor.shape[0] or any(len(row) != width for row in rows):
        raise _wrong(tensor, f"the nesting of data is not that of its shape {tensor.shape}")
    return list(chain.from_iterable(rows))


def _check_range(tensor: Tensor, values: list[Cell]) -> None:
    present = cast("list[float]", [value for value in values if value is not None])
    if not present:
        return
    if bits := _INTEGER_BITS.get(tensor.datatype):
        low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    elif bits := _UNSIGNED_BITS.get(tensor.datatype):
        low, high = 0, 2**bits - 1
    else:
        low, high = -_FP32_MAX, _FP32_MAX
    for value in (min(present), max(present)):
        if not low <= value <= high:
            raise _wrong(tensor, f"{value} is outside of {tensor.datatype}")


def _whole(tensor: Tensor, column: Column, values: list[Cell]) -> list[Cell]:
    """Return the numbers of an integer column that came in a tensor of floats."""
    whole: list[Cell] = []
    for value in values:
        if isinstance(value, float):
            if not value.is_integer():
                raise _wrong(tensor, f"column {column.name!r} takes whole numbers, not {value}")
            value = int(value)
        whole.append(value)
    return whole


def _array(tensor: Tensor, column: Column, values: list[Cell]) -> Array:
    """Return a column as the model takes it; a missing number is NaN, a missing text None."""
    if None in values:
        if not column.nullable:
            raise _wrong(tensor, f"column {column.name!r} cannot lack a value; data holds null")
        if column.kind != "text":
            return np.array(
                [np.nan if value is None else value for value in values], dtype=np.float64
            )
    try:
        return np.array(values, dtype=_ARRAY_TYPES[column.kind])
    except OverflowError as error:
        raise _wrong(tensor, f"column {column.name!r} takes numbers of 64 bits") from error


def _unfit(datatype: str, wanted: str) -> str:
    if datatype in _BINARY_ONLY:
        return f"{datatype} exists only in binary form, which is not taken; send {wanted}"
    if datatype not in _KNOWN:
        return f"{datatype[:40]!r} is not a datatype; known: {', '.join(_KNOWN)}"
    return f"its datatype is {datatype}; the model takes {wanted}"


def _wrong(tensor: Tensor, why: str) -> Invalid:
    return Invalid(f"the tensor {tensor.name[:80]!r} cannot be taken", why=why)


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:10])
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"
