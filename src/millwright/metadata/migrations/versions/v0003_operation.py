"""Deployments, rollouts, segments, labels, monitors, alerts, rules."""

from __future__ import annotations

from millwright.metadata.migrations.tables import create

revision = "0003"
down_revision = "0002"

TABLES = (
    # secret: the key of the deployment's keyed hashes.
    """
    CREATE TABLE deployment (
        pk {pk},
        id TEXT NOT NULL UNIQUE,
        project_id {int} NOT NULL REFERENCES project (pk),
        model_pk {int} NOT NULL REFERENCES model (pk),
        name TEXT NOT NULL,
        revision {int} NOT NULL,
        variants_json TEXT NOT NULL,
        policy_json TEXT NOT NULL,
        salt TEXT NOT NULL,
        secret TEXT NOT NULL,
        rollout_pk {int},
        created_us {int} NOT NULL,
        changed_us {int} NOT NULL,
        UNIQUE (project_id, name)
    ) {strict}
    """,
    # Raised in the transaction of every change to any plan; what serving processes wait for.
    """
    CREATE TABLE plan_revision (
        one {int} PRIMARY KEY CHECK (one = 1),
        revision {int} NOT NULL
    ) {strict}
    """,
    """
    CREATE TABLE rollout (
        pk {pk},
        id TEXT NOT NULL UNIQUE,
        project_id {int} NOT NULL REFERENCES project (pk),
        deployment_pk {int} NOT NULL REFERENCES deployment (pk),
        champion_pk {int} NOT NULL REFERENCES model_version (pk),
        candidate_pk {int} NOT NULL REFERENCES model_version (pk),
        state TEXT NOT NULL CHECK (state IN
            ('running', 'promoted', 'rolled_back', 'inconclusive', 'aborted')),
        plan_json TEXT NOT NULL,
        step {int} NOT NULL,
        step_keys_before {int} NOT NULL,
        started_us {int} NOT NULL,
        step_started_us {int} NOT NULL,
        ended_us {int},
        requested_by TEXT NOT NULL,
        why TEXT NOT NULL,
        next_segment {int} NOT NULL,
        looks {int} NOT NULL
    ) {strict}
    """,
    "CREATE UNIQUE INDEX rollout_running ON rollout (deployment_pk) WHERE state = 'running'",
    """
    CREATE TABLE rollout_look (
        rollout_pk {int} NOT NULL REFERENCES rollout (pk),
        n {int} NOT NULL,
        look_json TEXT NOT NULL,
        PRIMARY KEY (rollout_pk, n)
    ) {rowless}
    """,
    # One row a sticky key: the unit of evidence.
    """
    CREATE TABLE rollout_key (
        rollout_pk {int} NOT NULL REFERENCES rollout (pk),
        role TEXT NOT NULL,
        key TEXT NOT NULL,
        requests {int} NOT NULL,
        errors {int} NOT NULL,
        slow {int} NOT NULL,
        PRIMARY KEY (rollout_pk, role, key)
    ) {rowless}
    """,
    """
    CREATE TABLE segment (
        pk {serial},
        id TEXT NOT NULL UNIQUE,
        project_id {int} NOT NULL REFERENCES project (pk),
        deployment_pk {int} NOT NULL REFERENCES deployment (pk),
        instance TEXT NOT NULL,
        seq {int} NOT NULL,
        first_n {int} NOT NULL,
        last_n {int} NOT NULL,
        first_id TEXT NOT NULL,
        last_id TEXT NOT NULL,
        first_us {int} NOT NULL,
        last_us {int} NOT NULL,
        row_count {int} NOT NULL,
        error_count {int} NOT NULL,
        root TEXT NOT NULL,
        index_digest TEXT NOT NULL,
        payload_digest TEXT NOT NULL,
        sealed_by TEXT NOT NULL,
        event_id TEXT NOT NULL,
        created_us {int} NOT NULL,
        UNIQUE (deployment_pk, instance, seq)
    ) {strict}
    """,
    "CREATE INDEX segment_by_id ON segment (project_id, first_id)",
    # The newest label of a decision wins; corrections are counted.
    """
    CREATE TABLE label (
        project_id {int} NOT NULL REFERENCES project (pk),
        decision TEXT NOT NULL,
        deployment_pk {int} NOT NULL REFERENCES deployment (pk),
        value_json TEXT NOT NULL,
        time_us {int} NOT NULL,
        corrections {int} NOT NULL,
        PRIMARY KEY (project_id, decision)
    ) {rowless}
    """,
    "CREATE INDEX label_by_deployment ON label (deployment_pk, decision)",
    # state_json: what the monitor carries from look to look; rebuilt from segments if lost.
    """
    CREATE TABLE monitor (
        pk {pk},
        id TEXT NOT NULL UNIQUE,
        project_id {int} NOT NULL REFERENCES project (pk),
        deployment_pk {int} NOT NULL REFERENCES deployment (pk),
        name TEXT NOT NULL,
        spec_json TEXT NOT NULL,
        state_json TEXT NOT NULL,
        next_segment {int} NOT NULL,
        looks {int} NOT NULL,
        created_us {int} NOT NULL,
        UNIQUE (project_id, name)
    ) {strict}
    """,
    """
    CREATE TABLE monitor_look (
        monitor_pk {int} NOT NULL REFERENCES monitor (pk),
        n {int} NOT NULL,
        report_json TEXT NOT NULL,
        PRIMARY KEY (monitor_pk, n)
    ) {rowless}
    """,
    """
    CREATE TABLE alert (
        pk {pk},
        id TEXT NOT NULL UNIQUE,
        project_id {int} NOT NULL REFERENCES project (pk),
        monitor_pk {int} NOT NULL REFERENCES monitor (pk),
        version {int} NOT NULL,
        kind TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('open', 'acknowledged', 'closed')),
        columns_json TEXT NOT NULL,
        message TEXT NOT NULL,
        evidence TEXT NOT NULL,
        created_us {int} NOT NULL,
        closed_us {int}
    ) {strict}
    """,
    "CREATE INDEX alert_by_project ON alert (project_id, state, pk)",
    """
    CREATE TABLE rule (
        pk {pk},
        id TEXT NOT NULL UNIQUE,
        project_id {int} NOT NULL REFERENCES project (pk),
        name TEXT NOT NULL,
        spec_json TEXT NOT NULL,
        actor TEXT NOT NULL,
        enabled {int} NOT NULL,
        created_us {int} NOT NULL,
        UNIQUE (project_id, name)
    ) {strict}
    """,
)


def upgrade() -> None:
    """Create the tables of a model at work."""
    create(TABLES)
