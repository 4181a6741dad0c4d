"""Parameters a model takes beside its rows, as MLflow's signatures list them, with defaults."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from millwright.core.errors import Invalid
from millwright.core.refs import did_you_mean
from millwright.records.events import JsonValue
from millwright.records.schema import ColumnKind

_WORDS: dict[ColumnKind, str] = {
    "integer": "a whole number",
    "float": "a number",
    "boolean": "true or false",
    "text": "text",
    "timestamp": "a point in time, as text",
}
_MAX_INT64 = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter of a call."""

    name: str
    kind: ColumnKind
    default: JsonValue
    is_list: bool = False
    """Whether it takes a list of such values."""


def check_params(
    params: Sequence[Param], given: Mapping[str, JsonValue] | None
) -> dict[str, JsonValue]:
    """Return every parameter's value, its default where none was given, in its kind.

    Raises Invalid, naming each, for a parameter the model does not have or a value that does
    not fit.
    """
    given = given or {}
    known = {param.name: param for param in params}
    faults: list[str] = []
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known)
            faults.append(f"{name} is not known" + (f" ({hint})" if hint else ""))
    out: dict[str, JsonValue] = {}
    for name, param in known.items():
        value = given.get(name, param.default)
        fault = _fault(param, value) if name in given else ""
        if fault:
            faults.append(f"{name} {fault}")
        else:
            out[name] = _in_kind(param, value)
    if faults:
        raise Invalid(
            "the parameters do not fit the model",
            why="; ".join(faults),
            fix=f"it takes: {', '.join(known) or 'none'}",
        )
    return out


def _fault(param: Param, value: JsonValue) -> str:
    if value is None and param.default is None:
        return ""
    if not param.is_list:
        return "" if _fits(param, value) else f"should be {_WORDS[param.kind]}, not {value!r:.60}"
    if not isinstance(value, list):
        return f"should be a list, not {value!r:.60}"
    wrong = [item for item in value if not _fits(param, item)]
    return f"should hold {_WORDS[param.kind]}, and holds {wrong[0]!r:.60}" if wrong else ""


def _fits(param: Param, value: JsonValue) -> bool:
    match param.kind:
        case "boolean":
            return isinstance(value, bool)
        case "text" | "timestamp":
            return isinstance(value, str)
        case "float":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "integer":
            if isinstance(value, float):
                return math.isfinite(value) and value.is_integer() and abs(value) <= 2**53
            is_int = isinstance(value, int) and not isinstance(value, bool)
            return is_int and abs(cast("int", value)) <= _MAX_INT64


def _in_kind(param: Param, value: JsonValue) -> JsonValue:
    if isinstance(value, list):
        return [_in_kind(param, item) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if param.kind == "float":
        return float(value)
    return int(value) if param.kind == "integer" and math.isfinite(value) else value
