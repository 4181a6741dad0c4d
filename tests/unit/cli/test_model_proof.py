"""Versions vouched for, checked and downloaded: `mill model attest|verify|fetch|allow-pickle`."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from fixtures.cards import version
from fixtures.command_line import Mill
from fixtures.pickled import pickled_package
from millwright.cli.model_proof import check_attestation
from millwright.core.errors import Corrupt
from millwright.journal.checkpoints import SigningKey
from millwright.records.models import Attestation, ModelVersion, PickleRuling
from millwright.registry.attest import Statement


@pytest.fixture
def project(registered: Mill) -> Mill:
    return registered


def test_a_version_is_attested_and_verified(project: Mill) -> None:
    ended = project("model", "verify", "churn@v1")
    assert (ended.code, "mill model attest churn@v1" in ended.err) == (3, True)
    ended = project.ok("model", "attest", "churn", "--reason", "for the auditor")
    assert ended.out.startswith("attested")
    found = project.ok("model", "attest", "churn", "--json").record(Attestation)
    assert found.sbom is not None
    said = project.ok("model", "verify", "churn", "--key", found.key, "--json").record(Statement)
    assert said.predicate.package_digest == version_of(project).package_digest
    ended = project.ok("model", "verify", "churn")
    assert f"signed by          {'+'.join(found.key.split('+')[:2])}\n" in ended.out
    assert ended.plain.startswith("verified  churn@v1\nfiles  8\npackage  DIGEST\n")
    assert "with --key it is the one you kept" in ended.err


def test_a_download_is_as_registered_and_a_changed_file_is_named(project: Mill) -> None:
    project.ok("model", "attest", "churn")
    ended = project.ok("model", "fetch", "churn@v1", "out")
    assert ended.out == "churn@v1 is in out, as registered\n"
    project.ok("model", "verify", "churn@v1", "--folder", "out")
    assert project("model", "fetch", "churn@v1", "out").code == 6
    (project.folder / "out" / "model.onnx").write_bytes(b"another")
    ended = project("model", "verify", "churn@v1", "--folder", "out")
    assert ended.code == 5
    assert "why: model.onnx was changed" in ended.err
    ended = project("model", "verify", "churn@v1", "--folder", "elsewhere")
    assert (ended.code, ended.err) == (3, "error: there is no folder elsewhere\n")


def test_a_damaged_store_gives_nothing_out(project: Mill) -> None:
    project.ok("model", "attest", "churn")
    files = (project.folder / ".millwright" / "artifacts").rglob("*")
    largest = max((one for one in files if one.is_file()), key=lambda one: one.stat().st_size)
    largest.chmod(0o600)
    largest.write_bytes(largest.read_bytes()[:-1] + b"?")
    assert project("model", "fetch", "churn@v1", "out").code == 5
    assert not (project.folder / "out").exists()
    assert project("model", "verify", "churn@v1").code == 5


def test_another_key_did_not_sign_it(project: Mill) -> None:
    found = project.ok("model", "attest", "churn", "--json").record(Attestation)
    name = found.key.partition("+")[0]
    other = SigningKey(Ed25519PrivateKey.generate()).verifier(name).text()
    ended = project("model", "verify", "churn", "--key", other)
    assert ended.code == 5
    assert f"the statement is not signed by the key {name}+" in ended.err
    assert project("model", "verify", "churn", "--key", "none").code == 2


def test_what_was_exchanged_is_told(project: Mill) -> None:
    found = project.ok("model", "attest", "churn", "--json").record(Attestation)
    mine = version_of(project)
    assert check_attestation(found, mine, key=found.key).predicate.model == "churn"
    envelope = json.loads(found.envelope)
    payload = base64.b64decode(envelope["payload"]).replace(b'"version":1', b'"version":2')
    forged = json.dumps(envelope | {"payload": base64.b64encode(payload).decode()})
    cases = [
        (replace(found, envelope=forged), mine, "signature under the statement is false"),
        (replace(found, sbom="{}"), mine, "bill of materials is not the one"),
        (found, version(), "the statement is not of churn@v2"),
    ]
    for attestation, of, words in cases:
        with pytest.raises(Corrupt, match=words):
            check_attestation(attestation, of, key=found.key)


def test_a_pickle_is_allowed_and_refused_again(project: Mill) -> None:
    ended = project("model", "allow-pickle", "churn@v1", "--reason", "ours")
    assert (ended.code, "churn@v1 is no pickle" in ended.err) == (2, True)
    pickled_package(project.folder / "old")
    project.ok("model", "register", "old", "--name", "old")
    words = ["model", "allow-pickle", "old@v1", "--reason", "ours"]
    assert project.ok(*words, "--dry-run").out.startswith("would allow pickle\n")
    ruling = project.ok(*words, "--json").record(PickleRuling)
    assert (ruling.allowed, ruling.reason) == (True, "ours")
    project.write("rows.csv", "a,b,y\n" + "1,2,0\n3,4,1\n" * 20)
    project.ok("data", "add", "rows.csv")
    ended = project("gate", "check", "old@v1", "--data", "rows", "--target", "y")
    assert (ended.code, "is a pickle" in ended.err) == (5, True)
    assert ended.err.splitlines()[-1].startswith("fix: log it with serialization_format='skops'")
    assert "allow-pickle" not in ended.err
    ended = project.ok("model", "refuse-pickle", "old@v1")
    assert ended.plain == (
        "model  old@v1\ndigest  DIGEST\npickle  refused\nreason  -\nevent  evt_ID\n"
    )
    assert project("model", "allow-pickle", "old@v1").code == 2


def version_of(mill: Mill) -> ModelVersion:
    return mill.ok("model", "show", "churn@v1", "--json").record(ModelVersion)
