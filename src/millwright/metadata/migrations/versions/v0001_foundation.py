"""Home, access, journal, jobs.

Conventions: `pk` is the integer key that tables join on; `id` is the public id (prefix and
UUIDv7); `*_us` is microseconds since 1970 UTC; `*_json` is JSON text. Everything that can be
named carries `project_id`, the key of its project.
"""

from __future__ import annotations

from millwright.metadata.migrations.tables import create

revision = "0001"
down_revision = None

TABLES = (
    """
    CREATE TABLE home (
        one {int} PRIMARY KEY CHECK (one = 1),
        id TEXT NOT NULL,
        created_us {int} NOT NULL
    ) {strict}
    """,
    """
    CREATE TABLE project (
        pk {pk},
        id TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL UNIQUE,
        created_us {int} NOT NULL
    ) {strict}
    """,
    """
    CREATE TABLE actor (
        pk {pk},
        id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL CHECK (kind IN ('person', 'service', 'rule')),
        name TEXT NOT NULL UNIQUE,
        created_us {int} NOT NULL,
        disabled_us {int}
    ) {strict}
    """,
    # project_id 0 stands for every project of the home.
    """
    CREATE TABLE role_grant (
        actor_pk {int} NOT NULL REFERENCES actor (pk),
        project_id {int} NOT NULL,
        role TEXT NOT NULL,
        granted_us {int} NOT NULL,
        PRIMARY KEY (actor_pk, project_id, role)
    ) {rowless}
    """,
    """
    CREATE TABLE token (
        pk {pk},
        id TEXT NOT NULL UNIQUE,
        actor_pk {int} NOT NULL REFERENCES actor (pk),
        project_id {int} NOT NULL,
        name TEXT NOT NULL,
        secret_sha256 {bytes} NOT NULL UNIQUE,
        scopes_json TEXT NOT NULL,
        created_us {int} NOT NULL,
        expires_us {int} NOT NULL,
        revoked_us {int},
        last_used_us {int}
    ) {strict}
    """,
    # place: where the event stands in the tree; NULL until it is given one, then never changed.
    """
    CREATE TABLE event (
        pk {serial},
        id TEXT NOT NULL UNIQUE,
        place {int} UNIQUE,
        project_id {int} NOT NULL,
        kind TEXT NOT NULL,
        actor TEXT NOT NULL,
        time_us {int} NOT NULL,
        leaf {bytes} NOT NULL,
        leaf_hash {bytes} NOT NULL
    ) {strict}
    """,
    "CREATE INDEX event_unplaced ON event (pk) WHERE place IS NULL",
    "CREATE INDEX event_by_kind ON event (project_id, kind, place)",
    """
    CREATE TABLE event_detail (
        event_pk {int} PRIMARY KEY REFERENCES event (pk),
        salt {bytes},
        body {bytes},
        erased_us {int}
    ) {strict}
    """,
    """
    CREATE TABLE event_subject (
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        event_pk {int} NOT NULL REFERENCES event (pk),
        PRIMARY KEY (kind, id, event_pk)
    ) {rowless}
    """,
    # Full tiles only, 256 hashes each; they never change. root: the hash over the tile.
    """
    CREATE TABLE journal_tile (
        level {int} NOT NULL,
        idx {int} NOT NULL,
        hashes {bytes} NOT NULL,
        root {bytes} NOT NULL,
        PRIMARY KEY (level, idx)
    ) {strict}
    """,
    # The leaf hashes after the last full tile. Kept apart from the events, so that an event
    # moved, swapped or rewritten there is found at its very place.
    """
    CREATE TABLE journal_tail (
        place {int} PRIMARY KEY,
        hash {bytes} NOT NULL
    ) {strict}
    """,
    # frontier: the roots of the complete subtrees, largest first, 32 bytes each.
    """
    CREATE TABLE journal_head (
        one {int} PRIMARY KEY CHECK (one = 1),
        size {int} NOT NULL,
        frontier {bytes} NOT NULL
    ) {strict}
    """,
    """
    CREATE TABLE journal_checkpoint (
        size {int} PRIMARY KEY,
        note TEXT NOT NULL,
        signed_us {int} NOT NULL
    ) {strict}
    """,
    """
    CREATE TABLE journal_follower (
        name TEXT PRIMARY KEY,
        next_place {int} NOT NULL
    ) {rowless}
    """,
    # key: an idempotency key; the same key is the same job, whoever asks and however often.
    # fence: raised at each claim; what a former owner reports under an old fence is refused.
    """
    CREATE TABLE job (
        pk {serial},
        id TEXT NOT NULL UNIQUE,
        project_id {int} NOT NULL,
        queue TEXT NOT NULL,
        kind TEXT NOT NULL,
        key TEXT,
        args_json TEXT NOT NULL,
        state TEXT NOT NULL
            CHECK (state IN ('queued', 'running', 'finished', 'failed', 'cancelled')),
        priority {int} NOT NULL,
        run_at_us {int} NOT NULL,
        attempt {int} NOT NULL,
        max_attempts {int} NOT NULL,
        owner TEXT,
        fence {int} NOT NULL,
        lease_until_us {int},
        actor TEXT NOT NULL,
        cause TEXT,
        request TEXT,
        reason TEXT NOT NULL,
        result_json TEXT,
        error_json TEXT,
        created_us {int} NOT NULL,
        finished_us {int}
    ) {strict}
    """,
    "CREATE UNIQUE INDEX job_key ON job (project_id, key) WHERE key IS NOT NULL",
    "CREATE INDEX job_waiting ON job (queue, priority, run_at_us, pk) WHERE state = 'queued'",
    "CREATE INDEX job_leased ON job (lease_until_us) WHERE state = 'running'",
    """
    CREATE TABLE job_step (
        job_pk {int} NOT NULL REFERENCES job (pk),
        name TEXT NOT NULL,
        result_json TEXT NOT NULL,
        finished_us {int} NOT NULL,
        PRIMARY KEY (job_pk, name)
    ) {rowless}
    """,
)


def upgrade() -> None:
    """Create the foundation's tables."""
    create(TABLES)
