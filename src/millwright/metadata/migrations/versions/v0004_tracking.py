"""Tracking and registry grow up: points as a set, logged models, artifacts by path, deletion.

A point of a metric is known by all that it says (key, time, step, value), so that one sent twice
is stored once. `nan` 1 stands for not-a-number, whose `value` is then 0. What was deleted keeps
its row, with `deleted_us`, until it is purged.
"""

from __future__ import annotations

from alembic import op

from millwright.metadata.migrations.tables import create

revision = "0004"
down_revision = "0003"

# Column by column what a version is; once for the table as it becomes on SQLite, which cannot
# drop a constraint, and once to copy it.
_VERSION_COLUMNS = (
    "pk, id, project_id, model_pk, version, digest, package_digest, signature_json, flavors_json, "
    "profile_digest, run_id, actor, created_us"
)

# The same model may be registered twice by a client of MLflow's, which wants a number each time.
DIGEST_MAY_REPEAT = {
    "sqlite": (
        """
        CREATE TABLE model_version_next (
            pk {pk},
            id TEXT NOT NULL UNIQUE,
            project_id {int} NOT NULL REFERENCES project (pk),
            model_pk {int} NOT NULL REFERENCES model (pk),
            version {int} NOT NULL,
            digest TEXT NOT NULL,
            package_digest TEXT NOT NULL,
            signature_json TEXT NOT NULL,
            flavors_json TEXT NOT NULL,
            profile_digest TEXT,
            run_id TEXT,
            actor TEXT NOT NULL,
            created_us {int} NOT NULL,
            UNIQUE (model_pk, version)
        ) {strict}
        """,
        f"""
        INSERT INTO model_version_next ({_VERSION_COLUMNS})
        SELECT {_VERSION_COLUMNS} FROM model_version
        """,
        "DROP TABLE model_version",
        "ALTER TABLE model_version_next RENAME TO model_version",
    ),
    "postgresql": ("ALTER TABLE model_version DROP CONSTRAINT model_version_model_pk_digest_key",),
}

TABLES = (
    # Number 0 belongs to `Default`, as MLflow's clients take for granted.
    """
    UPDATE experiment SET number = (
        SELECT max(other.number) + 1 FROM experiment other
        WHERE other.project_id = experiment.project_id
    ) WHERE number = 0 AND name <> 'Default'
    """,
    """
    UPDATE experiment SET number = 0 WHERE name = 'Default' AND NOT EXISTS (
        SELECT 1 FROM experiment other
        WHERE other.project_id = experiment.project_id AND other.number = 0
    )
    """,
    "ALTER TABLE experiment ADD COLUMN deleted_us {int}",
    "ALTER TABLE experiment ADD COLUMN changed_us {int} NOT NULL DEFAULT 0",
    # Where a client asked for its artifacts to lie; NULL stands for here.
    "ALTER TABLE experiment ADD COLUMN location TEXT",
    "UPDATE experiment SET changed_us = created_us",
    """
    CREATE TABLE experiment_tag (
        experiment_pk {int} NOT NULL REFERENCES experiment (pk),
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (experiment_pk, key)
    ) {rowless}
    """,
    "ALTER TABLE run ADD COLUMN deleted_us {int}",
    # As whom a client says that it works; `actor` is who it was.
    "ALTER TABLE run ADD COLUMN user_name TEXT NOT NULL DEFAULT ''",
    # 1: it waits to be started elsewhere, and has not begun.
    "ALTER TABLE run ADD COLUMN scheduled {int} NOT NULL DEFAULT 0",
    "CREATE INDEX run_by_start ON run (experiment_pk, start_us DESC, id)",
    "CREATE INDEX run_deleted ON run (deleted_us) WHERE deleted_us IS NOT NULL",
    # No foreign keys: a point is written only beside its run's row, a million times as often.
    """
    CREATE TABLE metric_point (
        run_pk {int} NOT NULL,
        key_pk {int} NOT NULL,
        time_us {int} NOT NULL,
        step {int} NOT NULL,
        value {real} NOT NULL,
        nan {int} NOT NULL,
        PRIMARY KEY (run_pk, key_pk, time_us, step, value, nan)
    ) {rowless}
    """,
    """
    INSERT INTO metric_point (run_pk, key_pk, time_us, step, value, nan)
    SELECT run_pk, key_pk, time_us, step, coalesce(value, 0),
        CASE WHEN value IS NULL THEN 1 ELSE 0 END
    FROM run_metric WHERE TRUE ON CONFLICT DO NOTHING
    """,
    # The newest point by step, then time, then value; and the extremes of all that are numbers.
    """
    CREATE TABLE metric_latest (
        run_pk {int} NOT NULL,
        key_pk {int} NOT NULL,
        experiment_pk {int} NOT NULL,
        time_us {int} NOT NULL,
        step {int} NOT NULL,
        value {real} NOT NULL,
        nan {int} NOT NULL,
        min_value {real},
        max_value {real},
        PRIMARY KEY (run_pk, key_pk)
    ) {rowless}
    """,
    """
    INSERT INTO metric_latest
        (run_pk, key_pk, experiment_pk, time_us, step, value, nan, min_value, max_value)
    SELECT l.run_pk, l.key_pk, l.experiment_pk, l.time_us, l.step, coalesce(l.value, 0),
        CASE WHEN l.value IS NULL THEN 1 ELSE 0 END,
        (SELECT min(p.value) FROM metric_point p
            WHERE p.run_pk = l.run_pk AND p.key_pk = l.key_pk AND p.nan = 0),
        (SELECT max(p.value) FROM metric_point p
            WHERE p.run_pk = l.run_pk AND p.key_pk = l.key_pk AND p.nan = 0)
    FROM run_metric_latest l
    """,
    "DROP TABLE run_metric",
    "DROP TABLE run_metric_latest",
    "CREATE INDEX metric_best ON metric_latest (experiment_pk, key_pk, nan, value, run_pk)",
    # Long texts are compared row by row; short ones, which people filter by, are found.
    """
    CREATE INDEX run_param_by_value ON run_param (key_pk, value, run_pk)
    WHERE length(value) <= 100
    """,
    "CREATE INDEX run_tag_by_value ON run_tag (key_pk, value, run_pk) WHERE length(value) <= 100",
    # Data that a run read, as its client describes it; versions of ours are links.
    """
    CREATE TABLE logged_dataset (
        pk {pk},
        experiment_pk {int} NOT NULL REFERENCES experiment (pk),
        name TEXT NOT NULL,
        digest TEXT NOT NULL,
        source_type TEXT NOT NULL,
        source TEXT NOT NULL,
        schema TEXT,
        profile TEXT,
        UNIQUE (experiment_pk, name, digest)
    ) {strict}
    """,
    """
    CREATE TABLE run_dataset (
        run_pk {int} NOT NULL REFERENCES run (pk),
        dataset_pk {int} NOT NULL REFERENCES logged_dataset (pk),
        context TEXT,
        tags_json TEXT NOT NULL,
        PRIMARY KEY (run_pk, dataset_pk)
    ) {rowless}
    """,
    "CREATE INDEX run_dataset_by_dataset ON run_dataset (dataset_pk, run_pk)",
    # A model that a run made, before anybody gives it a name in the registry.
    """
    CREATE TABLE logged_model (
        pk {pk},
        id TEXT NOT NULL UNIQUE,
        project_id {int} NOT NULL REFERENCES project (pk),
        experiment_pk {int} NOT NULL REFERENCES experiment (pk),
        run_pk {int} REFERENCES run (pk),
        name TEXT NOT NULL,
        type TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('pending', 'ready', 'failed')),
        actor TEXT NOT NULL,
        created_us {int} NOT NULL,
        changed_us {int} NOT NULL,
        deleted_us {int}
    ) {strict}
    """,
    "CREATE INDEX logged_model_by_experiment ON logged_model (experiment_pk, created_us DESC, id)",
    "CREATE INDEX logged_model_by_run ON logged_model (run_pk) WHERE run_pk IS NOT NULL",
    """
    CREATE TABLE logged_model_param (
        model_pk {int} NOT NULL REFERENCES logged_model (pk),
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (model_pk, key)
    ) {rowless}
    """,
    """
    CREATE TABLE logged_model_tag (
        model_pk {int} NOT NULL REFERENCES logged_model (pk),
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (model_pk, key)
    ) {rowless}
    """,
    """
    CREATE TABLE logged_model_metric (
        model_pk {int} NOT NULL REFERENCES logged_model (pk),
        key TEXT NOT NULL,
        run_pk {int} NOT NULL REFERENCES run (pk),
        time_us {int} NOT NULL,
        step {int} NOT NULL,
        value {real} NOT NULL,
        nan {int} NOT NULL,
        dataset_name TEXT NOT NULL,
        dataset_digest TEXT NOT NULL,
        PRIMARY KEY (model_pk, key, run_pk, time_us, step, dataset_name, dataset_digest)
    ) {rowless}
    """,
    "CREATE INDEX logged_model_metric_by_run ON logged_model_metric (run_pk)",
    # way: whether the run read the model or made it.
    """
    CREATE TABLE run_model (
        run_pk {int} NOT NULL REFERENCES run (pk),
        way TEXT NOT NULL CHECK (way IN ('input', 'output')),
        model_pk {int} NOT NULL REFERENCES logged_model (pk),
        step {int} NOT NULL,
        PRIMARY KEY (run_pk, way, model_pk)
    ) {rowless}
    """,
    # Names for stored bytes: the file `name` in the folder `folder` ('' is the top).
    """
    CREATE TABLE artifact_file (
        project_id {int} NOT NULL,
        folder {bytewise} NOT NULL,
        name {bytewise} NOT NULL,
        digest TEXT NOT NULL,
        size_bytes {int} NOT NULL,
        created_us {int} NOT NULL,
        PRIMARY KEY (project_id, folder, name)
    ) {rowless}
    """,
    "CREATE INDEX artifact_file_by_digest ON artifact_file (digest)",
    "ALTER TABLE model ADD COLUMN description TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE model ADD COLUMN changed_us {int} NOT NULL DEFAULT 0",
    "ALTER TABLE model ADD COLUMN deleted_us {int}",
    # Set while the model is deleted; `name` then holds a name that nobody can give.
    "ALTER TABLE model ADD COLUMN deleted_name TEXT",
    # The highest number ever given: a number is not given twice, whatever is deleted.
    "ALTER TABLE model ADD COLUMN last_version {int} NOT NULL DEFAULT 0",
    # 1: its protected aliases ask gate and approval. 0: it came from a client that knows neither.
    "ALTER TABLE model ADD COLUMN governed {int} NOT NULL DEFAULT 1",
    "UPDATE model SET changed_us = created_us",
    """
    UPDATE model SET last_version =
        (SELECT count(*) FROM model_version v WHERE v.model_pk = model.pk)
    """,
    """
    CREATE TABLE model_tag (
        model_pk {int} NOT NULL REFERENCES model (pk),
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (model_pk, key)
    ) {rowless}
    """,
)

AFTER_VERSIONS = (
    "CREATE INDEX model_version_by_digest ON model_version (model_pk, digest)",
    "ALTER TABLE model_version ADD COLUMN description TEXT NOT NULL DEFAULT ''",
    # Where its client says that it came from.
    "ALTER TABLE model_version ADD COLUMN source TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE model_version ADD COLUMN run_link TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE model_version ADD COLUMN logged_model TEXT",
    "ALTER TABLE model_version ADD COLUMN stage TEXT NOT NULL DEFAULT 'None'",
    # Why nobody should use it any more; NULL while one may.
    "ALTER TABLE model_version ADD COLUMN deprecated TEXT",
    "ALTER TABLE model_version ADD COLUMN changed_us {int} NOT NULL DEFAULT 0",
    "ALTER TABLE model_version ADD COLUMN deleted_us {int}",
    "UPDATE model_version SET changed_us = created_us",
    """
    CREATE TABLE model_version_tag (
        version_pk {int} NOT NULL REFERENCES model_version (pk),
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (version_pk, key)
    ) {rowless}
    """,
    # events_json: what it is told of, as [entity, action] pairs.
    """
    CREATE TABLE webhook (
        pk {pk},
        id TEXT NOT NULL UNIQUE,
        project_id {int} NOT NULL REFERENCES project (pk),
        name TEXT NOT NULL,
        description TEXT NOT NULL,
        url TEXT NOT NULL,
        events_json TEXT NOT NULL,
        secret TEXT,
        status TEXT NOT NULL CHECK (status IN ('active', 'disabled')),
        created_us {int} NOT NULL,
        changed_us {int} NOT NULL
    ) {strict}
    """,
    "CREATE INDEX webhook_by_project ON webhook (project_id, pk)",
    # A search that somebody wants to see again; `columns_json`: what of each run.
    """
    CREATE TABLE saved_view (
        pk {pk},
        id TEXT NOT NULL UNIQUE,
        project_id {int} NOT NULL REFERENCES project (pk),
        name TEXT NOT NULL,
        spec_json TEXT NOT NULL,
        actor TEXT NOT NULL,
        changed_us {int} NOT NULL,
        UNIQUE (project_id, name)
    ) {strict}
    """,
    # A search for good hyperparameters: a run whose children are its trials.
    """
    CREATE TABLE study (
        run_pk {int} PRIMARY KEY REFERENCES run (pk),
        project_id {int} NOT NULL REFERENCES project (pk),
        name TEXT NOT NULL,
        space_json TEXT NOT NULL,
        metric TEXT NOT NULL,
        direction TEXT NOT NULL CHECK (direction IN ('minimize', 'maximize')),
        UNIQUE (project_id, name)
    ) {strict}
    """,
    """
    CREATE TABLE study_trial (
        run_pk {int} PRIMARY KEY REFERENCES run (pk),
        study_pk {int} NOT NULL REFERENCES study (run_pk),
        number {int} NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('running', 'complete', 'pruned', 'failed')),
        UNIQUE (study_pk, number)
    ) {strict}
    """,
)


def upgrade() -> None:
    """Bring the tables of runs and models to what clients of MLflow's expect of them."""
    create(TABLES)
    create(DIGEST_MAY_REPEAT[op.get_bind().dialect.name])
    create(AFTER_VERSIONS)
