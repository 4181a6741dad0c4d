"""The description of the API."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from millwright.doors.door import all_operations
from millwright.server.openapi import describe
from millwright.server.routes import PREFIX, endpoints


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return json.loads(describe(endpoints()))


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        operation["operationId"]: operation
        for methods in document["paths"].values()
        for operation in methods.values()
    }


def test_every_operation_is_described_with_its_permission_and_problems(
    document: dict[str, Any],
) -> None:
    assert document["openapi"] == "3.1.0"
    described = operations(document)
    declared = {f"{bound.noun}.{bound.name}": bound for bound in all_operations()}
    streams = {"artifacts.read", "artifacts.look", "artifacts.store"}
    assert set(described) == set(declared) | streams
    for name, bound in declared.items():
        assert bound.operation.method.lower() in document["paths"][PREFIX + bound.operation.path]
        assert described[name]["x-millwright-permission"] == [bound.operation.needs.value]
    for operation in described.values():
        problems = {"400", "401", "403", "404", "409", "422", "500", "503"}
        assert problems <= set(operation["responses"])
        assert {"200", "204"} & set(operation["responses"])


def test_every_argument_is_described_once(document: dict[str, Any]) -> None:
    for bound in all_operations():
        operation = operations(document)[f"{bound.noun}.{bound.name}"]
        named = [one["name"] for one in operation["parameters"] if one["in"] != "header"]
        if "requestBody" in operation:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            body = resolve(document, schema["$ref"])
            assert body["additionalProperties"] is False
            named += body["properties"]
            needed = {a.name for a in bound.arguments if a.is_required}
            assert set(body.get("required", [])) == needed - set(bound.operation.path_arguments)
        assert sorted(named) == sorted(a.name for a in bound.arguments)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    references = set(re.findall(r'"\$ref": "([^"]+)"', text))
    assert len(references) > 30
    for reference in references:
        assert resolve(document, reference)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in document["components"]["schemas"])


def test_alternatives_are_told_apart_by_their_tag(document: dict[str, Any]) -> None:
    schema = document["components"]["schemas"]["ExpectationResult"]["properties"]["expectation"]
    assert schema["discriminator"]["propertyName"] == "type"
    assert len(schema["anyOf"]) == 6


def test_defaults_and_absence_are_told(document: dict[str, Any]) -> None:
    parameters = operations(document)["audit.events"]["parameters"]
    limit = next(one for one in parameters if one["name"] == "limit")
    assert limit == {
        "name": "limit",
        "in": "query",
        "required": False,
        "schema": {"type": "integer", "default": 100},
    }
    assert "200" not in operations(document)["runs.log_params"]["responses"]
    assert "204" in operations(document)["monitors.check"]["responses"]
    assert operations(document)["monitors.check"]["requestBody"]["required"] is False


def resolve(document: dict[str, Any], reference: str) -> dict[str, Any]:
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found
