"""The SQL of datasets and their versions."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from millwright.core.digest import Digest
from millwright.core.errors import Corrupt
from millwright.core.ids import ActorId, DatasetId, DatasetVersionId
from millwright.metadata.database import Reader, Writer
from millwright.records.data import Dataset, DatasetVersion
from millwright.records.schema import TableSchema


class _VersionRow(Struct, frozen=True, kw_only=True):
    id: DatasetVersionId
    name: str
    version: int
    digest: Digest
    format: str
    size_bytes: int
    row_count: int
    schema_json: str
    profile_digest: Digest
    source: str
    actor: ActorId
    created_us: int


_VERSION_COLUMNS = """
    version.id, dataset.name, version.version, version.digest, version.format,
    version.size_bytes, version.row_count, version.schema_json, version.profile_digest,
    version.source, version.actor, version.created_us
    FROM dataset_version version
    JOIN dataset ON dataset.pk = version.dataset_pk
"""


def ensure_dataset(
    tx: Writer, *, project: int, name: str, new_id: DatasetId, now_us: int
) -> tuple[int, DatasetId]:
    """Return the dataset's key and id, having made its row when there was none.

    Until the transaction ends nobody else gets past this for the same dataset, so that its
    versions are counted one by one.
    """
    row = tx.first(
        tuple[int, DatasetId],
        # An update that changes nothing, for the lock that it takes on PostgreSQL.
        """
        INSERT INTO dataset (id, project_id, name, created_us)
        VALUES (:id, :project, :name, :now)
        ON CONFLICT (project_id, name) DO UPDATE SET name = excluded.name
        RETURNING pk, id
        """,
        id=new_id,
        project=project,
        name=name,
        now=now_us,
    )
    assert row is not None, "an upsert returns its row"
    return row


def insert_version(
    tx: Writer, *, project: int, dataset_pk: int, version: DatasetVersion
) -> DatasetVersion:
    """Insert the dataset's next version and return it with its number, which is given here."""
    number = tx.value(
        int,
        "SELECT coalesce(max(version), 0) + 1 FROM dataset_version WHERE dataset_pk = :dataset",
        dataset=dataset_pk,
    )
    assert number is not None, "an aggregate always has a row"
    numbered = msgspec.structs.replace(version, version=number)
    tx.run(
        """
        INSERT INTO dataset_version (id, project_id, dataset_pk, version, digest, format,
            size_bytes, row_count, schema_json, profile_digest, source, actor, created_us)
        VALUES (:id, :project, :dataset, :version, :digest, :format,
            :size_bytes, :row_count, :schema, :profile, :source, :actor, :created)
        """,
        id=numbered.id,
        project=project,
        dataset=dataset_pk,
        version=numbered.version,
        digest=numbered.digest,
        format=numbered.format,
        size_bytes=numbered.size_bytes,
        row_count=numbered.row_count,
        schema=msgspec.json.encode(numbered.schema).decode(),
        profile=numbered.profile_digest,
        source=numbered.source,
        actor=numbered.actor,
        created=numbered.created_us,
    )
    return numbered


def list_datasets(tx: Reader, *, project: int) -> list[Dataset]:
    """Return the project's datasets, by name."""
    return tx.rows(
        Dataset,
        """
        SELECT dataset.id, dataset.name, dataset.created_us, count(version.pk) AS versions
        FROM dataset LEFT JOIN dataset_version version ON version.dataset_pk = dataset.pk
        WHERE dataset.project_id = :project
        GROUP BY dataset.pk, dataset.id, dataset.name, dataset.created_us
        ORDER BY dataset.name
        """,
        project=project,
    )


def list_versions(tx: Reader, *, project: int, name: str) -> list[DatasetVersion]:
    """Return the versions of the dataset, oldest first; none when there is no such dataset."""
    return _versions(
        tx,
        "WHERE dataset.project_id = :project AND dataset.name = :name ORDER BY version.version",
        project=project,
        name=name,
    )


def find_version(tx: Reader, *, project: int, name: str, number: int) -> DatasetVersion | None:
    """Return one version by its number, or None."""
    found = _versions(
        tx,
        """
        WHERE dataset.project_id = :project AND dataset.name = :name
            AND version.version = :number
        """,
        project=project,
        name=name,
        number=number,
    )
    return found[0] if found else None


def find_latest(tx: Reader, *, project: int, name: str) -> DatasetVersion | None:
    """Return the newest version of the dataset, or None."""
    found = _versions(
        tx,
        """
        WHERE dataset.project_id = :project AND dataset.name = :name
        ORDER BY version.version DESC LIMIT 1
        """,
        project=project,
        name=name,
    )
    return found[0] if found else None


def find_by_digest(tx: Reader, *, project: int, name: str, digest: Digest) -> DatasetVersion | None:
    """Return the version of the dataset that holds these bytes, or None."""
    found = _versions(
        tx,
        "WHERE dataset.project_id = :project AND dataset.name = :name AND version.digest = :digest",
        project=project,
        name=name,
        digest=digest,
    )
    return found[0] if found else None


def find_by_id(tx: Reader, *, project: int, low: str, high: str) -> list[DatasetVersion]:
    """Return the first few versions whose ids lie in [low, high]."""
    return _versions(
        tx,
        """
        WHERE version.project_id = :project AND version.id BETWEEN :low AND :high
        ORDER BY version.id LIMIT 3
        """,
        project=project,
        low=low,
        high=high,
    )


def _versions(tx: Reader, where: str, **params: str | int) -> list[DatasetVersion]:
    rows = tx.rows(_VersionRow, f"SELECT {_VERSION_COLUMNS} {where}", **params)
    return [_version(row) for row in rows]


def _version(row: _VersionRow) -> DatasetVersion:
    try:
        schema = msgspec.json.decode(row.schema_json, type=TableSchema)
    except msgspec.DecodeError as error:
        raise Corrupt(
            f"the schema of {row.name}@v{row.version} cannot be read", why=str(error)
        ) from error
    return DatasetVersion(
        id=row.id,
        name=row.name,
        version=row.version,
        digest=row.digest,
        format=row.format,
        size_bytes=row.size_bytes,
        row_count=row.row_count,
        schema=schema,
        profile_digest=row.profile_digest,
        source=row.source,
        actor=row.actor,
        created_us=row.created_us,
    )
