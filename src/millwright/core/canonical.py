"""One spelling for a value: JSON that hashes the same wherever it is made.

The values are restricted to what every JSON library spells alike: strings, integers of at
most 53 bits, true, false, null, lists, and objects with ASCII keys. Floats are refused, since
`1.0` and `1` differ between libraries; write them as strings. On such values the bytes equal
those of RFC 8785 (a property test compares them with a plain reading of the RFC).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

from millwright.core.errors import Invalid

Canonical: TypeAlias = "str | int | bool | None | Sequence[Canonical] | Mapping[str, Canonical]"

MAX_INTEGER = 2**53 - 1
_ENCODER = msgspec.json.Encoder(order="sorted")


def encode(value: Canonical) -> bytes:
    """Return the one JSON spelling of `value`: keys sorted, no white space, UTF-8.

    Raises Invalid, naming the place, on a float, an integer beyond 53 bits, a key that is not
    ASCII text, a lone surrogate, or a type JSON does not know.

    >>> encode({"b": 1, "a": [None, True]})
    b'{"a":[null,true],"b":1}'
    """
    _check(value, "$")
    return _ENCODER.encode(value)


def _check(value: object, place: str) -> None:
    if value is None or value is True or value is False:
        return
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise Invalid(
                    f"{place} holds a lone surrogate, which UTF-8 cannot carry"
                ) from error
        return
    if isinstance(value, int):
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise Invalid(f"{place} is {value}, beyond 53 bits", fix="write it as a string")
        return
    if isinstance(value, Mapping):
        for key, inner in value.items():  # pyright: ignore[reportUnknownVariableType]
            if not isinstance(key, str) or not key.isascii():
                raise Invalid(f"{place} has the key {key!r}; keys are ASCII text")
            _check(inner, f"{place}.{key}")  # pyright: ignore[reportUnknownArgumentType]
        return
    if isinstance(value, list | tuple):
        for index, inner in enumerate(value):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            _check(inner, f"{place}[{index}]")  # pyright: ignore[reportUnknownArgumentType]
        return
    raise Invalid(
        f"{place} is {value!r} of type {type(value).__name__}, which has no canonical spelling",
        fix="write a float as a string" if isinstance(value, float) else "",
    )
