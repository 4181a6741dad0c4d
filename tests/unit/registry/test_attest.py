from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fixtures.cards import FILES, digest, report, run, stored, version
from millwright.artifacts.trees import fetch_tree
from millwright.core.errors import Corrupt, Invalid
from millwright.journal.checkpoints import SigningKey, VerifierKey
from millwright.registry.attest import (
    PREDICATE_TYPE,
    Statement,
    check_bill,
    check_files,
    check_version,
    key_id,
    make_statement,
    sign_statement,
    verify_statement,
)

NAME = "home.example"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(32))
SIGNING = SigningKey(PRIVATE)
KEY = SIGNING.verifier(NAME)
OTHER = VerifierKey("other", Ed25519PrivateKey.generate().public_key().public_bytes_raw())


def statement() -> Statement:
    store, tree = stored()
    return make_statement(
        version(), tree=tree, open_=store.open, run=run(), reports=[report()],
        sbom_digest=digest("9"),
    )  # fmt: skip


def signed() -> bytes:
    return sign_statement(statement(), key=SIGNING, name=NAME)


class TestStatement:
    def test_it_is_in_totos_and_names_each_file_by_two_digests(self) -> None:
        envelope = json.loads(signed())
        said = json.loads(base64.b64decode(envelope["payload"]))
        assert said["_type"] == "https://in-toto.io/Statement/v1"
        assert said["predicateType"] == PREDICATE_TYPE
        names = ["churn@v2", *sorted(FILES)]
        assert [subject["name"] for subject in said["subject"]] == names
        expected = hashlib.sha256(FILES["model.onnx"]).hexdigest()
        assert said["subject"][3]["digest"]["sha256"] == expected
        assert said["subject"][0]["digest"]["blake3"] == version().package_digest[3:]

    def test_it_says_what_the_version_was_made_from_and_how_it_was_judged(self) -> None:
        predicate = statement().predicate
        assert [(each.kind, each.digest) for each in predicate.inputs] == [
            ("dataset_version", digest("1"))
        ]
        assert [(each.verdict, each.baseline) for each in predicate.gates] == [("pass", 1)]
        assert predicate.run is not None
        assert predicate.run.code_digest == digest("c")
        assert predicate.sbom_digest == digest("9")

    def test_the_same_version_gives_the_same_bytes(self) -> None:
        assert signed() == signed()

    def test_a_version_that_no_run_of_ours_trained(self) -> None:
        store, tree = stored()
        said = make_statement(version(), tree=tree, open_=store.open)
        assert (said.predicate.run, said.predicate.inputs, said.predicate.gates) == (None, [], [])

    def test_another_package_than_the_versions_is_refused(self) -> None:
        store, tree = stored()
        other = version(package_digest=digest("7"))
        with pytest.raises(Invalid, match="is not the package of churn@v2"):
            make_statement(other, tree=tree, open_=store.open)


class TestSignature:
    def test_what_was_signed_is_read_back(self) -> None:
        assert verify_statement(signed(), KEY) == statement()

    def test_it_is_dsse_as_specified(self) -> None:
        envelope = json.loads(signed())
        payload = base64.b64decode(envelope["payload"])
        kind = envelope["payloadType"]
        assert kind == "application/vnd.in-toto+json"
        message = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
        PRIVATE.public_key().verify(base64.b64decode(envelope["signatures"][0]["sig"]), message)
        assert envelope["signatures"][0]["keyid"] == key_id(KEY)

    def test_other_signatures_are_passed_over(self) -> None:
        envelope = json.loads(signed())
        envelope["signatures"].insert(0, {"keyid": "someone", "sig": "AAAA"})
        assert verify_statement(json.dumps(envelope).encode(), KEY) == statement()
        with pytest.raises(Corrupt, match="not signed by the key other"):
            verify_statement(json.dumps(envelope).encode(), OTHER)

    @pytest.mark.parametrize("what", ["payload", "signature"])
    def test_a_change_is_found(self, what: str) -> None:
        envelope = json.loads(signed())
        if what == "payload":
            said = json.loads(base64.b64decode(envelope["payload"]))
            said["predicate"]["gates"][0]["verdict"] = "fail"
            envelope["payload"] = base64.b64encode(json.dumps(said).encode()).decode()
        else:
            envelope["signatures"][0]["sig"] = base64.b64encode(bytes(64)).decode()
        with pytest.raises(Corrupt, match="signature under the statement is false"):
            verify_statement(json.dumps(envelope).encode(), KEY)

    @pytest.mark.parametrize(
        ("envelope", "words"),
        [
            (b"{}", "no signed statement"),
            (b"\xff", "no signed statement"),
            (b'{"payloadType":"x","payload":"e30=","signatures":[]}', "holds 'x'"),
            (b'{"payloadType":"x","payload":"*","signatures":[]}', "no signed statement"),
        ],
    )
    def test_what_is_no_envelope_is_told(self, envelope: bytes, words: str) -> None:
        with pytest.raises(Invalid, match=words):
            verify_statement(envelope, KEY)

    def test_a_statement_about_something_else_is_told(self) -> None:
        said = statement()
        other = Statement(
            subject=said.subject, predicate_type="urn:other", predicate=said.predicate
        )
        envelope = sign_statement(other, key=SIGNING, name=NAME)
        with pytest.raises(Invalid, match="states nothing of a model version"):
            verify_statement(envelope, KEY)


def test_a_statement_about_another_version_is_told() -> None:
    check_version(statement(), version())
    for other in (version(digest=digest("7")), version(id="mov_9")):
        with pytest.raises(Corrupt, match="not of churn@v2"):
            check_version(statement(), other)


def test_another_bill_of_materials_is_told() -> None:
    for bill in ("{}", None):
        with pytest.raises(Corrupt, match="not the one that was attested"):
            check_bill(statement(), bill)


class TestFiles:
    def test_the_package_as_it_was_passes_and_each_change_is_named(self, tmp_path: Path) -> None:
        store, tree = stored()
        folder = tmp_path / "package"
        fetch_tree(store, tree.digest, folder)
        check_files(statement(), folder)
        (folder / "model.onnx").write_bytes(b"other")
        (folder / "MLmodel").unlink()
        (folder / "extra").write_bytes(b"")
        with pytest.raises(Corrupt) as caught:
            check_files(statement(), folder)
        assert caught.value.why == ("MLmodel is missing; extra was added; model.onnx was changed")

    def test_links_are_named_whatever_they_point_at(self, tmp_path: Path) -> None:
        store, tree = stored()
        folder = tmp_path / "package"
        fetch_tree(store, tree.digest, folder)
        (folder / "model.onnx").rename(tmp_path / "model.onnx")
        (folder / "model.onnx").symlink_to(tmp_path / "model.onnx")
        (folder / "folder").symlink_to(tmp_path)
        (folder / "nowhere").symlink_to(tmp_path / "gone")
        with pytest.raises(Corrupt) as caught:
            check_files(statement(), folder)
        assert caught.value.why == (
            "folder was added; nowhere was added; model.onnx is no plain file"
        )
