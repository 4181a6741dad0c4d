"""What is expected of a table: read from YAML or plain values, and suggested from a profile."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import cast, get_args

import msgspec

from millwright.core.errors import Invalid
from millwright.core.refs import did_you_mean
from millwright.records.data import (
    Expectation,
    HasType,
    InRange,
    IsUnique,
    NotNull,
    OneOf,
    RowCount,
)
from millwright.records.schema import TableSchema
from millwright.stats.profile import NumericProfile, TableProfile, TextProfile

MAX_SUGGESTED_VALUES = 20
_TAG = "type"


def _kinds() -> dict[str, type[msgspec.Struct]]:
    kinds: tuple[type[msgspec.Struct], ...] = get_args(Expectation)
    return {str(kind.__struct_config__.tag): kind for kind in kinds}


def parse_yaml(text: str | bytes) -> list[Expectation]:
    """Return the expectations written in YAML (or JSON) as a list; raises Invalid as `parse`.

    >>> parse_yaml("[{type: range, column: age, low: 0, high: 120}]")[0].high
    120.0
    """
    try:
        items: object = msgspec.yaml.decode(text)
    except msgspec.DecodeError as error:
        raise Invalid("the expectations are not YAML", why=str(error)) from error
    return parse(items)


def parse(items: object) -> list[Expectation]:
    """Return a list of mappings, as YAML, TOML or JSON gives it, as expectations.

    Each mapping has a `type` (`range`, `not_null`, ...) and the fields of that expectation.
    Raises Invalid, naming the item, its unknown key or what is wrong with a value.
    """
    if not isinstance(items, list):
        raise Invalid(
            f"expectations are a list, not {type(items).__name__}",
            fix="write one item for each, as in: - {type: not_null, column: age}",
        )
    return [
        _parse_one(item, f"expectation {at}")
        for at, item in enumerate(cast("list[object]", items), start=1)
    ]


def _parse_one(item: object, place: str) -> Expectation:
    if not isinstance(item, dict):
        raise Invalid(f"{place} is {item!r}, not a mapping with the key {_TAG!r}")
    fields = cast("dict[object, object]", item)
    kinds = _kinds()
    kind = kinds.get(str(fields.get(_TAG)))
    if kind is None:
        raise Invalid(
            f"{place} has the {_TAG} {fields.get(_TAG)!r}",
            why=f"the types are {', '.join(sorted(kinds))}",
            fix=did_you_mean(str(fields.get(_TAG)), kinds),
        )
    known = [_TAG, *kind.__struct_fields__]
    for key in fields:
        if key not in known:
            raise Invalid(
                f"{place} ({fields[_TAG]}) has the unknown key {key!r}",
                why=f"its keys are {', '.join(known)}",
                fix=did_you_mean(str(key), known),
            )
    try:
        # The union and not the kind: only then is the tag accepted as a key.
        expectation = cast("Expectation", msgspec.convert(fields, Expectation))
    except msgspec.ValidationError as error:
        raise Invalid(f"{place} ({fields[_TAG]}) is not right", why=str(error)) from error
    _check(expectation, place)
    return expectation


def _check(expectation: Expectation, place: str) -> None:
    match expectation:
        case InRange(low=low, high=high) | RowCount(low=low, high=high):
            if low is None and high is None:
                raise Invalid(f"{place} has neither low nor high", fix="give one or both")
            for side in (low, high):
                if side is not None and math.isnan(side):
                    raise Invalid(f"{place} has a bound that is not a number")
            if low is not None and high is not None and low > high:
                raise Invalid(f"{place} has low {low:g} above high {high:g}")
        case NotNull(max_ratio=ratio):
            if not 0 <= ratio <= 1:
                raise Invalid(f"{place} has max_ratio {ratio:g}", why="a ratio is from 0 to 1")
        case IsUnique(columns=[]) | OneOf(values=[]):
            raise Invalid(f"{place} has an empty list")
        case _:
            pass


def describe(expectation: Expectation) -> str:
    """Return the expectation in a few words, as a report names it.

    >>> describe(InRange(column="age", low=0))
    'age at least 0'
    """
    match expectation:
        case HasType():
            return f"{expectation.column} is {expectation.kind}"
        case InRange():
            return f"{expectation.column} {_bounds(expectation.low, expectation.high)}"
        case NotNull(max_ratio=0):
            return f"{expectation.column} is never missing"
        case NotNull():
            return f"{expectation.column} is missing in at most {expectation.max_ratio:.1%} of rows"
        case IsUnique():
            return f"{', '.join(expectation.columns)} unique"
        case OneOf():
            shown = ", ".join(map(repr, expectation.values[:8]))
            more = len(expectation.values) - 8
            return f"{expectation.column} one of {shown}" + (
                f" and {more} more" if more > 0 else ""
            )
        case RowCount():
            return f"number of rows {_bounds(expectation.low, expectation.high)}"


def _bounds(low: float | None, high: float | None) -> str:
    if low is None:
        return f"at most {high:.12g}"
    return f"at least {low:.12g}" if high is None else f"from {low:.12g} to {high:.12g}"


def suggest(schema: TableSchema, profile: TableProfile) -> list[Expectation]:
    """Return expectations that the profiled table meets, as a first draft to be edited.

    Types; columns that were never missing; numbers within the span seen, widened by that span
    on each side but not across zero; texts with at most 20 different values among these.
    """
    suggested: list[Expectation] = [RowCount(low=1)]
    for column in schema.columns:
        suggested.append(HasType(column=column.name, kind=column.kind))
        if not column.nullable:
            suggested.append(NotNull(column=column.name))
        seen = profile.columns.get(column.name)
        if isinstance(seen, NumericProfile) and column.kind in {"integer", "float"}:
            suggested += _suggested_range(column.name, seen)
        elif isinstance(seen, TextProfile):
            suggested += _suggested_values(column.name, seen)
    return suggested


def _suggested_range(column: str, seen: NumericProfile) -> Sequence[Expectation]:
    moments = seen.moments
    if moments.count == 0 or moments.infinite:
        return ()
    span = moments.high - moments.low
    low, high = moments.low - span, moments.high + span
    if moments.low >= 0:
        low = max(low, 0.0)
    if moments.high <= 0:
        high = min(high, 0.0)
    return (InRange(column=column, low=low, high=high),)


def _suggested_values(column: str, seen: TextProfile) -> Sequence[Expectation]:
    levels: Mapping[str, int] = dict(seen.frequent.top(MAX_SUGGESTED_VALUES + 1))
    if not 0 < len(levels) <= MAX_SUGGESTED_VALUES or sum(levels.values()) != seen.count:
        return ()
    return (OneOf(column=column, values=sorted(levels)),)
