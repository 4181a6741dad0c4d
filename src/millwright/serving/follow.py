"""Following the control plane: its plans become deployments here, and stay so while it is away.

A thread asks for plans by long poll. New versions are fetched, loaded and warmed up beside the
old ones, and only then does one assignment hand the calls over. A version that cannot be loaded
takes no traffic: the old plan goes on answering, the failure is reported, and loading is tried
again. The last plans lie on disk, so that a process can start, and answer, alone.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Protocol

import msgspec

from millwright.artifacts.files import Aside
from millwright.core.clock import Clock
from millwright.core.digest import Digest
from millwright.core.errors import MillwrightError
from millwright.records.serving import WEIGHT_TOTAL, DeploymentPlan, Plans, SegmentHeader
from millwright.serving.engine import Engine
from millwright.serving.models import ModelStore, ReadyModel
from millwright.serving.routing import check_variants

WAIT_S = 10.0
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 2.0
CACHE = "plans.json"

_LOG = logging.getLogger(__name__)
# Plans hold the keys of the keyed hashes.
_MODE = 0o600


class ControlPlane(Protocol):
    """What a serving process asks of the control plane, and sends to it.

    Each method raises Unreachable, or another MillwrightError, when it does not succeed; all are
    called from threads of their own, and may block.
    """

    def plans(self, *, after: int, wait_s: float) -> Plans:
        """Return all plans; wait up to `wait_s` seconds for a revision above `after`."""
        ...

    def fetch_package(self, digest: Digest, folder: Path) -> None:
        """Write the model package to `folder`, which does not exist yet."""
        ...

    def put_file(self, path: Path) -> Digest:
        """Store a file as an artifact and return its digest."""
        ...

    def seal(self, header: SegmentHeader) -> None:
        """Anchor a segment whose index and payload are stored."""
        ...


class Follower:
    """Keeps an engine in step with the control plane's plans."""

    def __init__(
        self,
        *,
        control: ControlPlane,
        engine: Engine,
        models: ModelStore,
        state: Path,
        clock: Clock,
    ) -> None:
        self.revision = -1
        self.failures: dict[str, str] = {}
        """By deployment: why its newest plan is not acted on."""
        self.load_failures = 0
        self.last_contact_us = 0
        self.has_plans = False
        self._control = control
        self._engine = engine
        self._models = models
        self._cache = state / CACHE
        self._clock = clock
        self._loaded: dict[Digest, ReadyModel] = {}

    def start_from_cache(self) -> None:
        """Act on the plans that an earlier life kept on disk, if there are any."""
        try:
            plans = msgspec.json.decode(self._cache.read_bytes(), type=Plans)
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            _LOG.warning("the plans kept in %s cannot be read: %s", self._cache, error)
            return
        self._act(plans)

    def run(self, stop: threading.Event) -> None:
        """Follow until `stop` is set; a poll that is under way is not cut short."""
        # The first answer is wanted at once, whatever an earlier life knew.
        after, wait_s, pause_s = -1, 0.0, FIRST_PAUSE_S
        while not stop.is_set():
            try:
                plans = self._control.plans(after=after, wait_s=wait_s)
                self.last_contact_us = self._clock.now_us()
                if not stop.is_set():
                    self.take(plans)
            except Exception as error:  # noqa: BLE001 (following must not end)
                if pause_s == FIRST_PAUSE_S:
                    text = error if isinstance(error, MillwrightError) else repr(error)
                    _LOG.warning("the control plane gives no plans: %s", text)
                stop.wait(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            after, pause_s = plans.revision, FIRST_PAUSE_S
            # What could not be loaded is tried again, also when no plan changes meanwhile.
            wait_s = min(WAIT_S, LONGEST_PAUSE_S) if self.failures else WAIT_S

    def take(self, plans: Plans) -> None:
        """Act on plans from the control plane, and keep them for a start without it."""
        if plans.revision != self.revision or not self.has_plans:
            self._keep(plans)
        self._act(plans)

    def _act(self, plans: Plans) -> None:
        by_name: dict[str, DeploymentPlan] = {}
        for plan in plans.plans:
            if plan.name in by_name:
                # Names are one project's own; a process follows one project.
                _LOG.error("two deployments are called %r; the first one answers", plan.name)
            else:
                by_name[plan.name] = plan
        for name in set(self._engine.deployed()) - set(by_name):
            self._engine.remove(name)
        for name in set(self.failures) - set(by_name):
            del self.failures[name]
        for plan in by_name.values():
            self._act_on(plan)
        self._forget(list(by_name.values()))
        self.revision = plans.revision
        self.has_plans = True

    def _act_on(self, plan: DeploymentPlan) -> None:
        present = self._engine.deployed().get(plan.name)
        if (
            present is not None
            and present.plan.deployment == plan.deployment
            and present.plan.revision >= plan.revision
        ):
            return
        try:
            check_variants(plan.variants)
            plan = self._load(plan, may_drop_candidate=present is None)
            self._engine.deploy(plan, self._loaded)
        except Exception as error:  # noqa: BLE001 (a model's loading may raise anything)
            self._report(plan, error)

    def _load(self, plan: DeploymentPlan, *, may_drop_candidate: bool) -> DeploymentPlan:
        """Load what the plan names, and return the plan to act on.

        Where nothing answers yet, a candidate that cannot be loaded is left out: its keys are
        better answered by the champion than by nobody.
        """
        self.failures.pop(plan.name, None)
        for variant in sorted(plan.variants, key=lambda each: each.role != "champion"):
            if variant.package_digest in self._loaded:
                continue
            try:
                self._loaded[variant.package_digest] = self._models.load(variant)
            except Exception as error:
                if variant.role == "champion" or not may_drop_candidate:
                    raise
                self._report(plan, error)
                champion = next(each for each in plan.variants if each.role == "champion")
                alone = msgspec.structs.replace(champion, weight=WEIGHT_TOTAL)
                # One revision back, so that the plan itself is still newer.
                return msgspec.structs.replace(
                    plan, variants=[alone], rollout=None, revision=plan.revision - 1
                )
        return plan

    def _report(self, plan: DeploymentPlan, error: Exception) -> None:
        text = str(error) if isinstance(error, MillwrightError) else repr(error)
        self.load_failures += 1
        self.failures[plan.name] = text
        _LOG.error("revision %d of %r is not acted on: %s", plan.revision, plan.name, text)

    def _forget(self, wanted: list[DeploymentPlan]) -> None:
        """Let go of models that no plan uses; calls under way still hold theirs."""
        acted_on = [deployed.plan for deployed in self._engine.deployed().values()]
        used = {each.package_digest for plan in (*acted_on, *wanted) for each in plan.variants}
        gone = set(self._loaded) - used
        for digest in gone:
            del self._loaded[digest]
        if gone:
            self._models.prune(list(used))

    def _keep(self, plans: Plans) -> None:
        try:
            with Aside(
                self._cache.parent, mode=_MODE, what=f"cannot keep plans in {self._cache}"
            ) as aside:
                aside.write(msgspec.json.encode(plans))
                aside.replace(self._cache)
        except MillwrightError as error:
            _LOG.warning("%s", error)
