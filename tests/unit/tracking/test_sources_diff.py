from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millwright.core.digest import Digest, digest_bytes
from millwright.records.comparisons import FileChange
from millwright.tracking import sources_diff
from millwright.tracking.sources_diff import diff_sources, diff_texts

LINES = st.lists(st.sampled_from(["a", "b", "", "x = 1"]), max_size=12).map(
    lambda lines: "\n".join(lines).encode()
)


class Kept:
    """Contents by their digest, and what was read of them."""

    def __init__(self) -> None:
        self.contents: dict[Digest, bytes] = {}
        self.read_digests: list[Digest] = []

    def tree(self, **files: bytes) -> dict[str, Digest]:
        found = {f"{name}.py": digest_bytes(data) for name, data in files.items()}
        self.contents |= {digest_bytes(data): data for data in files.values()}
        return found

    def read(self, digest: Digest) -> bytes:
        self.read_digests.append(digest)
        return self.contents[digest]


def test_files_that_came_went_and_changed() -> None:
    kept = Kept()
    base = kept.tree(same=b"1\n", old=b"gone\n", both=b"x = 1\ny = 2\n")
    other = kept.tree(same=b"1\n", new=b"here\n", both=b"x = 1\ny = 3")
    files, is_whole = diff_sources(base, other, kept.read)
    assert is_whole
    assert files == [
        FileChange(
            path="both.py",
            change="changed",
            diff="--- a/both.py\n+++ b/both.py\n@@ -1,2 +1,2 @@\n x = 1\n-y = 2\n+y = 3\n"
            "\\ No newline at end of file\n",
        ),
        FileChange(
            path="new.py",
            change="added",
            diff="--- /dev/null\n+++ b/new.py\n@@ -0,0 +1 @@\n+here\n",
        ),
        FileChange(
            path="old.py",
            change="removed",
            diff="--- a/old.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-gone\n",
        ),
    ]
    assert base["same.py"] not in kept.read_digests
    assert diff_sources(base, base, kept.read) == ([], True)


def test_what_is_no_text_is_named_only() -> None:
    kept = Kept()
    files, is_whole = diff_sources(
        kept.tree(a=b"\xff\xfe", b=b"x"), kept.tree(a=b"text\n", b=b"a\0b"), kept.read
    )
    assert is_whole
    assert [(one.path, one.diff) for one in files] == [("a.py", ""), ("b.py", "")]


def test_what_grows_too_long_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources_diff, "MAX_DIFF_CHARS", 200)
    kept = Kept()
    long = b"".join(b"line %d\n" % at for at in range(50))
    files, is_whole = diff_sources({}, kept.tree(a=b"x\n", b=long, c=b"y\n"), kept.read)
    assert not is_whole
    assert [bool(one.diff) for one in files] == [True, False, False]
    monkeypatch.setattr(sources_diff, "MAX_LINES", 10)
    assert diff_texts("b.py", b"", long) is None
    assert diff_sources({}, kept.tree(b=long), kept.read)[1] is False


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LINES, LINES)
def test_a_diff_is_a_patch(tmp_path: Path, before: bytes, after: bytes) -> None:
    made = diff_texts("f.py", before, after)
    assert made is not None
    if before == after or not before or not after:
        return
    (tmp_path / "f.py").write_bytes(before)
    subprocess.run(
        ["git", "apply", "--unidiff-zero", "-"], input=made.encode(), cwd=tmp_path, check=True
    )
    assert (tmp_path / "f.py").read_bytes() == after
