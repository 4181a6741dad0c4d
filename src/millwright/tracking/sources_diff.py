"""Source files of two runs held against each other, as unified diffs of what changed."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping

from millwright.core.digest import Digest
from millwright.records.comparisons import FileChange, FileChangeKind

MAX_DIFF_CHARS = 500_000
"""All diffs of one pair together; what would go beyond is named without its lines."""
MAX_FILE_BYTES = 1 << 20
"""Longer files are not read: quadratic time would be spent on what nobody reads."""
MAX_LINES = 5_000
CONTEXT_LINES = 3


def diff_sources(
    base: Mapping[str, Digest],
    other: Mapping[str, Digest],
    read: Callable[[Digest], bytes],
) -> tuple[list[FileChange], bool]:
    """Return the files, by path, that are not the same in both, and whether all diffs are there.

    Only files with other digests are read.
    """
    left = MAX_DIFF_CHARS
    is_whole = True
    found: list[FileChange] = []
    for path in sorted(base.keys() | other.keys()):
        before, after = base.get(path), other.get(path)
        if before == after:
            continue
        kind: FileChangeKind = (
            "added" if before is None else "removed" if after is None else "changed"
        )
        diff = ""
        if left > 0:
            sides = [b"" if one is None else read(one) for one in (before, after)]
            made = diff_texts(path, *sides)
            if made is None:
                is_whole = is_whole and not all(_is_text(one) for one in sides)
            elif len(made) <= left:
                diff = made
            else:
                left, is_whole = 0, False
            left -= len(diff)
        else:
            is_whole = False
        found.append(FileChange(path=path, change=kind, diff=diff))
    return found, is_whole


def diff_texts(path: str, before: bytes, after: bytes) -> str | None:
    r"""Return a unified diff of two contents of a file; None where one is no text, or too long.

    >>> print(diff_texts("a.py", b"x = 1\n", b"x = 2\n"), end="")
    --- a/a.py
    +++ b/a.py
    @@ -1 +1 @@
    -x = 1
    +x = 2
    """
    texts = [_text(one) for one in (before, after)]
    if texts[0] is None or texts[1] is None:
        return None
    lines = [text.splitlines(keepends=True) for text in texts if text is not None]
    if any(len(one) > MAX_LINES for one in lines):
        return None
    made = difflib.unified_diff(
        lines[0],
        lines[1],
        fromfile=f"a/{path}" if before else "/dev/null",
        tofile=f"b/{path}" if after else "/dev/null",
        n=CONTEXT_LINES,
    )
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in made
    )


def _text(data: bytes) -> str | None:
    if len(data) > MAX_FILE_BYTES or b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _is_text(data: bytes) -> bool:
    return not data or _text(data) is not None or len(data) > MAX_FILE_BYTES
