"""References as people write them: `churn`, `churn@v7`, `churn@champion`, `loans@latest`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from millwright.core.errors import Invalid

MAX_NAME_CHARS = 200
MAX_TITLE_CHARS = 500
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_. -]*")
_VERSION = re.compile(r"v(0|[1-9][0-9]{0,17})")
_ALIAS = re.compile(r"(?![vV]?[0-9]+\Z)[\w-]+")

# Nearer than difflib takes: `nope` is no misspelled `income`.
_NEAR = 0.65

LATEST = "latest"


@dataclass(frozen=True, slots=True)
class Ref:
    """A name, and at most one of a version number or an alias."""

    name: str
    version: int | None = None
    alias: str | None = None

    def __str__(self) -> str:
        if self.version is not None:
            return f"{self.name}@v{self.version}"
        return f"{self.name}@{self.alias}" if self.alias else self.name


def parse_ref(text: str) -> Ref:
    """Return what `text` refers to.

    Raises Invalid when the name or what follows `@` could not be one.

    >>> parse_ref("churn@v7")
    Ref(name='churn', version=7, alias=None)
    >>> parse_ref("churn@champion").alias
    'champion'
    """
    name, at, rest = text.partition("@")
    check_model_name(name)
    if not at:
        return Ref(name)
    if matched := _VERSION.fullmatch(rest):
        return Ref(name, version=int(matched[1]))
    return Ref(name, alias=check_alias(rest))


def check_name(text: str, noun: str) -> str:
    """Return `text` when it can name a `noun`; raises Invalid saying what a name may hold."""
    if not text or len(text) > MAX_NAME_CHARS or not _NAME.fullmatch(text) or text != text.strip():
        raise Invalid(
            f"{text[:80]!r} cannot be the name of a {noun}",
            why=f"a name has 1 to {MAX_NAME_CHARS} letters, digits, '_', '-', '.' or spaces, "
            "and begins with a letter or digit",
        )
    return text


def check_model_name(text: str) -> str:
    """Return `text` when it can name a model; raises Invalid.

    Models come from clients that let more through than we do; what is kept out is what would read
    as part of a reference or a path.
    """
    fits = (
        0 < len(text) <= MAX_NAME_CHARS
        and text.isprintable()
        and text == text.strip()
        and not text.startswith((".", "~"))
        and not set(text) & set("/\\:@")
    )
    if not fits:
        raise Invalid(
            f"{text[:80]!r} cannot be the name of a model",
            why=f"a name has 1 to {MAX_NAME_CHARS} printable characters, none of them /, \\, : "
            "or @, and does not begin with '.' or '~'",
        )
    return text


def check_title(text: str, noun: str) -> str:
    """Return `text` when it can be what people call a run or an experiment; raises Invalid.

    Such a name is looked up as it is and never part of a reference or a path, so that it may hold
    whatever can be printed.
    """
    fits = isinstance(text, str) and 0 < len(text) <= MAX_TITLE_CHARS and text.isprintable()  # pyright: ignore[reportUnnecessaryIsInstance]
    if not fits or not text.strip():
        raise Invalid(
            f"{text!r:.80} cannot be the name of a {noun}",
            why=f"a name has 1 to {MAX_TITLE_CHARS} printable characters",
        )
    return text


def parse_version(text: str) -> int:
    """Return the number of a version written `v7` or `7`; raises Invalid."""
    matched = _VERSION.fullmatch(text if text.startswith("v") else f"v{text}")
    if matched is None:
        raise Invalid(f"{text[:80]!r} is not the number of a version", fix="write it as v7")
    return int(matched[1])


def check_alias(text: str) -> str:
    """Return `text` when it can be an alias; `v7` cannot, since it reads as a version."""
    if not _ALIAS.fullmatch(text) or len(text) > MAX_NAME_CHARS:
        raise Invalid(
            f"{text[:80]!r} cannot be an alias",
            why="an alias has letters, digits, '_' or '-', and is no number, with or without a v",
        )
    return text


def did_you_mean(text: str, known: Iterable[str]) -> str:
    """Return a sentence naming the nearest known word, or the empty string when none is near."""
    near = difflib.get_close_matches(text, list(known), n=1, cutoff=_NEAR)
    return f"did you mean {near[0]!r}?" if near else ""
