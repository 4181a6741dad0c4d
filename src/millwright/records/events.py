"""What happens, as records: who acted, on what, and the details that can be erased.

An event has two halves. The *leaf* goes into the journal's tree and is never changed: ids,
kinds, digests and a commitment. The *detail* is one of the structs below: names, figures and
free text; it lies beside the tree and can be erased without breaking a proof. The name of
the struct is the event's kind. A field may be added with a default; any other change makes a
new `KIND_VERSION` and a way to read the old one (`journal.leaves.UPCASTS`). A description or the
value of a tag that is None was too long to be kept with an event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from msgspec import Struct

from millwright.core.ids import ActorId, EventId, ProjectId, RequestId

if TYPE_CHECKING:
    JsonValue: TypeAlias = (
        "str | int | float | bool | None | list[JsonValue] | dict[str, JsonValue]"
    )
else:
    JsonValue = Any  # msgspec cannot decode into a type that names itself.


class Act(Struct, frozen=True, kw_only=True):
    """Who does something, where and why; every operation that changes state takes one."""

    actor: ActorId
    project: ProjectId
    project_key: int
    """The integer key by which tables know the project."""
    reason: str = ""
    request: RequestId | None = None
    cause: EventId | None = None
    """The event that made this happen, such as the alert behind a retraining."""


class Subject(Struct, frozen=True, kw_only=True, order=True):
    """One thing an event is about."""

    kind: str
    """The glossary's word with underscores: `model_version`, `dataset_version`, `run`."""
    id: str
    digest: str | None = None


class Detail(Struct, frozen=True, kw_only=True):
    """The half of an event that may hold names, figures and free text."""

    KIND_VERSION: ClassVar[int] = 1

    reason: str = ""


class Event(Struct, frozen=True, kw_only=True):
    """An event as it is read back."""

    id: EventId
    place: int
    """Where it stands in the tree, counted from 0."""
    kind: str
    kind_version: int
    project: ProjectId
    actor: ActorId
    time_us: int
    subjects: list[Subject]
    cause: EventId | None
    request: RequestId | None
    detail: dict[str, JsonValue] | None
    """The fields of the detail struct; None when it has been erased."""


class HomeCreated(Detail, frozen=True, kw_only=True):
    """A home was made; among the first events of its journal."""

    home: str
    version: str
    key: str
    """The verifier key of the journal's checkpoints, in C2SP's `name+id+key` form."""


class ProjectCreated(Detail, frozen=True, kw_only=True):
    """A project was made."""

    name: str


class ActorCreated(Detail, frozen=True, kw_only=True):
    """A person, a service account or a rule can act from now on."""

    kind: str
    name: str


class ActorDisabled(Detail, frozen=True, kw_only=True):
    """An actor may act no more."""

    name: str


class RoleGranted(Detail, frozen=True, kw_only=True):
    """An actor was given a role, in one project or (project None) in all."""

    name: str
    role: str
    project: str | None


class RoleRevoked(Detail, frozen=True, kw_only=True):
    """A role was taken back."""

    name: str
    role: str
    project: str | None


class TokenCreated(Detail, frozen=True, kw_only=True):
    """A token was made; its secret is shown once and never stored."""

    name: str
    scopes: list[str]
    expires_us: int


class TokenRevoked(Detail, frozen=True, kw_only=True):
    """A token opens nothing any more."""

    name: str


class AccessDenied(Detail, frozen=True, kw_only=True):
    """Somebody known tried what they may not do."""

    permission: str
    path: str


class DetailErased(Detail, frozen=True, kw_only=True):
    """The detail of another event was erased; its leaf and proof stand."""

    event: str


class DatasetVersionCreated(Detail, frozen=True, kw_only=True):
    """A dataset has a new version."""

    name: str
    version: int
    row_count: int
    size_bytes: int
    source: str


class ExpectationsChecked(Detail, frozen=True, kw_only=True):
    """A dataset version was held against its expectations."""

    name: str
    version: int
    passed: bool
    failed: list[str]


class RunStarted(Detail, frozen=True, kw_only=True):
    """A script, pipeline or step began."""

    name: str
    kind: str
    experiment: str


class RunFinished(Detail, frozen=True, kw_only=True):
    """A run ended; the leaf's subject carries the digest over its telemetry."""

    name: str
    status: str
    error: str | None = None


class RunResumed(Detail, frozen=True, kw_only=True):
    """A run that had ended takes logs again; its next end carries a new digest."""

    name: str


class RunAmended(Detail, frozen=True, kw_only=True):
    """Something was logged to a run that had ended; the subject's digest is over that."""

    name: str


class RunDeleted(Detail, frozen=True, kw_only=True):
    """A run was put away, or (restored) taken back."""

    name: str
    restored: bool = False


class RunsPurged(Detail, frozen=True, kw_only=True):
    """Runs that had been deleted were removed for good, with all that was logged to them."""

    count: int
    experiments: int = 0
    logged_models: int = 0
    files: int = 0


class ExperimentCreated(Detail, frozen=True, kw_only=True):
    """An experiment has a name."""

    name: str


class ExperimentRenamed(Detail, frozen=True, kw_only=True):
    """An experiment has another name."""

    name: str
    previous: str


class ExperimentDeleted(Detail, frozen=True, kw_only=True):
    """An experiment was put away with its runs, or (restored) taken back."""

    name: str
    restored: bool = False


class ExperimentChanged(Detail, frozen=True, kw_only=True):
    """Tags of an experiment were set or removed."""

    name: str
    tags: dict[str, str | None] = {}
    removed: list[str] = []


class RunScheduled(Detail, frozen=True, kw_only=True):
    """A run waits to be started elsewhere."""

    name: str


class RunRenamed(Detail, frozen=True, kw_only=True):
    """A run has another name."""

    name: str
    previous: str


class ArtifactsRemoved(Detail, frozen=True, kw_only=True):
    """Files have no path any more; their bytes stay while anything points at them."""

    path: str
    """Of the file, or of the folder with all below it."""
    count: int


class LoggedModelCreated(Detail, frozen=True, kw_only=True):
    """A run, or somebody by hand, begins to log a model."""

    name: str
    experiment: str


class LoggedModelFinished(Detail, frozen=True, kw_only=True):
    """A logged model is whole, or failed to become so."""

    name: str
    status: str


class LoggedModelChanged(Detail, frozen=True, kw_only=True):
    """Tags of a logged model were set or removed."""

    name: str
    tags: dict[str, str | None] = {}
    removed: list[str] = []


class LoggedModelDeleted(Detail, frozen=True, kw_only=True):
    """A logged model was put away."""

    name: str


class StepSkipped(Detail, frozen=True, kw_only=True):
    """A step did not run, since its result was cached or what it needs failed."""

    pipeline: str
    step: str
    outcome: str


class ModelCreated(Detail, frozen=True, kw_only=True):
    """A model has a name."""

    name: str
    risk: str
    description: str | None = ""
    tags: dict[str, str | None] = {}


class ModelVersionRegistered(Detail, frozen=True, kw_only=True):
    """A model has a new version."""

    name: str
    version: int
    flavors: list[str]
    source: str = ""
    description: str | None = ""
    tags: dict[str, str | None] = {}


class AliasMoved(Detail, frozen=True, kw_only=True):
    """An alias points at another version, or (version None) at none."""

    name: str
    alias: str
    version: int | None
    previous: int | None


class ModelRenamed(Detail, frozen=True, kw_only=True):
    """A model has another name."""

    name: str
    previous: str


class ModelDeleted(Detail, frozen=True, kw_only=True):
    """A model or (with a number) one of its versions was put away, or (restored) taken back."""

    name: str
    version: int | None = None
    restored: bool = False


class ModelChanged(Detail, frozen=True, kw_only=True):
    """What is said about a model or one of its versions changed: description, tag, deprecation."""

    name: str
    version: int | None = None
    what: str
    tags: dict[str, str | None] = {}
    removed: list[str] = []
    """Tags that were taken away."""


class ModelGoverned(Detail, frozen=True, kw_only=True):
    """A model's protected aliases ask gate and approval from now on, or no longer."""

    name: str
    governed: bool


class StageMoved(Detail, frozen=True, kw_only=True):
    """A version stands at another stage, as clients that know no aliases say it."""

    name: str
    version: int
    stage: str
    previous: str


class GateEvaluated(Detail, frozen=True, kw_only=True):
    """A model version was judged."""

    name: str
    version: int
    baseline: int | None
    verdict: str
    failed: list[str]


class ApprovalRequested(Detail, frozen=True, kw_only=True):
    """A promotion waits for somebody else's yes."""

    name: str
    version: int
    alias: str


class ApprovalGranted(Detail, frozen=True, kw_only=True):
    """Somebody other than the requester agreed."""

    name: str
    version: int
    alias: str


class ApprovalRejected(Detail, frozen=True, kw_only=True):
    """Somebody disagreed."""

    name: str
    version: int
    alias: str
