"""Datasets, experiments and runs, pipelines, models, gates, approvals."""

from __future__ import annotations

from millwright.metadata.migrations.tables import create

revision = "0002"
down_revision = "0001"

TABLES = (
    """
    CREATE TABLE dataset (
        pk {pk},
        id TEXT NOT NULL UNIQUE,
        project_id {int} NOT NULL REFERENCES project (pk),
        name TEXT NOT NULL,
        created_us {int} NOT NULL,
        UNIQUE (project_id, name)
    ) {strict}
    """,
    # digest: of the bytes as they were given; the same bytes are the same version.
    """
    CREATE TABLE dataset_version (
        pk {pk},
        id TEXT NOT NULL UNIQUE,
        project_id {int} NOT NULL REFERENCES project (pk),
        dataset_pk {int} NOT NULL REFERENCES dataset (pk),
        version {int} NOT NULL,
        digest TEXT NOT NULL,
        format TEXT NOT NULL,
        size_bytes {int} NOT NULL,
        row_count {int} NOT NULL,
        schema_json TEXT NOT NULL,
        profile_digest TEXT NOT NULL,
        source TEXT NOT NULL,
        actor TEXT NOT NULL,
        created_us {int} NOT NULL,
        UNIQUE (dataset_pk, version),
        UNIQUE (dataset_pk, digest)
    ) {strict}
    """,
    # number: the experiment's id as MLflow's clients write it, counted per project from 0.
    """
    CREATE TABLE experiment (
        pk {pk},
        id TEXT NOT NULL UNIQUE,
        project_id {int} NOT NULL REFERENCES project (pk),
        number {int} NOT NULL,
        name TEXT NOT NULL,
        created_us {int} NOT NULL,
        UNIQUE (project_id, name),
        UNIQUE (project_id, number)
    ) {strict}
    """,
    """
    CREATE TABLE pipeline (
        pk {pk},
        id TEXT NOT NULL UNIQUE,
        project_id {int} NOT NULL REFERENCES project (pk),
        name TEXT NOT NULL,
        created_us {int} NOT NULL,
        UNIQUE (project_id, name)
    ) {strict}
    """,
    """
    CREATE TABLE run (
        pk {pk},
        id TEXT NOT NULL UNIQUE,
        project_id {int} NOT NULL REFERENCES project (pk),
        experiment_pk {int} NOT NULL REFERENCES experiment (pk),
        parent_pk {int} REFERENCES run (pk),
        pipeline_pk {int} REFERENCES pipeline (pk),
        kind TEXT NOT NULL CHECK (kind IN ('script', 'pipeline', 'step')),
        name TEXT NOT NULL,
        status TEXT NOT NULL
            CHECK (status IN ('running', 'finished', 'failed', 'cancelled')),
        actor TEXT NOT NULL,
        start_us {int} NOT NULL,
        end_us {int},
        source_json TEXT NOT NULL,
        error_json TEXT,
        log_digest TEXT,
        telemetry_digest TEXT
    ) {strict}
    """,
    "CREATE INDEX run_by_experiment ON run (experiment_pk, pk)",
    "CREATE INDEX run_by_parent ON run (parent_pk) WHERE parent_pk IS NOT NULL",
    "CREATE INDEX run_by_pipeline ON run (pipeline_pk, pk) WHERE pipeline_pk IS NOT NULL",
    # Names of parameters, metrics and tags are stored once.
    """
    CREATE TABLE telemetry_key (
        pk {pk},
        name TEXT NOT NULL UNIQUE
    ) {strict}
    """,
    """
    CREATE TABLE run_param (
        run_pk {int} NOT NULL REFERENCES run (pk),
        key_pk {int} NOT NULL REFERENCES telemetry_key (pk),
        value TEXT NOT NULL,
        PRIMARY KEY (run_pk, key_pk)
    ) {rowless}
    """,
    """
    CREATE TABLE run_tag (
        run_pk {int} NOT NULL REFERENCES run (pk),
        key_pk {int} NOT NULL REFERENCES telemetry_key (pk),
        value TEXT NOT NULL,
        PRIMARY KEY (run_pk, key_pk)
    ) {rowless}
    """,
    # n: counts the points of one metric of one run. value NULL stands for NaN.
    """
    CREATE TABLE run_metric (
        run_pk {int} NOT NULL REFERENCES run (pk),
        key_pk {int} NOT NULL REFERENCES telemetry_key (pk),
        n {int} NOT NULL,
        step {int} NOT NULL,
        time_us {int} NOT NULL,
        value {real},
        PRIMARY KEY (run_pk, key_pk, n)
    ) {rowless}
    """,
    """
    CREATE TABLE run_metric_latest (
        run_pk {int} NOT NULL REFERENCES run (pk),
        key_pk {int} NOT NULL REFERENCES telemetry_key (pk),
        experiment_pk {int} NOT NULL,
        points {int} NOT NULL,
        step {int} NOT NULL,
        time_us {int} NOT NULL,
        value {real},
        PRIMARY KEY (run_pk, key_pk)
    ) {rowless}
    """,
    "CREATE INDEX run_metric_best ON run_metric_latest (experiment_pk, key_pk, value)",
    # way: 'input' or 'output'; what: 'dataset_version', 'model_version', 'artifact'.
    """
    CREATE TABLE run_link (
        run_pk {int} NOT NULL REFERENCES run (pk),
        way TEXT NOT NULL CHECK (way IN ('input', 'output')),
        name TEXT NOT NULL,
        what TEXT NOT NULL,
        id TEXT NOT NULL,
        digest TEXT NOT NULL,
        PRIMARY KEY (run_pk, way, name)
    ) {rowless}
    """,
    "CREATE INDEX run_link_by_digest ON run_link (digest, way)",
    # outcome: how the step of a pipeline run ended; outputs_json: its results by digest.
    """
    CREATE TABLE step_run (
        run_pk {int} PRIMARY KEY REFERENCES run (pk),
        step TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        parts_json TEXT NOT NULL,
        outcome TEXT NOT NULL
            CHECK (outcome IN ('running', 'ran', 'cached', 'failed', 'skipped')),
        why TEXT NOT NULL,
        outputs_json TEXT NOT NULL
    ) {strict}
    """,
    """
    CREATE TABLE step_cache (
        project_id {int} NOT NULL REFERENCES project (pk),
        fingerprint TEXT NOT NULL,
        run_pk {int} NOT NULL REFERENCES run (pk),
        outputs_json TEXT NOT NULL,
        created_us {int} NOT NULL,
        PRIMARY KEY (project_id, fingerprint)
    ) {rowless}
    """,
    """
    CREATE TABLE model (
        pk {pk},
        id TEXT NOT NULL UNIQUE,
        project_id {int} NOT NULL REFERENCES project (pk),
        name TEXT NOT NULL,
        risk TEXT NOT NULL CHECK (risk IN ('low', 'high')),
        created_us {int} NOT NULL,
        UNIQUE (project_id, name)
    ) {strict}
    """,
    # digest: over weights, signature and requirements; package_digest: over the whole folder.
    """
    CREATE TABLE model_version (
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
        UNIQUE (model_pk, version),
        UNIQUE (model_pk, digest)
    ) {strict}
    """,
    """
    CREATE TABLE model_alias (
        model_pk {int} NOT NULL REFERENCES model (pk),
        alias TEXT NOT NULL,
        version_pk {int} NOT NULL REFERENCES model_version (pk),
        PRIMARY KEY (model_pk, alias)
    ) {rowless}
    """,
    # version_pk NULL: the alias was removed.
    """
    CREATE TABLE alias_change (
        pk {serial},
        model_pk {int} NOT NULL REFERENCES model (pk),
        alias TEXT NOT NULL,
        version_pk {int} REFERENCES model_version (pk),
        previous_pk {int} REFERENCES model_version (pk),
        time_us {int} NOT NULL,
        actor TEXT NOT NULL,
        reason TEXT NOT NULL,
        event_id TEXT NOT NULL
    ) {strict}
    """,
    "CREATE INDEX alias_change_by_model ON alias_change (model_pk, pk)",
    """
    CREATE TABLE gate_verdict (
        pk {pk},
        id TEXT NOT NULL UNIQUE,
        project_id {int} NOT NULL REFERENCES project (pk),
        version_pk {int} NOT NULL REFERENCES model_version (pk),
        baseline_pk {int} REFERENCES model_version (pk),
        verdict TEXT NOT NULL CHECK (verdict IN ('pass', 'fail', 'undetermined')),
        digest TEXT NOT NULL,
        report_json TEXT NOT NULL,
        actor TEXT NOT NULL,
        created_us {int} NOT NULL
    ) {strict}
    """,
    "CREATE INDEX gate_verdict_by_version ON gate_verdict (version_pk, pk)",
    # An approval is for one action on one digest, asked by one actor and given by another.
    """
    CREATE TABLE approval (
        pk {pk},
        id TEXT NOT NULL UNIQUE,
        project_id {int} NOT NULL REFERENCES project (pk),
        version_pk {int} NOT NULL REFERENCES model_version (pk),
        alias TEXT NOT NULL,
        digest TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('waiting', 'approved', 'rejected', 'used')),
        requested_by TEXT NOT NULL,
        requested_us {int} NOT NULL,
        reason TEXT NOT NULL,
        decided_by TEXT,
        decided_us {int},
        decision_reason TEXT,
        expires_us {int} NOT NULL
    ) {strict}
    """,
    "CREATE INDEX approval_by_version ON approval (version_pk, alias, pk)",
)


def upgrade() -> None:
    """Create the tables of the model's life up to the gate."""
    create(TABLES)
