"""Search spaces: whether one can be, and whether a trial's parameters lie in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import assert_never

from millwright.core.errors import Invalid
from millwright.records.studies import Choice, Dimension, FloatRange, IntRange, SearchSpace
from millwright.tracking.telemetry import check_key

MAX_DIMENSIONS = 1000


def check_space(space: SearchSpace) -> None:
    """Return when something can be sought there; raises Invalid, naming what cannot be."""
    if not 1 <= len(space) <= MAX_DIMENSIONS:
        raise Invalid(
            f"a search space has 1 to {MAX_DIMENSIONS} parameters, not {len(space)}",
            fix="name what is to be tried",
        )
    for name, dimension in space.items():
        check_key("parameter", name)
        fault = _fault(dimension)
        if fault:
            raise Invalid(f"the space of {name!r} cannot be searched", why=fault)


def check_trial(space: SearchSpace, params: Mapping[str, str]) -> None:
    """Return when every parameter of the space that is given lies in it; raises Invalid.

    A space may be conditional, so that a trial has not all of it; and a trial may have
    parameters that are not sought.
    """
    for name, dimension in space.items():
        if name in params and not lies_in(dimension, params[name]):
            raise Invalid(
                f"{name} = {params[name][:80]!r} lies outside of the study's space",
                why=f"it takes {spelled(dimension)}",
            )


def lies_in(dimension: Dimension, value: str) -> bool:
    """Tell whether a parameter's text is a value of the dimension; steps are not asked for.

    >>> lies_in(IntRange(low=1, high=9), "3")
    True
    """
    match dimension:
        case FloatRange():
            number = _number(value)
            return number is not None and dimension.low <= number <= dimension.high
        case IntRange():
            number = _number(value)
            is_whole = number is not None and number == math.floor(number)
            return is_whole and dimension.low <= float(number or 0) <= dimension.high
        case Choice():
            return value in dimension.values
        case _:  # pragma: no cover
            assert_never(dimension)


def spelled(dimension: Dimension) -> str:
    """Return a dimension in words.

    >>> spelled(FloatRange(low=1e-4, high=0.1, log=True))
    '0.0001 to 0.1, by its logarithm'
    """
    match dimension:
        case FloatRange() | IntRange():
            steps = "" if dimension.step in {None, 1} else f", in steps of {dimension.step:g}"
            whole = "whole numbers " if isinstance(dimension, IntRange) else ""
            log = ", by its logarithm" if dimension.log else ""
            return f"{whole}{dimension.low:g} to {dimension.high:g}{steps}{log}"
        case Choice():
            return f"one of {', '.join(dimension.values)}"
        case _:  # pragma: no cover
            assert_never(dimension)


def _fault(dimension: Dimension) -> str:
    match dimension:
        case FloatRange() | IntRange():
            if not (math.isfinite(dimension.low) and math.isfinite(dimension.high)):
                return "its ends are numbers, and finite"
            if dimension.low > dimension.high:
                return f"{dimension.low:g} is above {dimension.high:g}"
            if dimension.log and dimension.low <= 0:
                return f"a logarithm needs more than 0, and it begins at {dimension.low:g}"
            if dimension.step is not None and not dimension.step > 0:
                return f"a step is above 0, not {dimension.step:g}"
        case Choice():
            if not dimension.values:
                return "there is nothing to choose from"
            if len(set(dimension.values)) < len(dimension.values):
                return "a value stands there twice"
        case _:  # pragma: no cover
            assert_never(dimension)
    return ""


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
