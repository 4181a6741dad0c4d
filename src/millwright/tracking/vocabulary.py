"""What runs can be found by, in our own words and in those of MLflow's clients."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from millwright.core.errors import Invalid
from millwright.core.ids import from_hex
from millwright.metadata.filters import Vocabulary
from millwright.metadata.tables.run_search import Attribute

NO_RUN = ""
"""The id of no run: what a text that is none is compared as."""

_ENTITIES = {
    "metric": "metric",
    "metrics": "metric",
    "param": "param",
    "params": "param",
    "parameter": "param",
    "parameters": "param",
    "tag": "tag",
    "tags": "tag",
    "attribute": "attribute",
    "attributes": "attribute",
    "attr": "attribute",
    "run": "attribute",
    "dataset": "dataset",
    "datasets": "dataset",
}
_DATASET = frozenset({"name", "digest", "context"})

RUNS = Vocabulary(
    entities=_ENTITIES,
    numbers=frozenset({"start_time", "end_time"}),
    texts=frozenset(
        {"id", "name", "status", "kind", "actor", "user", "experiment", "pipeline", "parent"}
    ),
    aliases={
        "run_id": "id",
        "run_name": "name",
        "user_id": "user",
        "created": "start_time",
        "Created": "start_time",
        "run name": "name",
        "Run name": "name",
        "Run Name": "name",
    },
    keys={"dataset": _DATASET},
)
"""Ours; times are milliseconds since 1970 UTC, as in MLflow."""

_EXPERIMENT = "(SELECT e.name FROM experiment e WHERE e.pk = run.experiment_pk)"
_PIPELINE = "(SELECT p.name FROM pipeline p WHERE p.pk = run.pipeline_pk)"
_PARENT = "(SELECT p.id FROM run p WHERE p.pk = run.parent_pk)"

ATTRIBUTES: Mapping[str, Attribute] = MappingProxyType(
    {
        "id": Attribute("run.id"),
        "name": Attribute("run.name"),
        "status": Attribute("run.status"),
        "kind": Attribute("run.kind"),
        "actor": Attribute("run.actor"),
        "user": Attribute("run.user_name"),
        "experiment": Attribute(_EXPERIMENT),
        "pipeline": Attribute(_PIPELINE, nullable=True),
        "parent": Attribute(_PARENT, nullable=True),
        "start_time": Attribute("run.start_us / 1000", is_number=True, order="run.start_us"),
        "end_time": Attribute("run.end_us / 1000", nullable=True, is_number=True),
    }
)
"""How each of them is spelled in SQL."""


def _run_of_hex(digits: str) -> str:
    try:
        return from_hex(digits, "run")
    except Invalid:
        return NO_RUN


def _run_of_address(address: str) -> str:
    match address.rsplit("/", 2):
        case [_, digits, "artifacts"]:
            return _run_of_hex(digits)
        case _:
            return NO_RUN


MLFLOW_RUNS = Vocabulary(
    entities=_ENTITIES,
    numbers=frozenset({"start_time", "end_time"}),
    texts=frozenset({"run_id", "run_name", "status", "user_id", "artifact_uri"}),
    aliases={
        "created": "start_time",
        "Created": "start_time",
        "run name": "run_name",
        "Run name": "run_name",
        "Run Name": "run_name",
    },
    keys={"dataset": _DATASET},
)
"""MLflow's, whose ids are hexadecimal and whose states have other names."""

MLFLOW_ATTRIBUTES: Mapping[str, Attribute] = MappingProxyType(
    {
        "run_id": Attribute("run.id", stored=_run_of_hex),
        "run_name": Attribute("run.name"),
        "status": Attribute(
            "CASE run.status WHEN 'running' THEN "
            "CASE run.scheduled WHEN 1 THEN 'SCHEDULED' ELSE 'RUNNING' END "
            "WHEN 'finished' THEN 'FINISHED' WHEN 'failed' THEN 'FAILED' ELSE 'KILLED' END"
        ),
        "user_id": Attribute("run.user_name"),
        # Above a run's own folder its address is that of every other run.
        "artifact_uri": Attribute("run.id", stored=_run_of_address),
        "start_time": ATTRIBUTES["start_time"],
        "end_time": ATTRIBUTES["end_time"],
    }
)
