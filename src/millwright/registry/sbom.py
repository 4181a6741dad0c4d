"""What is in a model version's environment, as a CycloneDX bill of materials.

The same environment of the same model gives the same bytes: the serial number is made from the
content, and nothing tells the time. A scanner looks the components up by their package URLs.

Source: CycloneDX 1.6, JSON.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from millwright.core.digest import PREFIX, digest_bytes
from millwright.core.version import VERSION
from millwright.records.models import ModelVersion
from millwright.registry.environment import Environment

Json: TypeAlias = "str | int | None | list[Json] | dict[str, Json]"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PINNED = re.compile(r"==\s*([A-Za-z0-9.+!_-]+)")
_RUNS = re.compile(r"[-_.]+")


def bill_of_materials(version: ModelVersion, environment: Environment) -> bytes:
    """Return the bill as JSON: the model, Python, and each distribution of its environment.

    A distribution whose version is not fixed stands in it without one.
    """
    components: list[Json] = [
        _component(name, pinned) for name, pinned in sorted(_distributions(environment).items())
    ]
    python = f"pkg:generic/python@{environment.python}"
    components.append(
        {
            "type": "platform",
            "bom-ref": python,
            "name": "python",
            "version": environment.python,
            "purl": python,
        }
    )
    model = f"{version.name}@v{version.version}"
    body: dict[str, Json] = {
        "metadata": {
            "tools": {
                "components": [{"type": "application", "name": "millwright", "version": VERSION}]
            },
            "component": {
                "type": "machine-learning-model",
                "bom-ref": model,
                "name": version.name,
                "version": f"v{version.version}",
                "hashes": [
                    {"alg": "BLAKE3", "content": version.package_digest.removeprefix(PREFIX)}
                ],
            },
        },
        "components": components,
        "dependencies": [{"ref": model, "dependsOn": _refs(components)}],
    }
    digest = digest_bytes(msgspec.json.encode(body, order="sorted")).removeprefix(PREFIX)
    serial = uuid.UUID(bytes=bytes.fromhex(digest[:32]), version=5)
    return msgspec.json.encode(
        {
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "serialNumber": f"urn:uuid:{serial}",
            "version": 1,
        }
        | body
    )


def _distributions(environment: Environment) -> Mapping[str, str | None]:
    found: dict[str, str | None] = {}
    for line in environment.requirements:
        name = _NAME.match(line)
        assert name is not None, "an environment holds plain requirements"
        pinned = _PINNED.search(line.partition(";")[0])
        found[_RUNS.sub("-", name[0]).lower()] = None if pinned is None else pinned[1]
    return found


def _component(name: str, pinned: str | None) -> dict[str, Json]:
    url = f"pkg:pypi/{name}" + (f"@{pinned.replace('+', '%2B')}" if pinned else "")
    component: dict[str, Json] = {"type": "library", "bom-ref": url, "name": name, "purl": url}
    return component | ({"version": pinned} if pinned else {})


def _refs(components: list[Json]) -> list[Json]:
    return [each["bom-ref"] for each in components if isinstance(each, dict)]
