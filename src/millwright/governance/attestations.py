"""Attestations: signed statements of model versions, made, kept and found again.

The statement and the bill of materials are artifacts; the event that tells of them carries their
digests, and is where they are found again. No table holds them: a row that was exchanged would
have to agree with the journal.
"""

from __future__ import annotations

import msgspec

from millwright.artifacts.store import ArtifactStore
from millwright.artifacts.trees import Tree, load_tree
from millwright.core.digest import Digest
from millwright.core.errors import Invalid, NotFound
from millwright.governance.cards import trained_by
from millwright.journal.checkpoints import SigningKey
from millwright.journal.log import Journal
from millwright.metadata.tables import gates as gate_tables
from millwright.records.events import Act, Event, Subject
from millwright.records.model_events import ModelAttested
from millwright.records.models import Attestation, ModelVersion
from millwright.records.runs import Run
from millwright.registry.attest import make_statement, sign_statement
from millwright.registry.environment import Environment, environment_of, parse_environment
from millwright.registry.facts import PYTHON_ENV, REQUIREMENTS
from millwright.registry.models import Models, find_version
from millwright.registry.sbom import bill_of_materials
from millwright.tracking.runs import Runs

STATEMENT = "attestation"
BILL = "bill_of_materials"

_INSTALLED = msgspec.json.Decoder(dict[str, str])


class Attestations:
    """Attests the versions of all projects of a home, with the home's own key."""

    def __init__(
        self,
        journal: Journal,
        artifacts: ArtifactStore,
        *,
        key: SigningKey,
        name: str,
        models: Models,
        runs: Runs,
    ) -> None:
        self._journal = journal
        self._artifacts = artifacts
        self._key = key
        self._name = name
        self._models = models
        self._runs = runs

    def attest(self, act: Act, ref: str) -> Attestation:
        """State and sign what a version is, what it was made from, and how it was judged.

        What was stated before, word for word, is returned, and nothing is written. Raises
        NotFound, and Corrupt when a file of the package is not what it was.
        """
        version = self._models.get(act.project_key, ref)
        run = trained_by(self._runs, act.project_key, version)
        tree = load_tree(self._artifacts, version.package_digest)
        with self._journal.database.read() as tx:
            pk = find_version(tx, act.project_key, version.id).pk
            reports = gate_tables.list_verdicts(tx, version_pk=pk)
        environment = self._environment(tree, run)
        bill = None if environment is None else bill_of_materials(version, environment)
        statement = make_statement(
            version,
            tree=tree,
            open_=self._artifacts.open,
            run=run,
            reports=reports,
            sbom_digest=None if bill is None else self._artifacts.put_bytes(bill),
        )
        envelope = sign_statement(statement, key=self._key, name=self._name)
        digest = self._artifacts.put_bytes(envelope)
        subjects = [
            Subject(kind="model_version", id=version.id, digest=version.digest),
            Subject(kind=STATEMENT, id=version.id, digest=digest),
        ]
        if statement.predicate.sbom_digest is not None:
            bill_digest = Digest(statement.predicate.sbom_digest)
            subjects.append(Subject(kind=BILL, id=version.id, digest=bill_digest))
        newest = self._newest(act.project_key, version)
        if newest is None or _digest_of(newest, STATEMENT) != digest:
            detail = ModelAttested(reason=act.reason, name=version.name, version=version.version)
            with self._journal.database.write() as tx:
                self._journal.append(tx, act, detail, subjects)
        return self.find(act.project_key, version.id)

    def find(self, project_key: int, ref: str) -> Attestation:
        """Return what was stated last of a version; raises NotFound where nothing was."""
        version = self._models.get(project_key, ref)
        spelled = f"{version.name}@v{version.version}"
        newest = self._newest(project_key, version)
        digest = None if newest is None else _digest_of(newest, STATEMENT)
        if newest is None or digest is None:
            raise NotFound(
                f"nobody has attested {spelled}", fix=f"do it: mill model attest {spelled}"
            )
        bill = _digest_of(newest, BILL)
        return Attestation(
            model=version.name,
            version=version.version,
            digest=digest,
            envelope=self._artifacts.read_bytes(digest).decode(),
            sbom=None if bill is None else self._artifacts.read_bytes(bill).decode(),
            key=self._key.verifier(self._name).text(),
            event=newest.id,
            time_us=newest.time_us,
        )

    def _newest(self, project_key: int, version: ModelVersion) -> Event | None:
        found = self._journal.events(
            limit=1,
            project=project_key,
            kinds=[ModelAttested.__name__],
            subject=(STATEMENT, version.id),
            newest_first=True,
        )
        return found[0] if found else None

    def _environment(self, tree: Tree, run: Run | None) -> Environment | None:
        """Return what was installed where it was trained, or what its package asks for.

        The first names every distribution; None where neither is known in plain names.
        """
        kept = None if run is None else run.source.environment_digest
        try:
            if kept is not None:
                return environment_of(_INSTALLED.decode(self._artifacts.read_bytes(kept)))
            requirements = self._artifacts.read_bytes(tree.get(REQUIREMENTS).digest)
            named = any(entry.path == PYTHON_ENV for entry in tree.entries)
            python = self._artifacts.read_bytes(tree.get(PYTHON_ENV).digest) if named else b""
            return parse_environment(requirements, python)
        except (Invalid, NotFound, msgspec.DecodeError):
            return None  # An address or a path names no distribution that could be looked up.


def _digest_of(event: Event, kind: str) -> Digest | None:
    found = next((subject.digest for subject in event.subjects if subject.kind == kind), None)
    return None if found is None else Digest(found)
