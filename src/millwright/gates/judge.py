"""Judges a model version: gathers the evidence, asks the gate, records the verdict."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from millwright.artifacts.store import ArtifactStore
from millwright.core.clock import Clock
from millwright.core.digest import Digest
from millwright.core.errors import Invalid, NotFound, Unsupported
from millwright.core.ids import GateId, bounds, new_id
from millwright.core.refs import did_you_mean
from millwright.data.rows import count_shared, decode_row_set, row_hashes
from millwright.data.versions import Datasets
from millwright.gates.check import Evidence
from millwright.gates.compare import Answers, Truth
from millwright.gates.gate import GateSpec, default_spec, evaluate, parse_spec
from millwright.journal.log import Journal
from millwright.metadata.database import Database, Writer
from millwright.metadata.tables import gates as tables
from millwright.metadata.tables.models import VersionRow
from millwright.records.events import Act, GateEvaluated, Subject
from millwright.records.models import GateReport
from millwright.records.runs import Run
from millwright.registry.models import find_version
from millwright.registry.package import LoadedModel
from millwright.registry.packages import Packages
from millwright.tracking.runs import Runs

TRAINING_ROWS = "training_rows"
"""Name under which a training run links the hashes of the rows it trained on."""

DATASET = "dataset_version"
DEFAULT_FLOOR = 0.6
DEFAULT_MARGIN = 0.02


class Judge:
    """Evaluates gates on the models of a home."""

    def __init__(
        self,
        database: Database,
        artifacts: ArtifactStore,
        journal: Journal,
        clock: Clock,
        *,
        datasets: Datasets,
        packages: Packages,
        runs: Runs,
        gate: GateSpec | None = None,
    ) -> None:
        self._database = database
        self._artifacts = artifacts
        self._journal = journal
        self._clock = clock
        self._datasets = datasets
        self._packages = packages
        self._runs = runs
        self._gate = gate

    def check(
        self,
        act: Act,
        ref: str,
        *,
        dataset: str,
        target: str,
        baseline: str | None = None,
        spec: str | None = None,
    ) -> GateReport:
        """Judge the version `ref` on the labelled rows of `dataset`, and record the verdict.

        Without `baseline` the model's champion is compared with, where there is one that is
        another version; `spec` is YAML or JSON text, by default the project's gate. Only a
        verdict by the project's gate lets a version have a protected alias. Raises NotFound and
        Invalid for what is not there or cannot be read; a "no" is not an error.
        """
        report = self.evaluate(
            act, ref, dataset=dataset, target=target, baseline=baseline, spec=spec
        )
        with self._database.write() as tx:
            self.record(tx, act, report)
        return report

    def evaluate(
        self,
        act: Act,
        ref: str,
        *,
        dataset: str,
        target: str,
        baseline: str | None = None,
        spec: str | None = None,
    ) -> GateReport:
        """Judge as `check` does, and record nothing."""
        given = None if spec is None else parse_spec(spec)
        with self._database.read() as tx:
            candidate = find_version(tx, act.project_key, ref)
            champion = self._baseline(candidate, act.project_key, baseline)
        version = self._datasets.get(act.project_key, dataset)
        frame = self._datasets.load(act.project_key, version.id)
        evidence = self._evidence(act.project_key, frame, target, candidate, champion)
        project_gate = self._gate or _default_for(evidence)
        chosen = given or project_gate
        outcome = evaluate(chosen, evidence)
        return GateReport(
            id=GateId(new_id("gat")),
            model=candidate.name,
            version=candidate.version,
            baseline=None if champion is None else champion.version,
            verdict=outcome.verdict,
            metrics=outcome.metrics,
            baseline_metrics=outcome.baseline_metrics,
            checks=outcome.checks,
            evidence=_evidence_digests(version.digest, candidate, champion),
            digest=outcome.digest,
            by_project_gate=chosen == project_gate,
            actor=act.actor,
            created_us=self._clock.now_us(),
        )

    def record(self, tx: Writer, act: Act, report: GateReport) -> None:
        """Record a verdict in the caller's transaction."""
        candidate = find_version(tx, act.project_key, f"{report.model}@v{report.version}")
        baseline = None
        if report.baseline is not None:
            baseline = find_version(tx, act.project_key, f"{report.model}@v{report.baseline}")
        detail = GateEvaluated(
            reason=act.reason,
            name=report.model,
            version=report.version,
            baseline=report.baseline,
            verdict=report.verdict,
            failed=[check.name for check in report.checks if check.verdict != "pass"],
        )
        subjects = [
            Subject(kind="gate_verdict", id=report.id, digest=report.digest),
            Subject(kind="model_version", id=candidate.id, digest=candidate.digest),
        ]
        tables.insert_verdict(
            tx,
            report,
            project=act.project_key,
            version_pk=candidate.pk,
            baseline_pk=None if baseline is None else baseline.pk,
        )
        self._journal.append(tx, act, detail, subjects)

    def get(self, project_key: int, ref: str) -> GateReport:
        """Return a verdict by id or unique beginning of it; raises NotFound."""
        low, high = bounds(ref, "gat")
        with self._database.read() as tx:
            found = tables.find_verdicts_by_id(tx, project=project_key, low=low, high=high)
        if len(found) > 1:
            raise Invalid(f"{ref!r} begins more than one verdict's id", fix="give more characters")
        if not found:
            raise NotFound(f"no gate verdict {ref!r} in this project")
        return found[0]

    def _baseline(
        self, candidate: VersionRow, project_key: int, baseline: str | None
    ) -> VersionRow | None:
        with self._database.read() as tx:
            if baseline is not None:
                found = find_version(tx, project_key, baseline)
            else:
                try:
                    found = find_version(tx, project_key, f"{candidate.name}@champion")
                except NotFound:
                    return None
        return None if found.pk == candidate.pk else found

    def _evidence(
        self,
        project_key: int,
        frame: pl.DataFrame,
        target: str,
        candidate: VersionRow,
        champion: VersionRow | None,
    ) -> Evidence:
        if target not in frame.columns:
            raise NotFound(
                f"the judged rows have no column {target!r}",
                why=f"they have: {', '.join(frame.columns[:20])}",
                fix=did_you_mean(target, frame.columns),
            )
        labelled = frame.filter(pl.col(target).is_not_null())
        columns = {name: labelled[name].to_numpy() for name in labelled.columns if name != target}
        label = labelled[target].to_numpy()
        model = self._packages.load(candidate.package_digest)
        answered = _answer(model, columns)
        before = None if champion is None else self._packages.load(champion.package_digest)
        return Evidence(
            columns=columns,
            truth=_truth(model, label),
            candidate=answered,
            candidate_signature=model.signature,
            candidate_seen_rows=self._seen(project_key, candidate, model, labelled),
            baseline=None if before is None else _answer(before, columns),
            baseline_signature=None if before is None else before.signature,
            baseline_seen_rows=(
                None
                if champion is None or before is None
                else self._seen(project_key, champion, before, labelled)
            ),
            # Fixed, so that the same evidence gives the same verdict to the last digit.
            seed=0,
        )

    def _seen(
        self, project_key: int, row: VersionRow, model: LoadedModel, frame: pl.DataFrame
    ) -> int | None:
        """Return how many of the judged rows a version was trained on; None when unknown."""
        if row.run_id is None:
            return None
        run = self._runs.get(project_key, row.run_id)
        kept = [link for link in run.links if link.name == TRAINING_ROWS]
        if not kept:
            return self._read_by(project_key, run, model, frame)
        trained = decode_row_set(self._artifacts.read_bytes(kept[0].digest))
        if any(name not in frame.columns for name in trained.columns):
            return None
        return count_shared(trained.array(), row_hashes(frame, trained.columns))

    def _read_by(
        self, project_key: int, run: Run, model: LoadedModel, frame: pl.DataFrame
    ) -> int | None:
        """Return how many of the judged rows lie in the data that a run read; None if unknown.

        Rows are told apart by all columns that both sides have, which must be all that the model
        takes of the judged ones.
        """
        read = [link.id for link in run.links if link.what == DATASET and link.way == "input"]
        if not read:
            return None
        taken = {column.name for column in model.signature.inputs} & set(frame.columns)
        shared = 0
        for version in read:
            try:
                rows = self._datasets.load(project_key, version)
            except (NotFound, Invalid, Unsupported):
                return None
            columns = [name for name in frame.columns if name in rows.columns]
            if not taken or not taken <= set(columns):
                return None
            shared += count_shared(row_hashes(rows, columns), row_hashes(frame, columns))
        return shared


def _answer(model: LoadedModel, columns: dict[str, npt.NDArray[np.generic]]) -> Answers:
    taken = {
        column.name: columns[column.name]
        for column in model.signature.inputs
        if column.name in columns
    }
    said = model.predict(taken)
    score = said.get("probability")
    return Answers(
        prediction=np.asarray(said["prediction"]),
        score=None if score is None or score.ndim != 1 else np.asarray(score, dtype=np.float64),
    )


def _truth(model: LoadedModel, label: npt.NDArray[np.generic]) -> Truth:
    if len(model.classes) != 2:
        return Truth(label, None)
    return Truth(label, (label == model.classes[1]).astype(np.float64))


def _default_for(evidence: Evidence) -> GateSpec:
    metric = "accuracy" if evidence.candidate.score is None else "auc"
    return default_spec(metric=metric, floor=DEFAULT_FLOOR, margin=DEFAULT_MARGIN)


def _evidence_digests(
    dataset: Digest, candidate: VersionRow, champion: VersionRow | None
) -> dict[str, Digest]:
    found = {"dataset": dataset, "candidate": candidate.digest}
    return found if champion is None else found | {"champion": champion.digest}
