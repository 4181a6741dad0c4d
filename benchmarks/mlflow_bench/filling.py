"""The same runs in both stores, written straight into their tables: ten metrics, three parameters.

What is timed is reading them; a seed makes them the same each time.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from millwright.core.ids import from_hex
from millwright.workspace.open import Home

METRICS = 10
CHUNK = 5000
BASE_MS = 1_700_000_000_000
LONG = 100_000
LONG_RUN = f"{1 << 124:032x}"
"""The id of the run with the long history, in both stores."""


@dataclass(frozen=True)
class Row:
    """One run."""

    number: int
    id: str
    start_ms: int
    metrics: list[float]
    params: dict[str, str]


def rows(count: int) -> Iterator[Row]:
    """Iterate over the runs."""
    chance = random.Random(7)
    for number in range(count):
        start_ms = BASE_MS + number * 1000
        yield Row(
            number=number,
            id=f"{start_ms << 80 | 7 << 76 | 2 << 62 | number:032x}",
            start_ms=start_ms,
            metrics=[chance.random() for _ in range(METRICS)],
            params={
                "p0": str(number),
                "p1": chance.choice("xyz"),
                "p2": str(chance.randrange(100)),
            },
        )


def fill_ours(path: Path, count: int) -> str:
    """Fill a home; return the experiment's id on MLflow's routes."""
    home = Home.create(path)
    me = home.local_principal()
    home.ensure_default_experiment(me, "default")
    experiment = home.door(me, "default").experiments.create(name="big")
    home.close()
    database = sqlite3.connect(path / "millwright.db", isolation_level=None)
    database.execute("PRAGMA synchronous=OFF")
    experiment_pk, project = database.execute(
        "SELECT pk, project_id FROM experiment WHERE name = 'big'"
    ).fetchone()
    keys: dict[str, int] = {}
    for name in [*(f"m{i}" for i in range(METRICS)), "p0", "p1", "p2", "mlflow.runName", "long"]:
        database.execute("INSERT INTO telemetry_key (name) VALUES (?)", (name,))
        (keys[name],) = database.execute(
            "SELECT pk FROM telemetry_key WHERE name = ?", (name,)
        ).fetchone()

    def insert(chunk: list[Row]) -> None:
        database.execute("BEGIN")
        database.executemany(
            "INSERT INTO run (pk, id, project_id, experiment_pk, kind, name, status, actor, "
            "start_us, end_us, source_json) "
            "VALUES (?, ?, ?, ?, 'script', ?, 'finished', ?, ?, ?, ?)",
            [
                (
                    row.number + 1,
                    from_hex(row.id, "run"),
                    project,
                    experiment_pk,
                    f"run-{row.number}",
                    me.actor,
                    row.start_ms * 1000,
                    row.start_ms * 1000 + 5000,
                    '{"command":[],"python":"","platform":""}',
                )
                for row in chunk
            ],
        )
        database.executemany(
            "INSERT INTO metric_latest (run_pk, key_pk, experiment_pk, time_us, step, value, nan, "
            "min_value, max_value) VALUES (?, ?, ?, ?, 0, ?, 0, ?, ?)",
            [
                (row.number + 1, keys[f"m{i}"], experiment_pk, row.start_ms * 1000, v, v, v)
                for row in chunk
                for i, v in enumerate(row.metrics)
            ],
        )
        database.executemany(
            "INSERT INTO run_param (run_pk, key_pk, value) VALUES (?, ?, ?)",
            [(row.number + 1, keys[k], v) for row in chunk for k, v in row.params.items()],
        )
        database.executemany(
            "INSERT INTO run_tag (run_pk, key_pk, value) VALUES (?, ?, ?)",
            [(row.number + 1, keys["mlflow.runName"], f"run-{row.number}") for row in chunk],
        )
        database.execute("COMMIT")

    _in_chunks(count, insert)
    database.execute("BEGIN")
    database.execute(
        "INSERT INTO run (pk, id, project_id, experiment_pk, kind, name, status, actor, start_us, "
        "source_json) VALUES (?, ?, ?, ?, 'script', 'long', 'running', ?, 0, ?)",
        (
            count + 1,
            from_hex(LONG_RUN, "run"),
            project,
            database.execute("SELECT pk FROM experiment WHERE number = 0").fetchone()[0],
            me.actor,
            '{"command":[],"python":"","platform":""}',
        ),
    )
    database.executemany(
        "INSERT INTO metric_point (run_pk, key_pk, time_us, step, value, nan) "
        "VALUES (?, ?, ?, ?, ?, 0)",
        [(count + 1, keys["long"], (BASE_MS + i) * 1000, i, i * 0.5) for i in range(LONG)],
    )
    database.execute("COMMIT")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return str(experiment.number)


def fill_stock(store: Path, count: int) -> str:
    """Fill the database that a stock server has made; return the experiment's id."""
    database = sqlite3.connect(store / "mlflow.db", isolation_level=None)
    database.execute("PRAGMA synchronous=OFF")
    database.execute("BEGIN")
    columns = {row[1] for row in database.execute("PRAGMA table_info(experiments)")}
    more = {"workspace": "default"} if "workspace" in columns else {}
    names = ", ".join(["name", "artifact_location", "lifecycle_stage", *more])
    marks = ", ".join("?" for _ in range(3 + len(more)))
    database.execute(
        f"INSERT INTO experiments ({names}) VALUES ({marks})",
        ("big", "mlflow-artifacts:/1", "active", *more.values()),
    )
    (experiment,) = database.execute(
        "SELECT experiment_id FROM experiments WHERE name = 'big'"
    ).fetchone()
    database.execute("COMMIT")
    run_sql = (
        "INSERT INTO runs (run_uuid, name, source_type, user_id, status, start_time, end_time, "
        "lifecycle_stage, artifact_uri, experiment_id) "
        "VALUES (?, ?, 'LOCAL', 'u', 'FINISHED', ?, ?, 'active', ?, ?)"
    )

    def insert(chunk: list[Row]) -> None:
        database.execute("BEGIN")
        database.executemany(
            run_sql,
            [
                (
                    row.id,
                    f"run-{row.number}",
                    row.start_ms,
                    row.start_ms + 5,
                    f"mlflow-artifacts:/1/{row.id}/artifacts",
                    experiment,
                )
                for row in chunk
            ],
        )
        database.executemany(
            "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) "
            "VALUES (?, ?, ?, 0, 0, ?)",
            [
                (f"m{i}", value, row.start_ms, row.id)
                for row in chunk
                for i, value in enumerate(row.metrics)
            ],
        )
        database.executemany(
            "INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)",
            [(k, v, row.id) for row in chunk for k, v in row.params.items()],
        )
        database.executemany(
            "INSERT INTO tags (key, value, run_uuid) VALUES ('mlflow.runName', ?, ?)",
            [(f"run-{row.number}", row.id) for row in chunk],
        )
        database.execute("COMMIT")

    _in_chunks(count, insert)
    database.execute("BEGIN")
    database.execute(
        run_sql, (LONG_RUN, "long", 0, 1, f"mlflow-artifacts:/0/{LONG_RUN}/artifacts", 0)
    )
    database.executemany(
        "INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid) "
        "VALUES ('long', ?, ?, ?, 0, ?)",
        [(i * 0.5, BASE_MS + i, i, LONG_RUN) for i in range(LONG)],
    )
    database.execute("COMMIT")
    database.close()
    return str(experiment)


def _in_chunks(count: int, insert: Callable[[list[Row]], None]) -> None:
    chunk: list[Row] = []
    for row in rows(count):
        chunk.append(row)
        if len(chunk) == CHUNK:
            insert(chunk)
            chunk = []
    if chunk:
        insert(chunk)
