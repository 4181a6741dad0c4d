"""Folders as immutable things: a manifest of paths and digests, stored like any other bytes.

The manifest is canonical JSON with its entries sorted by path, so the digest of a tree depends
on its files' names and bytes alone. Times, owners, modes and empty folders are not kept.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import msgspec

from millwright.artifacts.files import explain, sync_folder
from millwright.artifacts.paths import ArtifactPath, join, parse_artifact_path
from millwright.artifacts.store import ArtifactStore
from millwright.core import canonical
from millwright.core.digest import Digest, digest_bytes, parse_digest
from millwright.core.errors import Conflict, Corrupt, Invalid, NotFound, Unsupported

FORMAT = 1
MAX_MANIFEST_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One file of a tree."""

    path: ArtifactPath
    digest: Digest
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder's content; made by `make_tree`, which sorts and checks the entries."""

    digest: Digest
    """The digest of the manifest, under which it is stored."""
    entries: tuple[TreeEntry, ...]
    """Sorted by path, each path once."""

    @property
    def size_bytes(self) -> int:
        """The bytes of all files together."""
        return sum(entry.size_bytes for entry in self.entries)

    def get(self, path: str) -> TreeEntry:
        """Return the entry at `path`; raises NotFound."""
        for entry in self.entries:
            if entry.path == path:
                return entry
        raise NotFound(f"no file {path[:80]!r} in the tree {self.digest}")


class _Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    path: str
    digest: str
    size: int


class _Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: int
    entries: list[_Line]


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    format: int


def make_tree(entries: Iterable[TreeEntry]) -> Tree:
    """Return the tree of `entries`, in whatever order they come; stores nothing.

    Raises Invalid when a path is given twice, or is a file in one entry and a folder in another.
    """
    ordered = tuple(sorted(entries, key=lambda entry: entry.path))
    for before, after in pairwise(ordered):
        if before.path == after.path:
            raise Invalid(f"{after.path!r} is given twice in one tree")
    files = {entry.path for entry in ordered}
    for entry in ordered:
        for folder in _folders_above(entry.path):
            if folder in files:
                raise Invalid(
                    f"{folder!r} cannot be a file and a folder in one tree",
                    why=f"the tree also holds {entry.path!r}",
                )
    return Tree(digest_bytes(encode_manifest(ordered)), ordered)


def encode_manifest(entries: Iterable[TreeEntry]) -> bytes:
    """Return the manifest of `entries`, which are sorted already, as canonical JSON."""
    lines = [
        {"path": entry.path, "digest": entry.digest, "size": entry.size_bytes} for entry in entries
    ]
    return canonical.encode({"format": FORMAT, "entries": lines})


def put_tree(store: ArtifactStore, content: Path | Mapping[str, bytes | Path]) -> Tree:
    """Store a folder, or files given as relative path -> bytes or file, and return its tree.

    The manifest is stored last: a tree that is there is complete. Raises Invalid, naming it, on
    a path that `parse_artifact_path` refuses, and on a symbolic link or anything else in the
    folder that is neither file nor folder; and NotFound when the folder is not there.
    """
    files = dict(_walk(content)) if isinstance(content, Path) else content
    # Every path is parsed before anything is stored.
    sources = {parse_artifact_path(path): source for path, source in files.items()}
    tree = make_tree(_put_file(store, path, source) for path, source in sources.items())
    store.put_bytes(encode_manifest(tree.entries))
    return tree


def load_tree(store: ArtifactStore, digest: Digest) -> Tree:
    """Return the tree stored under `digest`; its files are not read.

    Raises NotFound, Corrupt when the manifest is damaged, Invalid when the object is no
    manifest, and Unsupported when a later version of Millwright made it.
    """
    if store.size(digest) > MAX_MANIFEST_BYTES:
        raise Invalid(f"{digest} is not a tree", why="it is too long for a manifest")
    data = store.read_bytes(digest)
    try:
        found = msgspec.json.decode(data, type=_Head).format
        if found > FORMAT:
            raise Unsupported(
                f"tree {digest} has format {found}",
                why=f"this version of Millwright reads formats up to {FORMAT}",
                fix="use the version that stored it, or a later one",
            )
        manifest = msgspec.json.decode(data, type=_Manifest)
        tree = make_tree(
            TreeEntry(parse_artifact_path(line.path), parse_digest(line.digest), line.size)
            for line in manifest.entries
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, Invalid) as error:
        raise Invalid(f"{digest} is not a tree", why=str(error)) from error
    # One spelling: whoever wrote other bytes for the same entries did not follow the format.
    if tree.digest != digest or any(entry.size_bytes < 0 for entry in tree.entries):
        raise Invalid(f"{digest} is not a tree", why="it is not a manifest in canonical form")
    return tree


def fetch_tree(store: ArtifactStore, digest: Digest, folder: Path) -> Tree:
    """Write the tree's files to `folder`, all or nothing, each one checked; return the tree.

    The files are written to a folder beside it, which then takes the name; a process killed
    before that leaves it there, as `.<name>.<random>.part`. Raises Conflict when `folder` holds
    something already, and what `load_tree` and `ArtifactStore.fetch` raise.
    """
    tree = load_tree(store, digest)
    _check_free(folder)
    # The name is kept short, since the folder's own may be as long as a name can be.
    aside = folder.parent / f".{folder.name[:64]}.{secrets.token_hex(16)}.part"
    try:
        try:
            aside.mkdir()
            for entry in tree.entries:
                join(aside, entry.path).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain(error, f"cannot write to {folder}") from error
        for entry in tree.entries:
            _fetch_file(store, entry, join(aside, entry.path))
        _publish(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return tree


def _folders_above(path: str) -> Iterator[str]:
    end = path.find("/")
    while end >= 0:
        yield path[:end]
        end = path.find("/", end + 1)


def _walk(folder: Path, above: str = "") -> Iterator[tuple[str, Path]]:
    """Iterate over the folder's files as (path in the tree, file), refusing what is no file."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            path = above + entry.name
            # Between this look and the reading of the file somebody who may write to the
            # folder can still swap a link in; such a person could as well copy the bytes.
            if entry.is_symlink():
                raise Invalid(
                    f"{entry.path} is a symbolic link, which a tree cannot hold",
                    why="what it points at may lie outside the folder, or change",
                    fix="put the file itself in its place, or leave it out",
                )
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path), f"{path}/")
            elif entry.is_file(follow_symlinks=False):
                yield path, Path(entry.path)
            else:
                raise Invalid(f"{entry.path} is neither a file nor a folder")
    except FileNotFoundError as error:
        raise NotFound(f"there is no folder {folder}") from error
    except NotADirectoryError as error:
        raise Invalid(f"{folder} is not a folder") from error
    except OSError as error:
        raise explain(error, f"cannot read {folder}") from error


def _put_file(store: ArtifactStore, path: ArtifactPath, source: bytes | Path) -> TreeEntry:
    if isinstance(source, bytes):
        return TreeEntry(path, store.put_bytes(source), len(source))
    blob = store.put_file(source)
    return TreeEntry(path, blob.digest, blob.size_bytes)


def _check_free(folder: Path) -> None:
    try:
        taken = folder.is_symlink() or (
            folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))
        )
    except OSError as error:
        raise explain(error, f"cannot write to {folder}") from error
    if taken:
        raise _taken(folder)


def _fetch_file(store: ArtifactStore, entry: TreeEntry, target: Path) -> None:
    blob = store.fetch(entry.digest, target)
    if blob.size_bytes != entry.size_bytes:
        raise Corrupt(
            f"the manifest and the file {entry.path!r} do not agree",
            why=f"it says {entry.size_bytes} bytes; {entry.digest} has {blob.size_bytes}",
            fix="store the folder again",
        )


def _publish(aside: Path, folder: Path) -> None:
    try:
        # `fetch` made the files' names durable; these are the names of the folders.
        for inner, _, _ in os.walk(aside):
            sync_folder(Path(inner))
        # Takes the place of an empty folder, and of nothing else.
        aside.rename(folder)
        sync_folder(folder.parent)
    except (FileExistsError, NotADirectoryError) as error:
        raise _taken(folder) from error
    except OSError as error:
        if folder.is_dir() and any(folder.iterdir()):
            raise _taken(folder) from error
        raise explain(error, f"cannot write to {folder}") from error


def _taken(folder: Path) -> Conflict:
    return Conflict(
        f"{folder} is in use",
        why="it is not an empty folder, and nothing in it is overwritten",
        fix="name a folder that is empty or does not exist",
    )
