"""Trees as the client sees them: the very bytes of the store's, and no way out of a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.artifacts import trees
from millwright.artifacts.paths import parse_artifact_path
from millwright.client.folders import (
    Entry,
    check_path,
    decode_manifest,
    encode_manifest,
    list_files,
)
from millwright.core import canonical
from millwright.core.digest import digest_bytes
from millwright.core.errors import Invalid, NotFound, Unsupported

DIGEST = digest_bytes(b"")
PATHS = st.text(max_size=30) | st.text(alphabet="a./\\ :C\n", max_size=12)


@given(st.sets(st.text(alphabet="abé ", min_size=1).filter(str.strip), min_size=1))
@settings(max_examples=50)
def test_the_manifest_is_that_of_the_store(names: set[str]) -> None:
    mine = [Entry(name, digest_bytes(name.encode()), len(name)) for name in names]
    theirs = trees.make_tree(
        trees.TreeEntry(parse_artifact_path(one.path), one.digest, one.size_bytes) for one in mine
    )
    data = encode_manifest(mine)
    assert data == trees.encode_manifest(theirs.entries)
    assert digest_bytes(data) == theirs.digest
    assert decode_manifest(data) == sorted(mine, key=lambda one: one.path)


@given(PATHS)
@settings(max_examples=300)
def test_no_path_is_taken_that_the_store_would_refuse(text: str) -> None:
    try:
        check_path(text)
    except Invalid:
        return
    assert parse_artifact_path(text) == text


@pytest.mark.parametrize("path", ["model/MLmodel", "a", "a/b c/ü.txt", "..a", "%2e%2e/x"])
def test_plain_paths(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a\\..\\b", "C:/x", "a\0b", ".. /x"]
)
def test_a_server_cannot_have_files_written_elsewhere(path: str) -> None:
    line = {"path": path, "digest": DIGEST, "size": 0}
    with pytest.raises(Invalid, match="cannot be a path"):
        decode_manifest(canonical.encode({"format": 1, "entries": [line]}))


def test_what_is_no_manifest() -> None:
    line = {"path": "a", "digest": DIGEST, "size": 0}
    with pytest.raises(Invalid, match="one path twice"):
        decode_manifest(canonical.encode({"format": 1, "entries": [line, line]}))
    with pytest.raises(Invalid, match="not a folder"):
        decode_manifest(b"weights")
    with pytest.raises(Unsupported, match="format 2"):
        decode_manifest(canonical.encode({"format": 2, "entries": [], "more": 1}))


def test_files_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b").write_bytes(b"")
    (tmp_path / "a").write_bytes(b"")
    assert [name for name, _ in list_files(tmp_path)] == ["a", "sub/b"]
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(Invalid, match="symbolic link"):
        list(list_files(tmp_path))
    with pytest.raises(NotFound):
        list(list_files(tmp_path / "none"))
    with pytest.raises(Invalid, match="not a folder"):
        list(list_files(tmp_path / "a"))
