"""Webhooks made, read, tried out and removed by MLflow's own client, and told as it expects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fixtures.mlflow_server import MillServer, mill_server
from fixtures.receivers import Receiver, receiving
from fixtures.tools import python_of, run_tool

pytestmark = [pytest.mark.interop, pytest.mark.sockets]

SECRET = "s3cret"

HOOKS = """
import json, sys
from mlflow import MlflowClient
from mlflow.entities.webhook import WebhookEvent, WebhookStatus
client = MlflowClient(sys.argv[1])
events = json.loads(sys.argv[3])
hook = client.create_webhook(
    name="tell",
    url=sys.argv[2],
    events=[WebhookEvent.from_str(event) for event in events],
    description="for the team",
    secret=sys.argv[4],
    status=WebhookStatus.ACTIVE,
)
for number in range(4):
    client.create_webhook(name=f"more-{number}", url=sys.argv[2], events=["prompt.created"],
                          status="DISABLED")
listed, token = [], None
while True:
    page = client.list_webhooks(max_results=2, page_token=token)
    listed += [one.name for one in page]
    token = page.token
    if not token:
        break
last = client.list_webhooks(max_results=1)[0]
changed = client.update_webhook(last.webhook_id, name="renamed", status="ACTIVE")
client.delete_webhook(last.webhook_id)
try:
    client.get_webhook(last.webhook_id)
    gone = ""
except Exception as error:
    gone = error.error_code
shown = client.get_webhook(hook.webhook_id)
tried = client.test_webhook(hook.webhook_id)
other = client.test_webhook(hook.webhook_id, event=WebhookEvent("prompt_tag", "set"))
print(json.dumps({
    "shown": [shown.webhook_id == hook.webhook_id, shown.name, shown.url, shown.description,
              shown.status, [str(event) for event in shown.events], shown.secret],
    "times": [shown.creation_timestamp, shown.last_updated_timestamp],
    "listed": listed,
    "changed": [changed.name, changed.status, [str(event) for event in changed.events]],
    "gone": gone,
    "tried": [tried.success, tried.response_status, tried.response_body, tried.error_message],
    "other": [other.success, other.response_status],
}))
"""

LIFE = """
import sys
import mlflow
from mlflow import MlflowClient
mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_registry_uri(sys.argv[1])
client = MlflowClient()
client.create_registered_model("churn", tags={"team": "risk"}, description="who leaves")
with mlflow.start_run() as run:
    mlflow.log_text("flavors: {}\\n", "model/MLmodel")
version = client.create_model_version(
    "churn", f"runs:/{run.info.run_id}/model", run_id=run.info.run_id, tags={"a": "1"},
    description="first",
)
client.set_model_version_tag("churn", version.version, "checked", "yes")
client.delete_model_version_tag("churn", version.version, "checked")
client.set_registered_model_tag("churn", "told", "to nobody")
client.set_registered_model_alias("churn", "champion", version.version)
client.delete_registered_model_alias("churn", "champion")
mlflow.genai.register_prompt("ask", "Say {{what}}.", commit_message="one", tags={"k": "v"})
client.set_prompt_tag("ask", "owner", "ada")
client.delete_prompt_tag("ask", "owner")
client.set_prompt_version_tag("ask", "1", "ok", "yes")
client.delete_prompt_version_tag("ask", "1", "ok")
mlflow.genai.set_prompt_alias("ask", "live", 1)
mlflow.genai.delete_prompt_alias("ask", "live")
print(run.info.run_id)
"""

CHECK = """
import json, sys
from typing import get_type_hints
from mlflow.entities.webhook import WebhookEvent
from mlflow.webhooks.delivery import _generate_hmac_signature
from mlflow.webhooks.types import EVENT_TO_PAYLOAD_CLASS
found = []
for one in json.load(open(sys.argv[1])):
    said, headers = json.loads(one["body"]), one["headers"]
    event = WebhookEvent(said["entity"], said["action"])
    signature = _generate_hmac_signature(
        sys.argv[2], headers["x-mlflow-delivery-id"], headers["x-mlflow-timestamp"], one["body"]
    )
    fields = set(get_type_hints(EVENT_TO_PAYLOAD_CLASS[event.entity, event.action]))
    found.append([str(event), signature == headers["x-mlflow-signature"],
                  fields == set(said["data"])])
print(json.dumps(found))
"""

ALL = [
    "registered_model.created",
    "model_version.created",
    "model_version_tag.set",
    "model_version_tag.deleted",
    "model_version_alias.created",
    "model_version_alias.deleted",
    "prompt.created",
    "prompt_version.created",
    "prompt_tag.set",
    "prompt_tag.deleted",
    "prompt_version_tag.set",
    "prompt_version_tag.deleted",
    "prompt_alias.created",
    "prompt_alias.deleted",
]


@dataclass
class Told:
    """What MLflow's client said of its webhooks, and what the receiver heard then."""

    said: dict[str, Any]
    receiver: Receiver
    run: str
    tests: int
    """How many of what was received were tests."""


@pytest.fixture(scope="module")
def python() -> Path:
    return python_of("mlflow3", "mlflow")


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[MillServer]:
    folder = tmp_path_factory.mktemp("hooks")
    (folder / "millwright.toml").write_text(f'[webhooks]\nallow = ["{receiver.origin}"]\n')
    with mill_server(folder / "home") as server:
        yield server


@pytest.fixture(scope="module")
def told(
    python: Path,
    server: MillServer,
    receiver: Receiver,
    tmp_path_factory: pytest.TempPathFactory,
) -> Told:
    cwd = tmp_path_factory.mktemp("client")
    said = json.loads(
        run_tool(python, HOOKS, server.address, receiver.url, json.dumps(ALL), SECRET, cwd=cwd)
    )
    tests = len(receiver.received)
    run = run_tool(python, LIFE, server.address, cwd=cwd)
    # `register_prompt` tags its prompt as well.
    receiver.wait_for(tests + len(ALL) + 1)
    return Told(said, receiver, run, tests)


def test_the_client_reads_what_it_made(told: Told) -> None:
    said = told.said
    assert said["shown"] == [True, "tell", told.receiver.url, "for the team", "ACTIVE", ALL, None]
    assert said["times"][0] == said["times"][1] > 1_700_000_000_000
    assert said["listed"] == ["more-3", "more-2", "more-1", "more-0", "tell"]
    assert said["changed"] == ["renamed", "ACTIVE", ["prompt.created"]]
    assert said["gone"] == "RESOURCE_DOES_NOT_EXIST"


def test_the_client_reads_what_came_of_a_test(told: Told) -> None:
    assert told.said["tried"] == [True, 200, "thanks", None]
    assert told.said["other"] == [True, 200]
    assert [one.event for one in told.receiver.received[: told.tests]] == [
        "registered_model.created",
        "prompt_tag.set",
    ]


def test_every_event_is_told_with_the_fields_and_signature_of_mlflows(
    told: Told, python: Path, tmp_path: Path
) -> None:
    requests = [
        {"body": one.body.decode(), "headers": one.headers} for one in told.receiver.received
    ]
    (tmp_path / "received.json").write_text(json.dumps(requests))
    checked = json.loads(
        run_tool(python, CHECK, str(tmp_path / "received.json"), SECRET, cwd=tmp_path)
    )
    assert [one[1:] for one in checked] == [[True, True]] * len(checked)
    events = [one[0] for one in checked[told.tests :]]
    assert sorted(events) == sorted([*ALL, "prompt_tag.set"])


def test_what_is_told_is_what_happened(told: Told) -> None:
    said = {
        one.event: one.said["data"]
        for one in told.receiver.received[told.tests :]
        if one.said["data"].get("key") != "_mlflow_experiment_ids"
    }
    assert said["registered_model.created"] == {
        "name": "churn",
        "tags": {"team": "risk"},
        "description": "who leaves",
    }
    assert said["model_version.created"] == {
        "name": "churn",
        "version": "1",
        "source": f"runs:/{told.run}/model",
        "run_id": told.run,
        "tags": {"a": "1"},
        "description": "first",
    }
    assert said["model_version_alias.created"] == {
        "name": "churn",
        "alias": "champion",
        "version": "1",
    }
    prompt = said["prompt_version.created"]
    assert (prompt["name"], prompt["version"], prompt["template"]) == ("ask", "1", "Say {{what}}.")
    assert said["prompt_tag.set"] == {"name": "ask", "key": "owner", "value": "ada"}
    assert said["prompt_alias.deleted"] == {"name": "ask", "alias": "live"}
    assert len({one.delivery for one in told.receiver.received}) == len(told.receiver.received)


def test_a_webhook_that_leads_inside_is_refused(
    server: MillServer, python: Path, tmp_path: Path
) -> None:
    script = """
import json, sys
from mlflow import MlflowClient
client = MlflowClient(sys.argv[1])
codes = []
for url in ("http://127.0.0.1:1/", "https://127.0.0.1/", "https://169.254.169.254/latest",
            "https://[::ffff:10.0.0.1]/", "https://u:p@example.com/", "ftp://example.com/"):
    try:
        client.create_webhook(name="x", url=url, events=["prompt.created"])
        codes.append(url)
    except Exception as error:
        codes.append(error.error_code)
hook = client.create_webhook(name="x", url="https://localhost:1/", events=["prompt.created"])
tried = client.test_webhook(hook.webhook_id)
print(json.dumps([codes, tried.success, tried.response_status, tried.error_message]))
"""
    codes, success, status, message = json.loads(
        run_tool(python, script, server.address, cwd=tmp_path)
    )
    assert codes == ["INVALID_PARAMETER_VALUE"] * 6
    assert (success, status) == (False, None)
    assert "no address of the open network" in message
