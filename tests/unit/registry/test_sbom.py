from __future__ import annotations

import json
import uuid
from typing import Any

from fixtures.cards import version
from millwright.registry.environment import Environment
from millwright.registry.sbom import bill_of_materials

ENVIRONMENT = Environment(
    "3.11.7",
    ("Foo_Bar.baz==1.0+cpu", "lightgbm[dask]>=4.5,<5", "numpy==2.0.0; python_version < '3.13'"),
)


def bill(environment: Environment = ENVIRONMENT) -> Any:
    return json.loads(bill_of_materials(version(), environment))


def test_it_lists_the_model_python_and_every_distribution() -> None:
    said = bill()
    assert (said["bomFormat"], said["specVersion"], said["version"]) == ("CycloneDX", "1.6", 1)
    assert [component["purl"] for component in said["components"]] == [
        "pkg:pypi/foo-bar-baz@1.0%2Bcpu",
        "pkg:pypi/lightgbm",
        "pkg:pypi/numpy@2.0.0",
        "pkg:generic/python@3.11.7",
    ]
    assert "version" not in said["components"][1]
    model = said["metadata"]["component"]
    assert (model["type"], model["name"], model["version"]) == (
        "machine-learning-model",
        "churn",
        "v2",
    )
    assert model["hashes"] == [{"alg": "BLAKE3", "content": version().package_digest[3:]}]
    refs = [component["bom-ref"] for component in said["components"]]
    assert said["dependencies"] == [{"ref": "churn@v2", "dependsOn": refs}]


def test_its_number_comes_from_its_content() -> None:
    first, second = bill(), bill()
    assert first == second
    number = uuid.UUID(first["serialNumber"].removeprefix("urn:uuid:"))
    assert number.version == 5
    assert bill(Environment("3.12.0", ()))["serialNumber"] != first["serialNumber"]
