"""What can be known of a logged value at the call: keys, texts and numbers that can never be.

The server checks the same; but by then the call that was wrong is long over.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from millwright.core.errors import Invalid, NotFound

T = TypeVar("T")

MAX_KEY_CHARS = 250
MAX_VALUE_CHARS = 8000
MAX_STEP = 2**63 - 1


def check_key(noun: str, key: str) -> str:
    """Return `key`, as an exact text, when it can name a parameter, metric or tag.

    Raises Invalid where it cannot.
    """
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY_CHARS or not key.isprintable():  # pyright: ignore[reportUnnecessaryIsInstance]
        raise Invalid(
            f"{str(key)[:80]!r} cannot be the name of a {noun}",
            why=f"it has 1 to {MAX_KEY_CHARS} printable characters",
        ) from None
    return exact(key)


def exact(text: str) -> str:
    """Return a text as no subclass of `str`, such as NumPy's, which nothing can encode."""
    return str.__str__(text)


def check_named(nouns: str, values: Mapping[str, T]) -> Mapping[str, T]:
    """Return `values` when it is a mapping from names; raises Invalid."""
    if not isinstance(values, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise Invalid(
            f"these are no {nouns}: {values!r:.80}",
            why=f"it is a {type(values).__name__}",
            fix='give a mapping from names: {"name": value}',
        )
    return values


def files_in(folder: Path) -> dict[str, Path]:
    """Return what lies in a folder by name; raises NotFound where there is none."""
    if not folder.is_dir():
        raise NotFound(f"there is no folder {folder}", fix="for a file there is log_artifact")
    return {one.name: one for one in sorted(folder.iterdir())}


def texts_of(noun: str, values: Mapping[str, object]) -> dict[str, str]:
    """Return values as the texts that are kept; raises Invalid."""
    return {
        check_key(noun, key): text_of(noun, key, value)
        for key, value in check_named(f"{noun}s", values).items()
    }


def text_of(noun: str, key: str, value: object) -> str:
    """Return a value as the text that is kept; raises Invalid for a long one."""
    text = unicode_of(str(value))
    if len(text) > MAX_VALUE_CHARS:
        raise Invalid(
            f"{noun} {key!r} has {len(text)} characters; {MAX_VALUE_CHARS} are allowed",
            fix="log long text as an artifact: log_text",
        )
    return text


def unicode_of(text: str) -> str:
    """Return a text with what none can hold spelled out: halves of surrogate pairs, and NUL.

    Python makes such halves of the bytes in a file's name or an argument that are no UTF-8.
    """
    if text.isascii() and "\0" not in text:
        return exact(text)
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def number_of(key: str, value: object) -> float:
    """Return the value of a metric as a float; raises Invalid for what is no single number."""
    try:
        return float(value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError, OverflowError) as error:
        raise Invalid(
            f"the value of metric {key!r} is no number: {value!r:.80}", why=str(error)
        ) from error


def step_of(key: str, step: object) -> int:
    """Return the step of a metric as a whole number of 64 bits; raises Invalid."""
    try:
        whole = int(step)  # pyright: ignore[reportArgumentType, reportUnknownVariableType, reportCallIssue]
    except (TypeError, ValueError, OverflowError) as error:
        raise Invalid(f"the step of metric {key!r} is no whole number: {step!r:.80}") from error
    if whole != step and not isinstance(step, str):
        raise Invalid(f"the step of metric {key!r} is no whole number: {step!r:.80}")
    if not -MAX_STEP <= whole <= MAX_STEP:
        raise Invalid(f"the step of metric {key!r} is beyond 64 bits: {whole}")
    return whole
