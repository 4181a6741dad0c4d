"""Paths inside a tree of artifacts: relative, plain, and never above the folder they lie in."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import NewType

from millwright.core.errors import Invalid

ArtifactPath = NewType("ArtifactPath", str)
"""Parts joined by `/`, such as `model/MLmodel`; made by `parse_artifact_path` only."""

MAX_PATH_BYTES = 1024
MAX_PART_BYTES = 255
_DRIVE = re.compile(r"[A-Za-z]:")
# Control characters, halves of surrogate pairs, line and paragraph separators.
_FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


def parse_artifact_path(text: str) -> ArtifactPath:
    r"""Return `text` as a path in a tree, unchanged; raises Invalid with the reason.

    Refused: absolute paths, empty parts, parts of nothing but dots and spaces (`.`, `..`, and
    `.. `, which Windows reads as `..`), backslashes, drive letters, control characters, and more
    than 1024 bytes (255 a part) of UTF-8. Percent signs mean nothing here: `%2e%2e` is a name.

    >>> parse_artifact_path("model/MLmodel")
    'model/MLmodel'
    """
    reason = _fault(text)
    if reason:
        raise Invalid(
            f"{text[:80]!r} cannot be a path in a tree",
            why=reason,
            fix="give a relative path with '/' between its parts, such as model/MLmodel",
        )
    return ArtifactPath(text)


def join(folder: Path, path: ArtifactPath) -> Path:
    """Return where `path` lies below `folder`."""
    return folder.joinpath(*path.split("/"))


def _fault(text: str) -> str:
    if not text:
        return "it is empty"
    for char in text:
        if unicodedata.category(char) in _FORBIDDEN_CATEGORIES:
            return f"it holds the character U+{ord(char):04X}"
    if "\\" in text:
        return "it holds a backslash"
    if text.startswith("/"):
        return "it is absolute"
    if len(text.encode()) > MAX_PATH_BYTES:
        return f"it is longer than {MAX_PATH_BYTES} bytes"
    for part in text.split("/"):
        if not part:
            return "it has an empty part"
        if not part.strip(". "):
            return f"the part {part!r} is no name"
        if _DRIVE.match(part):
            return f"the part {part[:80]!r} begins with a drive letter"
        if len(part.encode()) > MAX_PART_BYTES:
            return f"the part {part[:80]!r} is longer than {MAX_PART_BYTES} bytes"
    return ""
