"""Folders as trees, seen from the client: the manifest's bytes, and paths that stay inside.

The manifest is the format of `artifacts.trees`, told again here because a client knows nothing
of the rooms that hold the store; a test holds the two equal. What a server sends is not
trusted: a path that would leave the folder is refused before a file is written.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from millwright.core import canonical
from millwright.core.digest import Digest, parse_digest
from millwright.core.errors import Invalid, NotFound, Unsupported

FORMAT = 1
MAX_PATH_BYTES = 1024
_DRIVE = re.compile(r"[A-Za-z]:")
_FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a folder."""

    path: str
    digest: Digest
    size_bytes: int


class _Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    path: str
    digest: str
    size: int


class _Manifest(msgspec.Struct, frozen=True, kw_only=True):
    format: int
    entries: list[_Line]


def encode_manifest(entries: Iterable[Entry]) -> bytes:
    """Return the manifest of `entries`, sorted by path, as canonical JSON."""
    lines = [
        {"path": entry.path, "digest": entry.digest, "size": entry.size_bytes}
        for entry in sorted(entries, key=lambda entry: entry.path)
    ]
    return canonical.encode({"format": FORMAT, "entries": lines})


def decode_manifest(data: bytes) -> list[Entry]:
    """Return the entries of a manifest that a server sent.

    Raises Invalid when it is none, or names a path outside the folder or one path twice, and
    Unsupported when a later version made it.
    """
    try:
        manifest = msgspec.json.decode(data, type=_Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid("the artifact is not a folder", why=str(error)) from error
    if manifest.format > FORMAT:
        raise Unsupported(
            f"the folder is stored in format {manifest.format}",
            why=f"this version of Millwright reads formats up to {FORMAT}",
            fix="use a later one",
        )
    entries = [
        Entry(check_path(line.path), parse_digest(line.digest), line.size)
        for line in manifest.entries
    ]
    if len({entry.path for entry in entries}) != len(entries):
        raise Invalid("the artifact is not a folder", why="it names one path twice")
    return entries


def list_files(folder: Path, above: str = "") -> Iterator[tuple[str, Path]]:
    """Iterate over a folder's files as (path in the tree, file).

    Raises NotFound when it is not there, and Invalid, naming it, on a symbolic link or anything
    else that is neither file nor folder.
    """
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except FileNotFoundError as error:
        raise NotFound(f"there is no folder {folder}") from error
    except NotADirectoryError as error:
        raise Invalid(f"{folder} is not a folder") from error
    for entry in entries:
        path = above + entry.name
        if entry.is_symlink():
            raise Invalid(
                f"{entry.path} is a symbolic link, which a tree cannot hold",
                fix="put the file itself in its place, or leave it out",
            )
        if entry.is_dir(follow_symlinks=False):
            yield from list_files(Path(entry.path), f"{path}/")
        elif entry.is_file(follow_symlinks=False):
            yield check_path(path), Path(entry.path)
        else:
            raise Invalid(f"{entry.path} is neither a file nor a folder")


def check_path(text: str) -> str:
    """Return `text` when it is a relative path that stays below the folder; raises Invalid."""
    parts = text.split("/")
    bad = (
        not text.isprintable()
        and any(unicodedata.category(char) in _FORBIDDEN_CATEGORIES for char in text)
    ) or any(not part.strip(". ") or _DRIVE.match(part) for part in parts)
    if bad or "\\" in text or len(text.encode("utf-8", "surrogatepass")) > MAX_PATH_BYTES:
        raise Invalid(
            f"{text[:80]!r} cannot be a path in a tree",
            why="it is not relative and plain UTF-8, or climbs out of the folder",
            fix="call it otherwise",
        )
    return text
