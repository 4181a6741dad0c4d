"""Model cards and comparisons of versions: the records they are drawn from, gathered."""

from __future__ import annotations

from millwright.artifacts.store import ArtifactStore
from millwright.artifacts.trees import load_tree
from millwright.core.errors import MillwrightError, NotFound
from millwright.governance.approvals import Approvals
from millwright.metadata.database import Database
from millwright.metadata.tables import gates as gate_tables
from millwright.records.models import Model, ModelVersion
from millwright.records.runs import Run
from millwright.registry.aliases import Aliases
from millwright.registry.card import NOTES, CardFacts, draft_card
from millwright.registry.compare import Comparison, Side, compare
from millwright.registry.models import Models, find_version
from millwright.tracking.runs import Runs

NOTE_TAG = "card."
"""Tags of a model, or of a version, that hold what people write: `card.intended use`."""
_REQUIREMENTS = "requirements.txt"


class Cards:
    """Tells of the versions of all projects of a home."""

    def __init__(
        self,
        database: Database,
        artifacts: ArtifactStore,
        *,
        models: Models,
        aliases: Aliases,
        approvals: Approvals,
        runs: Runs,
    ) -> None:
        self._database = database
        self._artifacts = artifacts
        self._models = models
        self._aliases = aliases
        self._approvals = approvals
        self._runs = runs

    def compare(self, project_key: int, left: str, right: str) -> Comparison:
        """Return what differs between two versions, of one model or of two; raises NotFound."""
        sides: list[Side] = []
        for ref in (left, right):
            version = self._models.get(project_key, ref)
            sides.append(
                Side(
                    version=version,
                    run=trained_by(self._runs, project_key, version),
                    requirements=self._requirements(version),
                )
            )
        return compare(*sides)

    def draft(self, project_key: int, ref: str) -> str:
        """Return the card of a version, as Markdown; raises NotFound."""
        version = self._models.get(project_key, ref)
        model = self._models.model(project_key, version.name)
        with self._database.read() as tx:
            pk = find_version(tx, project_key, version.id).pk
            reports = gate_tables.list_verdicts(tx, version_pk=pk)
        approvals = self._approvals.list_all(project_key, state=None)
        facts = CardFacts(
            model=model,
            version=version,
            run=trained_by(self._runs, project_key, version),
            reports=reports,
            approvals=[one for one in approvals if one.model == version.name],
            history=self._aliases.history(project_key, version.name),
            requirements=self._requirements(version),
            notes=notes_of(model, version),
        )
        return draft_card(facts)

    def _requirements(self, version: ModelVersion) -> str:
        try:
            entry = load_tree(self._artifacts, version.package_digest).get(_REQUIREMENTS)
            return self._artifacts.read_bytes(entry.digest).decode(errors="replace")
        except MillwrightError:
            # A package need not have any, and a card is better than none.
            return ""


def trained_by(runs: Runs, project_key: int, version: ModelVersion) -> Run | None:
    """Return the run that a version was made by; None where there was none, or it was purged."""
    if version.run is None:
        return None
    try:
        run = runs.get(project_key, version.run)
        # What a step registers was made by the pipeline: there stand data, parameters, figures.
        is_step = run.kind == "step" and run.parent is not None
        return runs.get(project_key, str(run.parent)) if is_step else run
    except NotFound:
        # It was purged; the version outlives it.
        return None


def notes_of(model: Model, version: ModelVersion) -> dict[str, str]:
    """Return what people wrote: the version's words before the model's.

    A model's description says what it is for, where nothing else does.
    """
    notes: dict[str, str] = {}
    if model.description:
        notes[NOTES[0]] = model.description
    for tags in (model.tags, version.tags):
        notes |= {name: tags[NOTE_TAG + name] for name in NOTES if NOTE_TAG + name in tags}
    return notes
