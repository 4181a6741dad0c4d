from __future__ import annotations

import json

import pytest

from fixtures.homes import SOURCE, Place
from fixtures.registries import packaged
from millwright.artifacts.trees import put_tree
from millwright.core.canonical import encode
from millwright.core.digest import digest_bytes
from millwright.core.errors import Corrupt, NotFound
from millwright.journal.checkpoints import VerifierKey
from millwright.records.models import Attestation
from millwright.registry.attest import Predicate, verify_statement
from millwright.tracking.environment import installed


def said(found: Attestation) -> Predicate:
    return verify_statement(found.envelope.encode(), VerifierKey.parse(found.key)).predicate


def components(found: Attestation) -> set[str]:
    assert found.sbom is not None
    return {one["name"] for one in json.loads(found.sbom)["components"]}


def test_a_version_is_attested_with_its_run_verdict_and_bill(place: Place) -> None:
    ref = place.trained(0)
    report = place.judged(ref)
    found = place.me.models.attest(ref=ref, reason="for the auditor")
    predicate = said(found)
    assert predicate.run is not None
    assert (predicate.model, predicate.version) == ("churn", 1)
    assert predicate.run.id == place.me.models.show(ref=ref).run
    assert [one.gate for one in predicate.gates] == [report.id]
    assert found.sbom is not None
    assert predicate.sbom_digest == digest_bytes(found.sbom.encode())
    assert {"scikit-learn", "python"} <= components(found)
    assert place.me.models.attestation(ref="churn") == found
    (event,) = place.events("ModelAttested")
    assert event.id == found.event
    assert [(one.kind, one.digest) for one in event.subjects] == [
        ("model_version", place.me.models.show(ref=ref).digest),
        ("attestation", found.digest),
        ("bill_of_materials", predicate.sbom_digest),
    ]


def test_the_bill_names_all_that_was_installed_where_the_run_kept_it(place: Place) -> None:
    kept = place.home.artifacts.put_bytes(encode(installed()))
    source = type(SOURCE)(command=[], python="3.11", platform="test", environment_digest=kept)
    run = place.me.runs.start(name="fit", source=source).id
    ref = place.version(0, run=run)
    assert "pytest" in components(place.me.models.attest(ref=ref))


def test_the_same_statement_is_made_once_and_a_new_verdict_makes_another(place: Place) -> None:
    ref = place.version(0)
    first = place.me.models.attest(ref=ref)
    assert place.me.models.attest(ref=ref) == first
    assert len(place.events("ModelAttested")) == 1
    place.judged(ref)
    second = place.me.models.attest(ref=ref)
    assert second.digest != first.digest
    assert place.me.models.attestation(ref=ref) == second


def test_a_version_without_a_run_or_an_environment_has_no_bill(place: Place) -> None:
    place.me.models.create(name="churn")
    files = packaged(0)
    for requirements in (None, b"https://elsewhere.example/a.whl\n"):
        changed = {path: data for path, data in files.items() if path != "requirements.txt"}
        if requirements is not None:
            changed["requirements.txt"] = requirements
        package = put_tree(place.home.artifacts, changed).digest
        version = place.me.models.register_source(name="churn", address="here", folder=None)
        with place.home.database.write() as tx:
            tx.run(
                "UPDATE model_version SET package_digest = :d WHERE id = :id",
                d=package,
                id=version.id,
            )
        found = place.me.models.attest(ref=version.id)
        assert (found.sbom, said(found).run, said(found).sbom_digest) == (None, None, None)


def test_a_damaged_package_is_not_attested(place: Place) -> None:
    ref = place.version(0)
    files = place.home.artifacts_folder
    largest = max(
        (path for path in files.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )
    data = bytearray(largest.read_bytes())
    data[100] ^= 1
    largest.chmod(0o600)
    largest.write_bytes(bytes(data))
    with pytest.raises(Corrupt):
        place.me.models.attest(ref=ref)
    with pytest.raises(NotFound, match="nobody has attested churn@v1"):
        place.me.models.attestation(ref=ref)


def test_what_nobody_has_attested_says_how(place: Place) -> None:
    with pytest.raises(NotFound) as caught:
        place.me.models.attestation(ref=place.version(0))
    assert caught.value.fix == "do it: mill model attest churn@v1"
    with pytest.raises(NotFound):
        place.me.models.attest(ref="churn@v9")
