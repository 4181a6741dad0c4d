"""The description of `/api/v1` (OpenAPI 3.1), made from what the doors declare.

The schemas are msgspec's own, of the very types that check requests and spell answers, so the
description cannot say one thing and the server do another.
"""

from __future__ import annotations

import inspect
from typing import Any, TypeAlias

import msgspec

from millwright.core.version import VERSION
from millwright.server import artifacts
from millwright.server.auth import DEFAULT_PROJECT
from millwright.server.problems import MEDIA_TYPE, ProblemDocument
from millwright.server.routes import PREFIX, Endpoint

Json: TypeAlias = dict[str, Any]

PATH = f"{PREFIX}/openapi.json"
_PROBLEMS = {
    "400": "What was given cannot be right.",
    "401": "Nobody knows who is asking.",
    "403": "The caller may not do this in this project.",
    "404": "Nothing has that name.",
    "409": "The state does not allow it now, or somebody else must agree first.",
    "422": "A gate, check or proof said no.",
    "500": "The work was tried and broke.",
    "503": "Something the server needs does not answer.",
}
_PROJECT = {
    "name": "X-Millwright-Project",
    "in": "header",
    "required": False,
    "description": "The project asked for.",
    "schema": {"type": "string", "default": DEFAULT_PROJECT},
}


def describe(endpoints: list[Endpoint]) -> bytes:
    """Return the document as JSON."""
    types: list[Any] = [ProblemDocument]
    for endpoint in endpoints:
        types += [endpoint.bound.result, *(a.type for a in endpoint.bound.arguments)]
        if endpoint.has_body:
            types.append(endpoint.given)
    schemas, components = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}", schema_hook=_schema_of
    )
    # `describe` walks the types in the order they were listed in.
    following = iter(schemas)
    problem = next(following)
    paths: dict[str, Json] = {}
    for endpoint in endpoints:
        result = next(following)
        arguments = {a.name: next(following) for a in endpoint.bound.arguments}
        body = next(following) if endpoint.has_body else None
        declared = endpoint.bound.operation
        paths.setdefault(PREFIX + declared.path, {})[declared.method.lower()] = _operation(
            endpoint, result=result, arguments=arguments, body=body
        )
    paths[artifacts.PATH.replace(":str}", "}")] = _artifacts()
    document: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": "Millwright",
            "version": VERSION,
            "description": "One loop: data, pipeline, model, gate, deployment, monitor.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": {
                f"Problem{status}": _body_of(told, MEDIA_TYPE, problem)
                for status, told in _PROBLEMS.items()
            },
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "`mw_…`, made by `mill token create`.",
                }
            },
        },
    }
    return msgspec.json.encode(document)


def _schema_of(kind: type) -> Json:
    """Return the schema of what msgspec has none for: `object`, which is any JSON."""
    if kind is object:
        return {"description": "Any JSON."}
    raise NotImplementedError


def _operation(
    endpoint: Endpoint, *, result: Json, arguments: dict[str, Json], body: Json | None
) -> Json:
    bound = endpoint.bound
    in_path = bound.operation.path_arguments
    parameters: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": arguments[name]}
        for name in in_path
    ]
    described: Json = {
        "operationId": f"{bound.noun}.{bound.name}",
        "tags": [bound.noun],
        "summary": bound.summary,
        "x-millwright-permission": [str(bound.operation.needs)],
        "parameters": [*parameters, _PROJECT],
        "responses": _answers(bound.result, result),
    }
    if body is not None:
        described["requestBody"] = {
            "required": any(a.is_required and a.name not in in_path for a in bound.arguments),
            "content": {"application/json": {"schema": body}},
        }
        return described
    for argument in bound.arguments:
        if argument.name in in_path:
            continue
        schema = arguments[argument.name]
        if argument.default is not inspect.Parameter.empty:
            schema = {**schema, "default": argument.default}
        described["parameters"].append(
            {
                "name": argument.name,
                "in": "query",
                "required": argument.is_required,
                "schema": schema,
            }
        )
    return described


def _answers(kind: object, schema: Json) -> Json:
    answers: Json = {}
    if kind is not type(None):
        answers["200"] = _body_of("Done.", "application/json", schema)
    if kind is type(None) or {"type": "null"} in schema.get("anyOf", []):
        answers["204"] = {"description": "Done; there is nothing to say."}
    return answers | _problem_answers()


def _artifacts() -> Json:
    digest: Json = {
        "name": "digest",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": "^b3:[0-9a-f]{64}$"},
    }
    octets: Json = {artifacts.MEDIA_TYPE: {}}
    shared: Json = {"tags": ["artifacts"], "parameters": [digest, _PROJECT]}
    readers = [str(permission) for permission in artifacts.READERS]
    writers = [str(permission) for permission in artifacts.WRITERS]
    return {
        "get": shared
        | {
            "operationId": "artifacts.read",
            "summary": "Return stored bytes.",
            "x-millwright-permission": readers,
            "responses": {"200": {"description": "The bytes.", "content": octets}}
            | _problem_answers(),
        },
        "head": shared
        | {
            "operationId": "artifacts.look",
            "summary": "Tell whether bytes are stored, and how many they are.",
            "x-millwright-permission": readers + writers,
            "responses": {"200": {"description": "They are stored."}} | _problem_answers(),
        },
        "put": shared
        | {
            "operationId": "artifacts.store",
            "summary": "Store bytes, which must have this digest.",
            "x-millwright-permission": writers,
            "requestBody": {"required": True, "content": octets},
            "responses": {"204": {"description": "They are stored."}} | _problem_answers(),
        },
    }


def _problem_answers() -> Json:
    return {status: {"$ref": f"#/components/responses/Problem{status}"} for status in _PROBLEMS}


def _body_of(told: str, media_type: str, schema: Json) -> Json:
    return {"description": told, "content": {media_type: {"schema": schema}}}
