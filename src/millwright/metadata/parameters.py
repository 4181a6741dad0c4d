"""How statements name their parameters: `:name` in all of ours, in a driver's own way to it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache

from millwright.metadata.connection import Value

_PARAMETER = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")
_LISTED = re.compile(r"json_each\((:[a-z_][a-z0-9_]*)\)")
"""A list of values that is one parameter, as `in_list` spells it."""


def in_list(name: str, values: Sequence[int] | Sequence[str]) -> tuple[str, dict[str, Value]]:
    """Return what stands behind IN for these values, and its parameters; none match nothing.

    However many there are, they are one parameter: the statement stays the same text, and
    Python's SQLite driver takes time by the square of the number of named parameters.
    """
    if not values:
        return "(NULL)", {}
    if len(values) == 1:
        # As with `=`, an index may then tell the order too.
        return f"(:{name})", {name: values[0]}
    texts = [value for value in values if isinstance(value, str)]
    if any("\0" in text for text in texts):
        # SQLite before 3.45 reads a text in JSON up to its first NUL.
        params: dict[str, Value] = {f"{name}_{at}": text for at, text in enumerate(texts)}
        return "(" + ", ".join(f":{key}" for key in params) + ")", params
    value = "value" if texts else "CAST(value AS BIGINT)"
    # Not as ASCII: a lone surrogate is refused by the driver, as everywhere.
    return f"(SELECT {value} FROM json_each(:{name}))", {
        name: json.dumps(list(values), ensure_ascii=False)
    }


@lru_cache(maxsize=2048)
def by_name(text: str) -> str:
    """Return `text` as psycopg wants it: `:name` written `%(name)s`, and lists as it reads them."""
    listed = _LISTED.sub(r"jsonb_array_elements_text(CAST(\1 AS jsonb)) AS listed(value)", text)
    return _PARAMETER.sub(r"%(\1)s", listed.replace("%", "%%"))


@lru_cache(maxsize=64)
def by_place(text: str, mark: str) -> str:
    """Return `text` with each `:name` written as `mark`."""
    return _PARAMETER.sub(mark, text)
