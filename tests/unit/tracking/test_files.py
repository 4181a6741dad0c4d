from __future__ import annotations

import pytest

from fixtures.tracked import Tracked, tracked_in
from millwright.artifacts.store import ArtifactStore
from millwright.artifacts.trees import load_tree
from millwright.core.digest import digest_bytes
from millwright.core.errors import Invalid, NotFound
from millwright.metadata.database import Database
from millwright.records.runs import ArtifactEntry, ArtifactFile
from millwright.testing.artifacts import MemoryBackend
from millwright.tracking.files import Files


@pytest.fixture
def tracked(database: Database) -> Tracked:
    return tracked_in(database)


@pytest.fixture
def store() -> ArtifactStore:
    return ArtifactStore(MemoryBackend())


@pytest.fixture
def files(database: Database, store: ArtifactStore, tracked: Tracked) -> Files:
    return Files(database, store, tracked.journal, tracked.clock)


def named(store: ArtifactStore, path: str, data: bytes) -> ArtifactFile:
    return ArtifactFile(path=path, digest=store.put_bytes(data), size_bytes=len(data))


def test_folders_are_seen_as_one_who_thinks_in_paths_expects(
    files: Files, store: ArtifactStore, tracked: Tracked
) -> None:
    paths = ["a/b/1.txt", "a/b/2.txt", "a/b.txt", "a/b-c/x", "a/bé/y", "top", "ab/z", "a/b/d/e/f"]
    files.put(tracked.act, [named(store, path, path.encode()) for path in paths])

    def seen(folder: str) -> list[str]:
        entries = files.list(tracked.key, folder)
        return [one.path + ("/" if one.digest is None else "") for one in entries]

    assert seen("") == ["a/", "ab/", "top"]
    assert seen("a") == ["a/b/", "a/b-c/", "a/b.txt", "a/bé/"]
    assert seen("a/b") == ["a/b/1.txt", "a/b/2.txt", "a/b/d/"]
    assert seen("nowhere") == []
    assert files.list_below(tracked.key, "a/b", "d") == [ArtifactEntry(path="d/e")]
    assert files.get(tracked.key, "a/b/1.txt").size_bytes == len("a/b/1.txt")
    tree = files.tree(tracked.key, "a/b")
    assert [entry.path for entry in load_tree(store, tree.digest).entries] == [
        "1.txt",
        "2.txt",
        "d/e/f",
    ]


def test_a_name_moves_to_other_bytes_and_can_be_taken_away(
    files: Files, store: ArtifactStore, tracked: Tracked
) -> None:
    files.put(tracked.act, [named(store, "a/x", b"1"), named(store, "a/y/z", b"2")])
    files.put(tracked.act, [named(store, "a/x", b"three")])
    assert files.get(tracked.key, "a/x").size_bytes == 5
    assert files.delete(tracked.act, "a/x") == 1
    assert files.find(tracked.key, "a/x") is None
    assert files.delete(tracked.act, "a") == 1
    assert files.delete(tracked.act, "a") == 0
    with pytest.raises(NotFound):
        files.tree(tracked.key, "a")


@pytest.mark.parametrize("path", ["../x", "/x", "a//b", "a/../b", "a\\b", "", "C:x", "a/\x00"])
def test_a_path_that_leads_elsewhere_is_refused(
    files: Files, store: ArtifactStore, tracked: Tracked, path: str
) -> None:
    with pytest.raises(Invalid):
        files.put(tracked.act, [named(store, path, b"x")])
    with pytest.raises(Invalid):
        files.put_below(tracked.act, "1/run/artifacts", [named(store, path, b"x")])


def test_all_of_them_get_their_names_or_none(
    files: Files, store: ArtifactStore, tracked: Tracked
) -> None:
    good = named(store, "a/x", b"1")
    for bad in (
        ArtifactFile(path="a/y", digest=digest_bytes(b"never stored"), size_bytes=12),
        ArtifactFile(path="a/y", digest=good.digest, size_bytes=7),
    ):
        with pytest.raises((Invalid, NotFound)):
            files.put(tracked.act, [good, bad])
    assert files.list(tracked.key, "a") == []


@pytest.mark.parametrize(
    ("before", "paths", "words"),
    [
        ([], ["a", "a/b"], "'a' cannot be a file"),
        (["a/b/c"], ["a/b"], "'a/b' cannot be a file"),
        (["a"], ["a/b/c"], "'a' cannot be a folder"),
    ],
)
def test_no_name_is_both_a_file_and_a_folder(
    files: Files,
    store: ArtifactStore,
    tracked: Tracked,
    before: list[str],
    paths: list[str],
    words: str,
) -> None:
    files.put(tracked.act, [named(store, path, b"x") for path in before])
    with pytest.raises(Invalid, match=words):
        files.put(tracked.act, [named(store, path, b"y") for path in [*paths, "z"]])
    assert files.find(tracked.key, "z") is None
    files.put(tracked.act, [named(store, path, b"x") for path in ["ab", "a-b", "a.b/c"]])


def test_projects_do_not_see_each_others_names(
    files: Files, store: ArtifactStore, tracked: Tracked, database: Database
) -> None:
    other = tracked_in(database, "other")
    files.put(tracked.act, [named(store, "a/x", b"1")])
    assert files.list(other.key, "") == []
    with pytest.raises(NotFound):
        files.get(other.key, "a/x")
