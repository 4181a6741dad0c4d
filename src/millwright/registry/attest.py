"""Signed statements of what a model version is and what it was made from.

An in-toto statement names the package and each of its files by two digests, so that whoever has
the files and the public key can check them with common tools, without us; its predicate names
the training run, the data, and the verdicts of gates. It is signed as a DSSE envelope. What is
signed begins with `DSSEv1` and a space, which no checkpoint of the journal can, so the home's
key signs both.

Sources: in-toto Attestation Framework v1 (Statement), DSSE v1.0, RFC 8032.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, TypeAlias

import msgspec
from msgspec import Struct, field

from millwright.artifacts.files import read_pieces
from millwright.artifacts.paths import join, parse_artifact_path
from millwright.artifacts.trees import Tree, encode_manifest
from millwright.core.digest import PREFIX, Digest, digest_bytes, digest_file
from millwright.core.errors import Corrupt, Invalid
from millwright.journal.checkpoints import DSSE, SigningKey, VerifierKey
from millwright.records.models import GateReport, ModelVersion, Verdict
from millwright.records.runs import Run, RunLink

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:millwright:model-version:v1"

Open: TypeAlias = Callable[[Digest], BinaryIO]
"""Opens stored bytes, held against their digest."""


class AttestedFile(Struct, frozen=True, kw_only=True):
    """A file by its digests, as hexadecimal digits: `sha256` and `blake3`."""

    name: str
    digest: dict[str, str]


class AttestedRun(Struct, frozen=True, kw_only=True, rename="camel"):
    """The run that trained the model."""

    id: str
    pipeline: str | None
    actor: str
    start_us: int
    end_us: int | None
    code_digest: str | None
    environment_digest: str | None
    git_commit: str | None
    git_diff_digest: str | None
    telemetry_digest: str | None


class AttestedInput(Struct, frozen=True, kw_only=True):
    """One thing the run read."""

    kind: str
    name: str
    id: str
    digest: str


class AttestedVerdict(Struct, frozen=True, kw_only=True):
    """What a gate said of the version."""

    gate: str
    verdict: Verdict
    baseline: int | None
    digest: str
    evidence: dict[str, str]


class Predicate(Struct, frozen=True, kw_only=True, rename="camel"):
    """What is said of the version."""

    model: str
    version: int
    id: str
    model_digest: str
    package_digest: str
    flavors: list[str]
    actor: str
    registered_us: int
    run: AttestedRun | None
    inputs: list[AttestedInput]
    gates: list[AttestedVerdict]
    sbom_digest: str | None
    """Of the list of what is in its environment, where one was made."""


class Statement(Struct, frozen=True, kw_only=True, rename="camel"):
    """An in-toto statement about a model version."""

    type_: str = field(name="_type", default=STATEMENT_TYPE)
    subject: list[AttestedFile]
    predicate_type: str = PREDICATE_TYPE
    predicate: Predicate


class _Signature(Struct, frozen=True, kw_only=True):
    keyid: str
    sig: str


class _Envelope(Struct, frozen=True, kw_only=True, rename="camel"):
    payload_type: str
    payload: str
    signatures: list[_Signature]


def make_statement(
    version: ModelVersion,
    *,
    tree: Tree,
    open_: Open,
    run: Run | None = None,
    reports: Iterable[GateReport] = (),
    sbom_digest: Digest | None = None,
) -> Statement:
    """Return the statement about a version whose package is `tree`; every file is read once.

    Raises Invalid when the tree is not the version's package.
    """
    if tree.digest != version.package_digest:
        raise Invalid(
            f"{tree.digest} is not the package of {version.name}@v{version.version}",
            why=f"that is {version.package_digest}",
        )
    manifest = encode_manifest(tree.entries)
    files = [
        AttestedFile(
            name=f"{version.name}@v{version.version}",
            digest=_digests(tree.digest, hashlib.sha256(manifest).hexdigest()),
        )
    ]
    for entry in tree.entries:
        with open_(entry.digest) as stream:
            files.append(
                AttestedFile(name=entry.path, digest=_digests(entry.digest, _sha256(stream)))
            )
    return Statement(
        subject=files,
        predicate=Predicate(
            model=version.name,
            version=version.version,
            id=version.id,
            model_digest=version.digest,
            package_digest=version.package_digest,
            flavors=version.flavors,
            actor=version.actor,
            registered_us=version.created_us,
            run=None if run is None else _attested(run),
            inputs=[] if run is None else _inputs(run.links),
            gates=[_verdict(report) for report in reports],
            sbom_digest=sbom_digest,
        ),
    )


def sign_statement(statement: Statement, *, key: SigningKey, name: str) -> bytes:
    """Return the statement in an envelope signed under `name`, as JSON."""
    payload = msgspec.json.encode(statement, order="sorted")
    signature = key.sign_statement(_pre_authentication(payload))
    envelope = _Envelope(
        payload_type=PAYLOAD_TYPE,
        payload=_base64(payload),
        signatures=[_Signature(keyid=key_id(key.verifier(name)), sig=_base64(signature))],
    )
    return msgspec.json.encode(envelope, order="sorted")


def verify_statement(envelope: bytes, key: VerifierKey) -> Statement:
    """Return what an envelope states, having checked that `key` signed it.

    Signatures by other keys are passed over. Raises Invalid when it is no envelope of such a
    statement, and Corrupt when this key's signature is missing or false.
    """
    try:
        found = msgspec.json.decode(envelope, type=_Envelope)
        payload = base64.b64decode(found.payload, validate=True)
    except (msgspec.DecodeError, binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise Invalid("this is no signed statement", why=str(error)[:300]) from error
    if found.payload_type != PAYLOAD_TYPE:
        raise Invalid(
            f"the envelope holds {found.payload_type[:80]!r}", why=f"{PAYLOAD_TYPE} is read here"
        )
    _check_signature(found.signatures, payload, key)
    try:
        statement = msgspec.json.decode(payload, type=Statement)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid("this states nothing of a model version", why=str(error)[:300]) from error
    if (statement.type_, statement.predicate_type) != (STATEMENT_TYPE, PREDICATE_TYPE):
        raise Invalid(
            "this states nothing of a model version",
            why=f"it is a {statement.type_[:80]} with a {statement.predicate_type[:80]}",
        )
    return statement


def check_version(statement: Statement, version: ModelVersion) -> None:
    """Raise Corrupt unless the statement is of this version as it is recorded now."""
    said = statement.predicate
    wanted = (version.id, version.digest, version.package_digest)
    if (said.id, said.model_digest, said.package_digest) != wanted:
        raise Corrupt(
            f"the statement is not of {version.name}@v{version.version}",
            why=f"it is of {said.model}@v{said.version}, {said.id}, whose package is "
            f"{said.package_digest}; recorded is {version.id}, {version.package_digest}",
            fix="run `mill audit verify`: the statement or the record was exchanged",
        )


def check_bill(statement: Statement, bill: str | None) -> None:
    """Raise Corrupt unless `bill` is the bill of materials that was attested, or neither is."""
    found = None if bill is None else digest_bytes(bill.encode())
    if found != statement.predicate.sbom_digest:
        raise Corrupt(
            "the bill of materials is not the one that was attested",
            why=f"attested is {statement.predicate.sbom_digest}, and this is {found}",
            fix="run `mill audit verify`; restore the artifact store from a backup",
        )


def check_files(statement: Statement, folder: Path) -> None:
    """Hold the package in `folder` against a statement, both digests of every file.

    Raises Corrupt that names every file that is missing, added or not what it was.
    """
    stated = {file.name: file.digest for file in statement.subject[1:]}
    # Links are named too: what they point at may change behind the back of whoever checked it.
    there = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }
    faults = [f"{name} is missing" for name in sorted(set(stated) - there)]
    faults += [f"{name} was added" for name in sorted(there - set(stated))]
    for name in sorted(there & set(stated)):
        path = join(folder, parse_artifact_path(name))
        if path.is_symlink() or not path.is_file():
            faults.append(f"{name} is no plain file")
            continue
        with path.open("rb") as stream:
            found = _digests(digest_file(path), _sha256(stream))
        if stated[name] != found:
            faults.append(f"{name} was changed")
    if faults:
        predicate = statement.predicate
        raise Corrupt(
            f"{folder} is not {predicate.model}@v{predicate.version} as it was attested",
            why="; ".join(faults[:20]),
            fix="fetch the version again",
        )


def key_id(key: VerifierKey) -> str:
    """Return the name under which a key's signatures stand in an envelope."""
    return f"{key.name}+{key.key_id.hex()}"


def _check_signature(signatures: Sequence[_Signature], payload: bytes, key: VerifierKey) -> None:
    ours = [each for each in signatures if each.keyid == key_id(key)]
    if not ours:
        raise Corrupt(
            f"the statement is not signed by the key {key_id(key)}",
            why=f"it is signed by: {', '.join(each.keyid[:80] for each in signatures) or 'nobody'}",
        )
    signed = _pre_authentication(payload)
    if not all(key.has_signed(_bytes(each.sig), signed) for each in ours):
        raise Corrupt(
            "the signature under the statement is false",
            why=f"the key {key_id(key)} did not sign this text",
        )


def _pre_authentication(payload: bytes) -> bytes:
    kind = PAYLOAD_TYPE.encode()
    return DSSE + b"%d %b %d %b" % (len(kind), kind, len(payload), payload)


def _attested(run: Run) -> AttestedRun:
    return AttestedRun(
        id=run.id,
        pipeline=run.pipeline,
        actor=run.actor,
        start_us=run.start_us,
        end_us=run.end_us,
        code_digest=run.source.code_digest,
        environment_digest=run.source.environment_digest,
        git_commit=run.source.git_commit,
        git_diff_digest=run.source.git_diff_digest,
        telemetry_digest=run.telemetry_digest,
    )


def _inputs(links: Iterable[RunLink]) -> list[AttestedInput]:
    found = [
        AttestedInput(kind=link.what, name=link.name, id=link.id, digest=link.digest)
        for link in links
        if link.way == "input"
    ]
    return sorted(found, key=lambda each: (each.kind, each.name, each.id))


def _verdict(report: GateReport) -> AttestedVerdict:
    return AttestedVerdict(
        gate=report.id,
        verdict=report.verdict,
        baseline=report.baseline,
        digest=report.digest,
        evidence={name: str(digest) for name, digest in report.evidence.items()},
    )


def _digests(blake3: Digest, sha256: str) -> dict[str, str]:
    return {"blake3": blake3.removeprefix(PREFIX), "sha256": sha256}


def _sha256(stream: BinaryIO) -> str:
    state = hashlib.sha256()
    for piece in read_pieces(stream):
        state.update(piece)
    return state.hexdigest()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    """Return what base64 spells; nothing, which no key has signed, where it is none."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
