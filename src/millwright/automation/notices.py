"""What events of the journal are in MLflow's words, as its webhooks tell them: pure.

A prompt is a model with a tag that says so; what happens to it has names of its own. Of what
an event's detail does not hold, the record as it stands is taken. Not everything of ours has a
word there: stages, descriptions, renaming and deletion are told to nobody, as with MLflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import msgspec

from millwright.core.ids import to_hex
from millwright.records.automation import WebhookEvent
from millwright.records.events import (
    AliasMoved,
    Event,
    JsonValue,
    ModelChanged,
    ModelCreated,
    ModelVersionRegistered,
)
from millwright.records.models import ModelVersion

IS_PROMPT = "mlflow.prompt.is_prompt"
PROMPT_TEXT = "mlflow.prompt.text"
PROMPT_TYPE = "_mlflow_prompt_type"

KINDS: Mapping[str, type[ModelCreated | ModelVersionRegistered | ModelChanged | AliasMoved]] = (
    MappingProxyType(
        {
            kind.__name__: kind
            for kind in (ModelCreated, ModelVersionRegistered, ModelChanged, AliasMoved)
        }
    )
)
"""The kinds of events that can be told."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell."""

    event: WebhookEvent
    data: dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class About:
    """What an event is about, as it stands now."""

    tags: Mapping[str, str]
    """Of the model."""
    description: str
    """Of the model."""
    version: ModelVersion | None = None
    """With its tags, where the event is about one."""

    @property
    def is_prompt(self) -> bool:
        """Tell whether it is a prompt rather than a model."""
        of_version = {} if self.version is None else self.version.tags
        return any(tags.get(IS_PROMPT, "").lower() == "true" for tags in (self.tags, of_version))


def notices(event: Event, about: About) -> list[Notice]:
    """Return what an event is in MLflow's words; nothing where it has none."""
    kind = KINDS.get(event.kind)
    if kind is None or event.detail is None:
        return []
    match msgspec.convert(event.detail, kind):
        case ModelCreated() as created:
            return [_created(created, about)]
        case ModelVersionRegistered() as registered:
            return [_registered(registered, about)]
        case AliasMoved() as moved:
            return [_moved(moved, about)]
        case ModelChanged() as changed:
            return _changed(changed, about)


def example(event: WebhookEvent) -> dict[str, JsonValue]:
    """Return what a webhook might be told of such an event, for trying it out.

    >>> example("prompt_alias.deleted")
    {'name': 'example', 'alias': 'champion'}
    """
    entity, _, action = event.partition(".")
    said: dict[str, JsonValue] = {"name": "example"}
    if entity.endswith("alias"):
        said["alias"] = "champion"
    if "version" in entity and not (entity.endswith("alias") and action == "deleted"):
        said["version"] = "1"
    if entity == "prompt_alias" and action == "created":
        said["version"] = "1"
    if entity.endswith("tag"):
        said["key"] = "checked"
    if action == "set":
        said["value"] = "yes"
    if entity == "model_version":
        said |= {"source": "models:/m-example", "run_id": None}
    if entity == "prompt_version":
        said["template"] = "Say {{what}}."
    if action == "created" and not entity.endswith("alias"):
        said |= {"tags": {"checked": "yes"}, "description": "An example, sent to try it out"}
    return said


def _created(created: ModelCreated, about: About) -> Notice:
    said: dict[str, JsonValue] = {"name": created.name}
    description = about.description if created.description is None else created.description
    tags = _whole(created.tags, about.tags)
    if about.is_prompt:
        said["tags"] = _without(tags, IS_PROMPT, PROMPT_TYPE)
        return Notice("prompt.created", said | {"description": description or None})
    said["tags"] = _without(tags)
    return Notice("registered_model.created", said | {"description": description or None})


def _registered(registered: ModelVersionRegistered, about: About) -> Notice:
    version = about.version
    said: dict[str, JsonValue] = {"name": registered.name, "version": str(registered.version)}
    description = registered.description
    if description is None:
        description = "" if version is None else version.description
    tags = _whole(registered.tags, {} if version is None else version.tags)
    if about.is_prompt:
        said["template"] = tags.get(PROMPT_TEXT)
        said["tags"] = _without(tags, IS_PROMPT, PROMPT_TYPE, PROMPT_TEXT)
        return Notice("prompt_version.created", said | {"description": description or None})
    said["source"] = registered.source
    said["run_id"] = None if version is None or version.run is None else to_hex(version.run)
    said["tags"] = _without(tags)
    return Notice("model_version.created", said | {"description": description or None})


def _moved(moved: AliasMoved, about: About) -> Notice:
    said: dict[str, JsonValue] = {"name": moved.name, "alias": moved.alias}
    if moved.version is None:
        return Notice(
            "prompt_alias.deleted" if about.is_prompt else "model_version_alias.deleted", said
        )
    said["version"] = str(moved.version)
    return Notice(
        "prompt_alias.created" if about.is_prompt else "model_version_alias.created", said
    )


def _changed(changed: ModelChanged, about: About) -> list[Notice]:
    said: dict[str, JsonValue] = {"name": changed.name}
    if changed.version is None:
        if not about.is_prompt:
            return []  # MLflow has no word for the tags of a model.
        of_set: WebhookEvent = "prompt_tag.set"
        of_removed: WebhookEvent = "prompt_tag.deleted"
        standing = about.tags
    else:
        said["version"] = str(changed.version)
        of_set = "prompt_version_tag.set" if about.is_prompt else "model_version_tag.set"
        of_removed = (
            "prompt_version_tag.deleted" if about.is_prompt else "model_version_tag.deleted"
        )
        standing = {} if about.version is None else about.version.tags
    found = [
        Notice(of_set, said | {"key": key, "value": value})
        for key, value in _whole(changed.tags, standing).items()
    ]
    return found + [Notice(of_removed, said | {"key": key}) for key in changed.removed]


def _whole(kept: Mapping[str, str | None], standing: Mapping[str, str]) -> dict[str, str]:
    """Return tags as an event keeps them; a value too long for it is that of now."""
    return {key: standing.get(key, "") if value is None else value for key, value in kept.items()}


def _without(tags: Mapping[str, str], *keys: str) -> dict[str, JsonValue]:
    return {key: value for key, value in tags.items() if key not in keys}
