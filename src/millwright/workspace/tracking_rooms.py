"""The rooms of an open home that keep what runs log; those above them stand in `rooms`.

Each is made, and its code imported, when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from millwright.core.clock import Clock
from millwright.core.ids import HomeId
from millwright.core.version import VERSION
from millwright.governance.policy import Policy
from millwright.journal.checkpoints import SigningKey
from millwright.journal.log import Journal
from millwright.metadata.database import Database
from millwright.tracking.limits import Limits

if TYPE_CHECKING:
    from millwright.artifacts.store import ArtifactStore
    from millwright.metadata.tables.telemetry import Keys
    from millwright.tracking.comparisons import Comparisons
    from millwright.tracking.files import Files
    from millwright.tracking.logged_models import LoggedModels
    from millwright.tracking.purge import Purges
    from millwright.tracking.runs import Runs
    from millwright.tracking.search import Searches
    from millwright.tracking.studies import Studies
    from millwright.tracking.views import Views

ARTIFACTS_FOLDER = "artifacts"
LOCAL_BACKEND = "local"


class TrackingRooms:
    """Where a home lies, its journal, and its runs."""

    def __init__(
        self,
        path: Path,
        database: Database,
        *,
        home_id: HomeId,
        key: SigningKey,
        policy: Policy,
        clock: Clock,
        webhook_origins: Sequence[str] = (),
        limits: Limits | None = None,
    ) -> None:
        self.path = path
        self.database = database
        self.id = home_id
        self.version = VERSION
        self.clock = clock
        self.policy = policy
        self.webhook_origins = tuple(webhook_origins)
        self.limits = limits or Limits()
        self.key = key
        self.origin = f"millwright/{home_id}"
        self.journal = Journal(database, key, clock, origin=self.origin)

    @property
    def artifacts(self) -> ArtifactStore:
        """The store of immutable things."""
        return self._artifacts

    @cached_property
    def _artifacts(self) -> ArtifactStore:
        from millwright.artifacts.backend import load_backend
        from millwright.artifacts.store import ArtifactStore

        return ArtifactStore(load_backend(LOCAL_BACKEND, str(self.artifacts_folder)))

    @property
    def artifacts_folder(self) -> Path:
        """Where the local backend keeps stored bytes."""
        return self.path / ARTIFACTS_FOLDER

    @cached_property
    def runs(self) -> Runs:
        """What was executed."""
        from millwright.tracking.runs import Runs

        return Runs(
            self.database,
            self.journal,
            self.clock,
            keys=self.keys_of_telemetry,
            limits=self.limits,
        )

    @cached_property
    def keys_of_telemetry(self) -> Keys:
        """The numbers of names of parameters, metrics and tags."""
        from millwright.metadata.tables.telemetry import Keys

        return Keys()

    @cached_property
    def searches(self) -> Searches:
        """Runs by filter and order."""
        from millwright.tracking.search import Searches

        return Searches(self.database, self.keys_of_telemetry)

    @cached_property
    def mlflow_searches(self) -> Searches:
        """Runs by filter and order in the words of MLflow's clients."""
        from millwright.tracking.search import Searches
        from millwright.tracking.vocabulary import MLFLOW_ATTRIBUTES, MLFLOW_RUNS

        return Searches(
            self.database,
            self.keys_of_telemetry,
            vocabulary=MLFLOW_RUNS,
            attributes=MLFLOW_ATTRIBUTES,
        )

    @cached_property
    def comparisons(self) -> Comparisons:
        """Runs held against one another."""
        from millwright.tracking.comparisons import Comparisons

        return Comparisons(self.database, self.artifacts)

    @cached_property
    def studies(self) -> Studies:
        """Searches for good hyperparameters."""
        from millwright.tracking.studies import Studies

        return Studies(
            self.database,
            self.journal,
            self.clock,
            runs=self.runs,
            keys=self.keys_of_telemetry,
        )

    @cached_property
    def views(self) -> Views:
        """Searches for runs under names."""
        from millwright.tracking.views import Views

        return Views(self.database, self.journal, self.clock)

    @cached_property
    def purges(self) -> Purges:
        """Runs that were deleted, removed for good."""
        from millwright.tracking.purge import Purges

        return Purges(
            self.database, self.journal, self.clock, retention_days=self.limits.retention_days
        )

    @cached_property
    def files(self) -> Files:
        """Artifacts by path."""
        from millwright.tracking.files import Files

        return Files(self.database, self.artifacts, self.journal, self.clock, limits=self.limits)

    @cached_property
    def logged_models(self) -> LoggedModels:
        """What runs made, before and beside the registry."""
        from millwright.tracking.logged_models import LoggedModels

        return LoggedModels(self.database, self.journal, self.clock)
