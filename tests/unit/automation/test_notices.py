from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from millwright.automation.notices import IS_PROMPT, PROMPT_TEXT, About, Notice, example, notices
from millwright.core.digest import digest_bytes
from millwright.core.ids import ActorId, EventId, ModelVersionId, ProjectId, RunId, new_id, to_hex
from millwright.records.automation import WebhookEvent
from millwright.records.events import Event, JsonValue
from millwright.records.models import ModelVersion
from millwright.records.schema import Signature

NOTHING = About(tags={}, description="")
PROMPT = About(
    tags={IS_PROMPT: "true", "team": "risk", "_mlflow_prompt_type": "text"}, description="d"
)


def event(kind: str, /, **detail: JsonValue) -> Event:
    """Return an event with that detail."""
    return Event(
        id=EventId(new_id("evt")),
        place=1,
        kind=kind,
        kind_version=1,
        project=ProjectId(new_id("prj")),
        actor=ActorId(new_id("act")),
        time_us=1,
        subjects=[],
        cause=None,
        request=None,
        detail={"reason": "", **detail},
    )


def version(run: RunId | None = None, tags: dict[str, str] | None = None) -> ModelVersion:
    digest = digest_bytes(b"x")
    return ModelVersion(
        id=ModelVersionId(new_id("mov")),
        name="churn",
        version=3,
        digest=digest,
        package_digest=digest,
        signature=Signature(inputs=[], outputs=[]),
        flavors=[],
        profile_digest=None,
        run=run,
        actor=ActorId(new_id("act")),
        created_us=1,
        description="better",
        source="models:/m-1",
        tags=tags or {},
    )


def test_a_model_is_told_with_its_tags() -> None:
    about = About(tags={"team": "fraud", "long": "x", "later": "1"}, description="later")
    told = event("ModelCreated", name="churn", risk="low", tags={"team": "risk", "long": None})
    # What was set since is another event; only what is too long for the journal is read there.
    assert notices(told, about) == [
        Notice(
            "registered_model.created",
            {"name": "churn", "tags": {"team": "risk", "long": "x"}, "description": None},
        )
    ]
    long = event("ModelCreated", name="churn", risk="low", description=None)
    assert notices(long, about)[0].data["description"] == "later"


def test_a_version_is_told_with_source_and_run() -> None:
    run = RunId(new_id("run"))
    about = About(tags={}, description="", version=version(run, {"later": "yes"}))
    told = event(
        "ModelVersionRegistered",
        name="churn",
        version=3,
        flavors=["onnx"],
        source="models:/m-1",
        description=None,
        tags={"checked": "yes"},
    )
    assert notices(told, about) == [
        Notice(
            "model_version.created",
            {
                "name": "churn",
                "version": "3",
                "source": "models:/m-1",
                "run_id": to_hex(run),
                "tags": {"checked": "yes"},
                "description": "better",
            },
        )
    ]


def test_a_prompt_has_words_of_its_own() -> None:
    made = event("ModelCreated", name="ask", risk="low", description="d", tags=dict(PROMPT.tags))
    assert notices(made, PROMPT) == [
        Notice("prompt.created", {"name": "ask", "tags": {"team": "risk"}, "description": "d"})
    ]
    text = version(tags={PROMPT_TEXT: "Say {{x}}"})
    about = About(tags=PROMPT.tags, description="", version=text)
    told = event(
        "ModelVersionRegistered",
        name="ask",
        version=3,
        flavors=[],
        description="better",
        tags={IS_PROMPT: "true", PROMPT_TEXT: None, "k": "v"},
    )
    assert notices(told, about) == [
        Notice(
            "prompt_version.created",
            {
                "name": "ask",
                "version": "3",
                "template": "Say {{x}}",
                "tags": {"k": "v"},
                "description": "better",
            },
        )
    ]


def test_each_tag_is_told_alone() -> None:
    told = event(
        "ModelChanged", name="churn", version=3, what="tags a, b", tags={"a": "1", "b": None}
    )
    about = About(tags={}, description="", version=version(tags={"b": "long"}))
    said = {"name": "churn", "version": "3"}
    assert notices(told, about) == [
        Notice("model_version_tag.set", {**said, "key": "a", "value": "1"}),
        Notice("model_version_tag.set", {**said, "key": "b", "value": "long"}),
    ]
    removed = event("ModelChanged", name="churn", version=3, what="tag a removed", removed=["a"])
    assert notices(removed, about) == [
        Notice("model_version_tag.deleted", {**said, "key": "a"}),
    ]


def test_tags_of_a_prompt_are_told_and_those_of_a_model_are_not() -> None:
    told = event("ModelChanged", name="ask", version=None, what="t", tags={"a": "1"}, removed=["b"])
    assert notices(told, NOTHING) == []
    assert [one.event for one in notices(told, PROMPT)] == ["prompt_tag.set", "prompt_tag.deleted"]
    of_version = event("ModelChanged", name="ask", version=1, what="t", tags={"a": "1"})
    assert [one.event for one in notices(of_version, PROMPT)] == ["prompt_version_tag.set"]


@pytest.mark.parametrize(
    ("about", "entity"), [(NOTHING, "model_version_alias"), (PROMPT, "prompt_alias")]
)
def test_an_alias_comes_and_goes(about: About, entity: str) -> None:
    moved = event("AliasMoved", name="churn", alias="champion", version=3, previous=2)
    gone = event("AliasMoved", name="churn", alias="champion", version=None, previous=3)
    assert [(one.event, one.data) for one in (*notices(moved, about), *notices(gone, about))] == [
        (f"{entity}.created", {"name": "churn", "alias": "champion", "version": "3"}),
        (f"{entity}.deleted", {"name": "churn", "alias": "champion"}),
    ]


def test_what_mlflow_has_no_word_for_is_told_to_nobody() -> None:
    for told in (
        event("ModelChanged", name="churn", version=3, what="description"),
        event("ModelDeleted", name="churn"),
        event("StageMoved", name="churn", version=1, stage="Staging", previous="None"),
        event("RunStarted", name="x", kind="script", experiment="Default"),
    ):
        assert notices(told, NOTHING) == []


def test_what_was_erased_is_told_to_nobody() -> None:
    erased = msgspec.structs.replace(event("ModelCreated", name="x", risk="low"), detail=None)
    assert notices(erased, NOTHING) == []


FIELDS: dict[str, set[str]] = {
    "registered_model.created": {"name", "tags", "description"},
    "model_version.created": {"name", "version", "source", "run_id", "tags", "description"},
    "model_version_tag.set": {"name", "version", "key", "value"},
    "model_version_tag.deleted": {"name", "version", "key"},
    "model_version_alias.created": {"name", "alias", "version"},
    "model_version_alias.deleted": {"name", "alias"},
    "prompt.created": {"name", "tags", "description"},
    "prompt_version.created": {"name", "version", "template", "tags", "description"},
    "prompt_tag.set": {"name", "key", "value"},
    "prompt_tag.deleted": {"name", "key"},
    "prompt_version_tag.set": {"name", "version", "key", "value"},
    "prompt_version_tag.deleted": {"name", "version", "key"},
    "prompt_alias.created": {"name", "alias", "version"},
    "prompt_alias.deleted": {"name", "alias"},
}
"""As MLflow 3.17 documents them."""


@pytest.mark.parametrize("name", get_args(WebhookEvent))
def test_an_example_has_the_fields_of_the_real_thing(name: WebhookEvent) -> None:
    assert set(example(name)) == FIELDS[name]
