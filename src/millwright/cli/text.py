"""What people read: aligned tables, units, times, and the words of an error.

Everything here is text in, text out, the same whether it goes to a terminal or a pipe; colour
is added by the terminal, and never says what the words do not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

from millwright.core.clock import to_datetime
from millwright.core.errors import MillwrightError

Cell: TypeAlias = "str | int | float | None"
Style: TypeAlias = Literal["good", "bad", "dim", "strong"]

NOTHING = "-"
NAN = "NaN"
_GAP = "  "
_US_PER_S = 1_000_000
_ANSI: dict[Style, str] = {"good": "32", "bad": "31", "dim": "2", "strong": "1"}


def paint(text: str, style: Style) -> str:
    """Return `text` in a colour of a terminal."""
    return f"\x1b[{_ANSI[style]}m{text}\x1b[0m"


def table(head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> list[str]:
    """Return aligned lines under a head; a column of nothing but numbers stands to the right."""
    rows = list(rows)
    cells = [[_spelled(value) for value in row] for row in rows]
    right = [
        bool(rows) and all(isinstance(row[n], int | float | None) for row in rows)
        for n in range(len(head))
    ]
    widths = [
        max(len(head[n]), *(len(line[n]) for line in cells)) if cells else len(head[n])
        for n in range(len(head))
    ]
    lines = [list(head), *cells]
    return [
        _GAP.join(
            text.rjust(width) if is_right else text.ljust(width)
            for text, width, is_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    ]


def facts(pairs: Mapping[str, Cell]) -> list[str]:
    """Return a block of names and values, the values under one another."""
    width = max((len(name) for name in pairs), default=0)
    return [f"{name.ljust(width)}{_GAP}{_spelled(value)}".rstrip() for name, value in pairs.items()]


def indented(lines: Iterable[str]) -> list[str]:
    """Return the lines two spaces further in."""
    return [f"  {line}" if line else "" for line in lines]


def number(value: float | str | None) -> str:
    """Return a figure in four significant digits; one that is spelled, as `Infinity`, stays so.

    >>> number(0.87123)
    '0.8712'
    """
    if value is None or isinstance(value, str):
        return value or NOTHING
    # As records and pages spell them.
    if math.isnan(value):
        return NAN
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return f"{value:.4g}"


def percent(value: float) -> str:
    """Return a share, 0 to 1, in percent."""
    return f"{value * 100:.3g} %"


def interval(low: float | None, high: float | None) -> str:
    """Return an interval as `[low, high]`, or a dash."""
    if low is None and high is None:
        return NOTHING
    return f"[{number(low)}, {number(high)}]"


def when(us: int | None) -> str:
    """Return a time, in microseconds since 1970, as UTC to the second.

    >>> when(0)
    '1970-01-01 00:00:00Z'
    """
    return NOTHING if us is None else to_datetime(us).strftime("%Y-%m-%d %H:%M:%SZ")


def duration(us: int | None) -> str:
    """Return how long something took, in one or two units.

    >>> duration(200_000_000)
    '3 min 20 s'
    """
    if us is None:
        return NOTHING
    if us < 1000:
        return f"{us} µs"
    if us < _US_PER_S:
        return f"{us / 1000:.3g} ms"
    if us < 60 * _US_PER_S:
        return f"{us / _US_PER_S:.1f} s"
    seconds = us // _US_PER_S
    for unit_s, unit, part_s, part in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if seconds >= unit_s:
            rest = seconds % unit_s // part_s
            return f"{seconds // unit_s} {unit}" + (f" {rest} {part}" if rest else "")
    raise AssertionError("a minute or more has a unit")


def size(count_bytes: int) -> str:
    """Return a number of bytes in decimal units.

    >>> size(1_234_000)
    '1.2 MB'
    """
    if count_bytes < 1000:
        return f"{count_bytes} B"
    value = float(count_bytes)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} TB"


def counted(count: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun, `1 row` or `2 rows`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def explained(error: MillwrightError) -> list[str]:
    """Return an error as people read it: what happened, why, and last what to do."""
    lines = [f"error: {error.what}"]
    if error.why:
        lines.append(f"why: {error.why}")
    if error.fix:
        lines.append(f"fix: {error.fix}")
    return lines


def _spelled(value: Cell) -> str:
    if value is None or value == "":
        return NOTHING
    if isinstance(value, float):
        return number(value)
    if isinstance(value, str):
        # What a user gave may hold line ends, or orders to the terminal.
        return "".join(char if char.isprintable() else " " for char in value)
    return str(value)
