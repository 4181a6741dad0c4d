"""Verbs of `mill model` that vouch for versions, check their files, and allow pickles."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from millwright.cli import text
from millwright.cli.session import session
from millwright.cli.verbs import DryRun, Reason, WantedReason
from millwright.core.errors import NotFound

if TYPE_CHECKING:
    from millwright.records.models import Attestation, ModelVersion, PickleRuling
    from millwright.registry.attest import Statement

VersionRef = Annotated[str, typer.Argument(metavar="REF", help="NAME@v3, NAME@champion, or an id.")]


def attest(ref: VersionRef, reason: Reason = "", dry_run: DryRun = False) -> None:
    """Sign what a version is, what it was made from, how it was judged and what it needs."""
    here = session()
    with here.door() as door:
        if dry_run:
            version = door.models.show(ref=ref)
            here.would("models.attest", ref=_spelled(version), reason=reason)
            return
        found = door.models.attest(ref=ref, reason=reason)
    here.answer(found, lambda: attestation_lines(found))
    if found.sbom is None:
        here.say("It holds no bill of materials: no environment is known in plain names.")
    here.say(
        f"Keep the key elsewhere, and hold files against it: mill model verify {ref} --key KEY"
    )


def verify(
    ref: VersionRef,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", metavar="FOLDER", help="Its files; else they are fetched."),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="KEY", help="The verifier key you kept; else the home's."),
    ] = None,
) -> None:
    """Check a version's signature and every file; exit 5 when something is not as attested."""
    from millwright.journal.checkpoints import VerifierKey
    from millwright.registry.attest import check_files, key_id

    here = session()
    if folder is not None and not folder.is_dir():
        raise NotFound(f"there is no folder {folder}")
    with here.door() as door:
        version = door.models.show(ref=ref)
        found = door.models.attestation(ref=version.id)
        statement = check_attestation(found, version, key=key or found.key)
        with tempfile.TemporaryDirectory(prefix="mill-model-") as aside:
            if folder is None:
                folder = Path(aside, "package")
                door.artifacts.fetch_folder(version.package_digest, folder)
            check_files(statement, folder)
    said = statement.predicate
    here.answer(
        statement,
        lambda: text.facts(
            {
                "verified": _spelled(version),
                "files": len(statement.subject) - 1,
                "package": said.package_digest,
                "signed by": key_id(VerifierKey.parse(key or found.key)),
                "signed": text.when(found.time_us),
                "run": None if said.run is None else said.run.id,
                "gates": ", ".join(f"{one.gate} {one.verdict}" for one in said.gates),
                "bill of materials": said.sbom_digest,
            }
        ),
    )
    if key is None:
        here.say("The key was taken from the home itself; with --key it is the one you kept.")


def fetch(
    ref: VersionRef,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new one.")],
) -> None:
    """Download a version's package, every file held against its digest."""
    here = session()
    with here.door() as door:
        version = door.models.show(ref=ref)
        door.artifacts.fetch_folder(version.package_digest, folder)
    here.answer(version, lambda: [f"{_spelled(version)} is in {folder}, as registered"])
    here.say(f"Was it attested? mill model verify {_spelled(version)} --folder {folder}")


def allow_pickle(ref: VersionRef, reason: WantedReason, dry_run: DryRun = False) -> None:
    """Let whoever loads a version run the code in its files; servers never do."""
    here = session()
    with here.door() as door:
        version = door.models.show(ref=ref)
        if dry_run:
            here.would("models.allow_pickle", ref=_spelled(version), reason=reason)
            return
        here.confirm(f"Let everybody who loads {_spelled(version)} run the code in its files?")
        ruling = door.models.allow_pickle(ref=version.id, reason=reason)
    here.answer(ruling, lambda: ruling_lines(ruling))
    here.say(f"Take it back: mill model refuse-pickle {_spelled(version)}")


def refuse_pickle(ref: VersionRef, reason: Reason = "", dry_run: DryRun = False) -> None:
    """Let nobody run the code in a version's files any more, as it is at first."""
    here = session()
    with here.door() as door:
        version = door.models.show(ref=ref)
        if dry_run:
            here.would("models.refuse_pickle", ref=_spelled(version), reason=reason)
            return
        ruling = door.models.refuse_pickle(ref=version.id, reason=reason)
    here.answer(ruling, lambda: ruling_lines(ruling))


def check_attestation(found: Attestation, version: ModelVersion, *, key: str) -> Statement:
    """Return what was attested, signature, bill and version checked; raises Corrupt."""
    from millwright.journal.checkpoints import VerifierKey
    from millwright.registry.attest import check_bill, check_version, verify_statement

    statement = verify_statement(found.envelope.encode(), VerifierKey.parse(key))
    check_version(statement, version)
    check_bill(statement, found.sbom)
    return statement


def attestation_lines(found: Attestation) -> list[str]:
    """Return what a person wants to know of an attestation."""
    return text.facts(
        {
            "attested": f"{found.model}@v{found.version}",
            "statement": found.digest,
            "key": found.key,
            "signed": text.when(found.time_us),
            "event": found.event,
        }
    )


def ruling_lines(ruling: PickleRuling) -> list[str]:
    """Return whether a pickle may be loaded, as names and values."""
    return text.facts(
        {
            "model": f"{ruling.model}@v{ruling.version}",
            "digest": ruling.digest,
            "pickle": "allowed" if ruling.allowed else "refused",
            "reason": ruling.reason,
            "event": ruling.event,
        }
    )


def _spelled(version: ModelVersion) -> str:
    return f"{version.name}@v{version.version}"


VERBS = (attest, verify, fetch, allow_pickle, refuse_pickle)
