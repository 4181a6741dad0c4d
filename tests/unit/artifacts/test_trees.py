import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from millwright.artifacts.backends.local import LocalBackend
from millwright.artifacts.paths import ArtifactPath
from millwright.artifacts.store import ArtifactStore, key_of
from millwright.artifacts.trees import (
    TreeEntry,
    encode_manifest,
    fetch_tree,
    load_tree,
    make_tree,
    put_tree,
)
from millwright.core.digest import digest_bytes
from millwright.core.errors import (
    Conflict,
    Corrupt,
    Failed,
    Invalid,
    MillwrightError,
    NotFound,
    Unsupported,
)
from millwright.testing.artifacts import MemoryBackend

FILES = {"MLmodel": b"flavors:\n", "model/data.bin": b"\0" * 1000, "model/empty": b""}

paths = st.lists(st.sampled_from(["a", "b", "a-", "é", "%2e"]), min_size=1, max_size=3).map(
    "/".join
)
file_sets = st.dictionaries(paths, st.binary(max_size=4), max_size=6).filter(
    lambda files: (
        not any(one.startswith(f"{other}/") for one in files for other in files if one != other)
    )
)


@pytest.fixture
def store() -> ArtifactStore:
    return ArtifactStore(MemoryBackend())


def _fill(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def _content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_folder_and_its_files_give_the_same_tree(store: ArtifactStore, tmp_path: Path) -> None:
    folder = _fill(tmp_path / "model", FILES)
    tree = put_tree(store, folder)
    assert put_tree(store, FILES) == tree
    assert put_tree(store, {path: folder / path for path in FILES}) == tree
    assert [entry.path for entry in tree.entries] == ["MLmodel", "model/data.bin", "model/empty"]
    assert tree.size_bytes == 1009
    assert tree.get("MLmodel") == TreeEntry(ArtifactPath("MLmodel"), digest_bytes(b"flavors:\n"), 9)
    assert store.read_bytes(tree.get("model/data.bin").digest) == b"\0" * 1000


def test_the_manifest_is_stored_as_written_down(store: ArtifactStore) -> None:
    """These bytes can never change: every stored tree is named by them."""
    tree = put_tree(store, {"b": b"two", "a": b""})
    assert store.read_bytes(tree.digest) == (
        b'{"entries":['
        b'{"digest":"b3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",'
        b'"path":"a","size":0},'
        b'{"digest":"' + digest_bytes(b"two").encode() + b'","path":"b","size":3}],"format":1}'
    )


def test_a_file_that_is_not_in_the_tree_is_not_found(store: ArtifactStore) -> None:
    with pytest.raises(NotFound, match="no file 'model' in the tree"):
        put_tree(store, FILES).get("model")


@given(files=file_sets, chance=st.randoms(use_true_random=False))
def test_the_order_of_files_does_not_matter(files: dict[str, bytes], chance: random.Random) -> None:
    store = ArtifactStore(MemoryBackend())
    tree = put_tree(store, files)
    shuffled = list(tree.entries)
    chance.shuffle(shuffled)
    assert make_tree(shuffled) == tree
    assert load_tree(store, tree.digest) == tree


@given(one=file_sets, other=file_sets)
def test_any_difference_in_names_or_bytes_changes_the_digest(
    one: dict[str, bytes], other: dict[str, bytes]
) -> None:
    assume(one != other)
    store = ArtifactStore(MemoryBackend())
    assert put_tree(store, one).digest != put_tree(store, other).digest


@given(files=file_sets, data=st.data())
def test_a_change_of_one_byte_changes_the_digest(
    files: dict[str, bytes], data: st.DataObject
) -> None:
    full = [path for path, content in files.items() if content]
    assume(full)
    path = data.draw(st.sampled_from(full))
    place = data.draw(st.integers(0, len(files[path]) - 1))
    changed = bytearray(files[path])
    changed[place] ^= 1
    store = ArtifactStore(MemoryBackend())
    assert put_tree(store, files).digest != put_tree(store, {**files, path: bytes(changed)}).digest


@pytest.mark.parametrize("files", [FILES, {}, {"a/b/c/d": b"deep", "a-": b"", "é": b"\n"}])
def test_a_fetched_tree_is_what_was_put(
    store: ArtifactStore, tmp_path: Path, files: dict[str, bytes]
) -> None:
    tree = put_tree(store, files)
    assert fetch_tree(store, tree.digest, tmp_path / "out") == tree
    assert _content(tmp_path / "out") == files
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]
    assert put_tree(store, tmp_path / "out") == tree


def test_an_empty_folder_is_filled(store: ArtifactStore, tmp_path: Path) -> None:
    tree = put_tree(store, FILES)
    (tmp_path / "out").mkdir()
    fetch_tree(store, tree.digest, tmp_path / "out")
    assert _content(tmp_path / "out") == FILES


def test_what_is_there_is_never_overwritten(store: ArtifactStore, tmp_path: Path) -> None:
    tree = put_tree(store, FILES)
    full = _fill(tmp_path / "full", {"mine": b"mine"})
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.iterdir())
    for taken in (full, tmp_path / "file", tmp_path / "link"):
        with pytest.raises(Conflict) as caught:
            fetch_tree(store, tree.digest, taken)
        assert str(caught.value) == (
            f"{taken} is in use\n"
            "it is not an empty folder, and nothing in it is overwritten\n"
            "name a folder that is empty or does not exist"
        )
    assert sorted(tmp_path.iterdir()) == before
    assert _content(full) == {"mine": b"mine"}


def test_a_damaged_file_leaves_no_folder(tmp_path: Path) -> None:
    backend = MemoryBackend()
    store = ArtifactStore(backend)
    tree = put_tree(store, FILES)
    digest = tree.get("model/data.bin").digest
    backend.objects[key_of(digest)] = b"\0" * 999
    with pytest.raises(Corrupt, match=digest):
        fetch_tree(store, tree.digest, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_leaves_no_folder(tmp_path: Path) -> None:
    backend = MemoryBackend()
    store = ArtifactStore(backend)
    tree = put_tree(store, FILES)
    del backend.objects[key_of(tree.get("MLmodel").digest)]
    with pytest.raises(NotFound):
        fetch_tree(store, tree.digest, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    backend = MemoryBackend()
    store = ArtifactStore(backend)
    tree = put_tree(store, FILES)
    backend.objects[key_of(tree.digest)] = backend.objects[key_of(tree.digest)][:-1]
    with pytest.raises(Corrupt, match=tree.digest):
        load_tree(store, tree.digest)


def test_a_missing_parent_folder_fails_by_name(store: ArtifactStore, tmp_path: Path) -> None:
    tree = put_tree(store, FILES)
    with pytest.raises(Failed, match=r"cannot write to .*gone/out"):
        fetch_tree(store, tree.digest, tmp_path / "gone" / "out")


FETCH_AND_DIE = """
import os, signal, sys
from pathlib import Path
from millwright.artifacts.backends.local import LocalBackend
from millwright.artifacts.store import ArtifactStore
from millwright.artifacts.trees import fetch_tree
from millwright.core.digest import parse_digest

class DiesAtTheLastFile(ArtifactStore):
    def fetch(self, digest, target):
        if target.name == "empty":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fetch(digest, target)

store = DiesAtTheLastFile(LocalBackend(sys.argv[1]))
fetch_tree(store, parse_digest(sys.argv[2]), Path(sys.argv[3]))
"""


def test_a_process_killed_while_fetching_leaves_no_half_folder(tmp_path: Path) -> None:
    root = tmp_path / "artifacts"
    root.mkdir()
    store = ArtifactStore(LocalBackend(root))
    tree = put_tree(store, FILES)
    target = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", FETCH_AND_DIE, str(root), tree.digest, str(target)], check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert not target.exists()
    fetch_tree(store, tree.digest, target)
    assert _content(target) == FILES


def test_links_and_pipes_in_a_folder_are_refused_by_name(
    store: ArtifactStore, tmp_path: Path
) -> None:
    secret = _fill(tmp_path / "outside", {"secret": b"secret"})
    for number, target in enumerate([secret, secret / "secret", tmp_path / "nowhere"]):
        folder = _fill(tmp_path / f"with-link-{number}", {"deep/file": b"bytes"})
        link = folder / "deep" / "link"
        link.symlink_to(target)
        with pytest.raises(Invalid) as caught:
            put_tree(store, folder)
        assert caught.value.what == f"{link} is a symbolic link, which a tree cannot hold"
    folder = _fill(tmp_path / "with-pipe", {})
    os.mkfifo(folder / "pipe")
    with pytest.raises(Invalid, match="with-pipe/pipe is neither a file nor a folder"):
        put_tree(store, folder)
    assert list(store.backend.list_keys()) == []


def test_folders_that_are_none(store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotFound, match=r"there is no folder .*gone"):
        put_tree(store, tmp_path / "gone")
    with pytest.raises(Invalid, match=r"file is not a folder"):
        put_tree(store, tmp_path / "file")


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"../up": b""}, "cannot be a path in a tree"),
        ({"a": b"", "a/b": b""}, "'a' cannot be a file and a folder in one tree"),
        ({"a": b"", "a-": b"", "a/b/c": b""}, "'a' cannot be a file and a folder"),
    ],
)
def test_files_that_make_no_folder_are_refused(
    store: ArtifactStore, files: dict[str, bytes], text: str
) -> None:
    with pytest.raises(Invalid, match=text):
        put_tree(store, files)


def test_a_path_given_twice_is_refused() -> None:
    entry = TreeEntry(ArtifactPath("a"), digest_bytes(b""), 0)
    with pytest.raises(Invalid, match="'a' is given twice in one tree"):
        make_tree([entry, entry])


EMPTY = digest_bytes(b"").encode()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", Invalid),
        (b"not json", Invalid),
        (b"\xff", Invalid),
        (b'{"format":1,"entries":[],"x":"\xff"}', Invalid),
        (b'{"a":' * 100_000, Invalid),
        (b"[]", Invalid),
        (b'{"entries":[]}', Invalid),
        (b'{"entries":[],"extra":1,"format":1}', Invalid),
        (b'{"entries":[],"format":0}', Invalid),
        (b'{"format":1,"entries":[]}', Invalid),
        (b'{"entries":[],"format":1}\n', Invalid),
        (b'{"entries":[{"digest":"b3:00","path":"a","size":0}],"format":1}', Invalid),
        (
            b'{"entries":[{"digest":"' + EMPTY + b'","path":"../a","size":0}],"format":1}',
            Invalid,
        ),
        (b'{"entries":[{"digest":"' + EMPTY + b'","path":"a","size":-1}],"format":1}', Invalid),
        (b'{"entries":[{"digest":"' + EMPTY + b'","path":"a","size":1e9}],"format":1}', Invalid),
        (b'{"chunks":[],"format":2}', Unsupported),
    ],
)
def test_a_stored_object_that_is_no_manifest(
    store: ArtifactStore, data: bytes, kind: type[MillwrightError]
) -> None:
    digest = store.put_bytes(data)
    with pytest.raises(kind) as caught:
        load_tree(store, digest)
    assert digest in caught.value.what


def test_a_tree_that_was_never_stored_is_not_found(store: ArtifactStore) -> None:
    with pytest.raises(NotFound):
        load_tree(store, digest_bytes(b"never stored"))


def test_a_manifest_that_lies_about_a_length_is_named(store: ArtifactStore, tmp_path: Path) -> None:
    entry = TreeEntry(ArtifactPath("a"), store.put_bytes(b"four"), 5)
    digest = store.put_bytes(encode_manifest([entry]))
    with pytest.raises(Corrupt, match="the manifest and the file 'a' do not agree"):
        fetch_tree(store, digest, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
