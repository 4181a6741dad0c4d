"""The SQL of names for stored bytes: files in folders, as clients that think in paths see them."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from millwright.core.digest import Digest
from millwright.metadata.database import Reader, Writer

# The character behind "/": what begins with "folder/" sorts before "folder0".
_BEHIND_SLASH = "0"


class FileRow(Struct, frozen=True, kw_only=True):
    """One file of a folder."""

    name: str
    digest: Digest
    size_bytes: int


def put_files(
    tx: Writer, *, project: int, files: Sequence[tuple[str, str, Digest, int]], now_us: int
) -> None:
    """Give bytes the name (folder, name, digest, size), in place of what had it."""
    tx.run_many(
        """
        INSERT INTO artifact_file (project_id, folder, name, digest, size_bytes, created_us)
        VALUES (:project, :folder, :name, :digest, :size, :now)
        ON CONFLICT (project_id, folder, name) DO UPDATE SET digest = excluded.digest,
            size_bytes = excluded.size_bytes, created_us = excluded.created_us
        """,
        [
            {
                "project": project,
                "folder": folder,
                "name": name,
                "digest": digest,
                "size": size_bytes,
                "now": now_us,
            }
            for folder, name, digest, size_bytes in files
        ],
    )


def find_file(tx: Reader, *, project: int, folder: str, name: str) -> FileRow | None:
    """Return the file of that name."""
    return tx.first(
        FileRow,
        "SELECT name, digest, size_bytes FROM artifact_file "
        "WHERE project_id = :project AND folder = :folder AND name = :name",
        project=project,
        folder=folder,
        name=name,
    )


def list_files(tx: Reader, *, project: int, folder: str) -> list[FileRow]:
    """Return the files that lie in a folder itself, by name."""
    return tx.rows(
        FileRow,
        "SELECT name, digest, size_bytes FROM artifact_file "
        "WHERE project_id = :project AND folder = :folder ORDER BY name",
        project=project,
        folder=folder,
    )


def list_folders(tx: Reader, *, project: int, folder: str) -> list[str]:
    """Return the names of the folders in a folder; two looks in the index for each of them."""
    prefix = f"{folder}/" if folder else ""
    below = " AND folder < :high" if folder else ""
    high = {"high": f"{folder}{_BEHIND_SLASH}"} if folder else {}
    names: list[str] = []
    seen: set[str] = set()
    low, way = prefix, ">=" if folder else ">"
    while True:
        found = tx.value(
            str,
            f"SELECT folder FROM artifact_file WHERE project_id = :project AND folder {way} :low"
            f"{below} ORDER BY folder LIMIT 1",
            project=project,
            low=low,
            **high,
        )
        if found is None:
            return names
        name = found[len(prefix) :].partition("/")[0]
        if name in seen:
            # Past all that lies in it; names such as `b-c` stand between `b` and `b/d`.
            low, way = f"{prefix}{name}{_BEHIND_SLASH}", ">="
        else:
            seen.add(name)
            names.append(name)
            low, way = found, ">"


def list_below(tx: Reader, *, project: int, folder: str) -> list[tuple[str, FileRow]]:
    """Return every file in a folder and the folders below it, with its own folder."""
    rows = tx.rows(
        tuple[str, str, Digest, int],
        "SELECT folder, name, digest, size_bytes FROM artifact_file "
        # The outer bounds say nothing new, and have SQLite read that range of the index alone.
        "WHERE project_id = :project AND folder >= :folder AND folder < :high "
        "AND (folder = :folder OR folder >= :low) ORDER BY folder, name",
        project=project,
        folder=folder,
        low=f"{folder}/",
        high=f"{folder}{_BEHIND_SLASH}",
    )
    return [
        (place, FileRow(name=name, digest=digest, size_bytes=size))
        for place, name, digest, size in rows
    ]


def delete_file(tx: Writer, *, project: int, folder: str, name: str) -> int:
    """Take a file's name away; return how many there were."""
    return tx.run(
        "DELETE FROM artifact_file "
        "WHERE project_id = :project AND folder = :folder AND name = :name",
        project=project,
        folder=folder,
        name=name,
    )


def delete_below(tx: Writer, *, project: int, folder: str) -> int:
    """Take the names of all files in and below a folder away; return how many there were."""
    return tx.run(
        "DELETE FROM artifact_file WHERE project_id = :project AND (folder = :folder "
        "OR (folder >= :low AND folder < :high))",
        project=project,
        folder=folder,
        low=f"{folder}/",
        high=f"{folder}{_BEHIND_SLASH}",
    )
