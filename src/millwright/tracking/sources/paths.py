"""Foreign names as paths: what a store calls a thing, made a path that stays inside a folder.

A tag of TensorBoard may hold anything, and a folder that was copied from elsewhere may hold
links that lead out of it. Neither may decide where we read or write.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from millwright.artifacts.paths import MAX_PATH_BYTES, parse_artifact_path
from millwright.core.digest import digest_bytes
from millwright.core.errors import Invalid, NotFound
from millwright.tracking.sources.found import FoundFile, Unread

_DRIVE = re.compile(r"[A-Za-z]:")
_MAX_PART_BYTES = 120
_FORBIDDEN = frozenset({"Cc", "Cs", "Cn", "Zl", "Zp"})


def as_path(name: str) -> str:
    """Return a name as a path of plain parts; what a path cannot hold is percent-encoded.

    >>> as_path("loss/../train: mean")
    'loss/%2E%2E/train: mean'
    """
    parts = [_as_part(part) for part in name.split("/") if part]
    return _shortened("/".join(parts), MAX_PATH_BYTES // 2) or "%"


def check_folder(folder: Path, what: str) -> Path:
    """Return the folder, resolved; raises NotFound and Invalid, saying `what` was looked for."""
    if not folder.exists():
        raise NotFound(f"there is no {what} at {folder}")
    if not folder.is_dir():
        raise Invalid(f"{folder} is no {what}: it is not a folder")
    return folder.resolve()


def list_files(
    folder: Path, *, above: str = "", within: Path | None = None, follow_links: bool = False
) -> Iterator[FoundFile | Unread]:
    """Iterate over the files below a folder, by name.

    A link to a file inside `within` (the folder itself unless given) counts as the file; one
    that leads out of it is named and not followed, unless `follow_links` says so. Links to
    folders are never followed, for they may go round in a circle.
    """
    root = (within or folder).resolve()
    for path, entry in walk(folder):
        name = above + path
        if not entry.is_symlink():
            if not stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
                yield Unread(where=entry.path, why="it is neither a file nor a folder")
                continue
        elif (refusal := _refusal(Path(entry.path), root, follow_links)) is not None:
            yield Unread(where=entry.path, why=refusal)
            continue
        try:
            parse_artifact_path(name)
        except Invalid as error:
            yield Unread(where=entry.path, why=f"{error.what}: {error.why}")
            continue
        target = Path(entry.path)
        known = target.stat()
        yield FoundFile(
            path=name,
            size_bytes=known.st_size,
            changed_ns=known.st_mtime_ns,
            fetch=lambda _, at=target: at,
        )


def walk(folder: Path, above: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Iterate over all that is no folder below a folder, as (path below it, entry), by name."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        path = above + entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from walk(Path(entry.path), f"{path}/")
        else:
            yield path, entry


def _refusal(link: Path, root: Path, follow_links: bool) -> str | None:
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):
        return "it is a link that leads nowhere"
    if not target.is_file():
        return "it is a link to something that is no file"
    if not follow_links and not target.is_relative_to(root):
        return f"it is a link that leads outside, to {target}"
    return None


def _as_part(part: str) -> str:
    if not part.strip(". "):
        # Folders' own names for themselves, and names that some systems cut off.
        return "".join(f"%{ord(char):02X}" for char in part)
    encoded = "".join(_as_char(char) for char in part)
    if _DRIVE.match(encoded):
        encoded = encoded.replace(":", "%3A", 1)
    return _shortened(encoded, _MAX_PART_BYTES)


def _as_char(char: str) -> str:
    # With the percent sign itself encoded two names never become one path.
    if char in {"\\", "%"} or unicodedata.category(char) in _FORBIDDEN:
        return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))
    return char


def _shortened(text: str, most_bytes: int) -> str:
    data = text.encode()
    if len(data) <= most_bytes:
        return text
    # Two long names that begin alike stay two.
    kept = data[: most_bytes - 20].decode("utf-8", "ignore").rstrip("/")
    return f"{kept}-{digest_bytes(data)[3:19]}"
