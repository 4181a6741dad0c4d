"""Deployments as state: created, rolled out step by step, rolled back; each change journaled.

`decide` says what to do; here it is done, in one transaction with the event and the raised
plan revision that serving processes wait for. A rollout that was begun is looked at again
after any crash, since all it needs is in the store.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

import msgspec

from millwright.artifacts.store import ArtifactStore
from millwright.core.clock import US_PER_S, Clock
from millwright.core.digest import digest_bytes
from millwright.core.errors import (
    Conflict,
    Invalid,
    MillwrightError,
    NeedsApproval,
    NotFound,
    Refused,
)
from millwright.core.ids import DeploymentId, RolloutId, new_id
from millwright.core.refs import check_name, did_you_mean
from millwright.deployments.decide import decide
from millwright.deployments.history import way_here
from millwright.deployments.looks import Counted, count_segments, make_look
from millwright.deployments.plan import alone, check_plan, shared
from millwright.journal.log import Journal
from millwright.metadata.database import Database, Reader, Writer
from millwright.metadata.tables import deployments as tables
from millwright.metadata.tables import models as model_tables
from millwright.metadata.tables import segments as segment_tables
from millwright.metadata.tables.deployments import DeploymentRow, RolloutRow
from millwright.metadata.tables.models import VersionRow
from millwright.records.deployments import (
    Deployment,
    Look,
    Observed,
    Rollout,
    RolloutPlan,
    RolloutState,
)
from millwright.records.events import Act, Subject
from millwright.records.operation_events import (
    DeploymentChanged,
    DeploymentCreated,
    RolloutEnded,
    RolloutLooked,
    RolloutStarted,
)
from millwright.records.serving import DecisionPolicy, Plans, Variant

OnPromoted = Callable[[Writer, Act, VersionRow], None]
"""Called in the transaction that ends a rollout well: moves the model's champion.

May raise Refused or NeedsApproval, which undo that transaction."""


class _NotLet(Exception):
    """The policy does not let the winner of a rollout become champion."""

    def __init__(self, refusal: MillwrightError) -> None:
        super().__init__(refusal.what)
        self.refusal = refusal


class Deployments:
    """The deployments of all projects of a home."""

    def __init__(
        self,
        database: Database,
        artifacts: ArtifactStore,
        journal: Journal,
        clock: Clock,
        *,
        on_promoted: OnPromoted,
    ) -> None:
        self._database = database
        self._artifacts = artifacts
        self._journal = journal
        self._clock = clock
        self._on_promoted = on_promoted

    def create(
        self, act: Act, name: str, version: VersionRow, *, policy: DecisionPolicy | None = None
    ) -> Deployment:
        """Let a version answer all requests to `name`.

        The same name and version again is the same deployment; Conflict when the name answers
        with another version already.
        """
        check_name(name, "deployment")
        with self._database.write() as tx:
            deployment_id = DeploymentId(new_id("dep"))
            added = tables.insert_deployment(
                tx,
                deployment_id=deployment_id,
                project=act.project_key,
                model_pk=version.model_pk,
                name=name,
                variants=alone(version),
                policy=policy or DecisionPolicy(version=f"{name}-1"),
                salt=secrets.token_hex(16),
                secret=secrets.token_hex(32),
                now_us=self._clock.now_us(),
            )
            row = self._row(tx, act.project_key, name)
            if not added:
                if [one.digest for one in row.variants] == [version.digest]:
                    return row.deployment()
                ref = f"{version.name}@v{version.version}"
                raise Conflict(
                    f"deployment {name} answers with another version already",
                    fix=f"roll it out: mill deploy promote {name} {ref}",
                )
            tables.raise_plan_revision(tx)
            detail = DeploymentCreated(
                reason=act.reason, name=name, model=version.name, version=version.version
            )
            self._journal.append(tx, act, detail, _subjects(row, version))
            return row.deployment()

    def get(self, project_key: int, name: str) -> Deployment:
        """Return a deployment by name or id; raises NotFound naming the nearest."""
        with self._database.read() as tx:
            return self._row(tx, project_key, name).deployment()

    def list_all(self, project_key: int) -> list[Deployment]:
        """Return the project's deployments, by name."""
        with self._database.read() as tx:
            return [row.deployment() for row in tables.list_deployments(tx, project=project_key)]

    def plans(self, project_key: int | None = None) -> Plans:
        """Return what serving processes follow: of one project, or of all."""
        with self._database.read() as tx:
            return Plans(
                revision=tables.read_plan_revision(tx),
                plans=[row.plan() for row in tables.list_deployments(tx, project=project_key)],
            )

    def plan_revision(self) -> int:
        """Return the common revision of all plans."""
        with self._database.read() as tx:
            return tables.read_plan_revision(tx)

    def roll_out(
        self, act: Act, name: str, version: VersionRow, *, plan: RolloutPlan | None = None
    ) -> Rollout:
        """Begin to let `version` in at the plan's first share.

        Raises Conflict while another rollout runs or when it answers everything already, and
        Invalid for a version of another model or a plan that cannot be carried out.
        """
        plan = check_plan(plan or RolloutPlan())
        now_us = self._clock.now_us()
        with self._database.write() as tx:
            row = self._locked(tx, act.project_key, name)
            champion = self._champion(tx, row)
            if version.model_pk != row.model_pk:
                raise Invalid(f"deployment {name} serves the model {row.model}, not {version.name}")
            if version.pk == champion.pk:
                raise Conflict(f"{version.name}@v{version.version} answers for {name} already")
            rollout_id = RolloutId(new_id("rol"))
            pk = tables.insert_rollout(
                tx,
                rollout_id=rollout_id,
                project=act.project_key,
                deployment_pk=row.pk,
                champion_pk=champion.pk,
                candidate_pk=version.pk,
                plan=plan,
                requested_by=act.actor,
                why=act.reason,
                next_segment=segment_tables.next_segment_pk(tx),
                now_us=now_us,
            )
            if pk is None:
                raise Conflict(
                    f"another rollout of {name} is on its way",
                    fix=f"wait for it, or end it: mill deploy abort {name} --reason …",
                )
            detail = RolloutStarted(
                reason=act.reason,
                deployment=name,
                champion=champion.version,
                candidate=version.version,
            )
            subjects = [Subject(kind="rollout", id=rollout_id), *_subjects(row, version)]
            event = self._journal.append(tx, act, detail, subjects)
            act = msgspec.structs.replace(act, cause=event)
            variants = shared(champion, version, plan.steps[0])
            self._change(tx, act, row, variants, rollout_pk=pk, salt=secrets.token_hex(16))
            return self._rollout(tx, pk)

    def look(self, act: Act, rollout_pk: int) -> Look | None:
        """Take a look at a running rollout and do what `decide` says.

        Segments are read outside any transaction; what they hold is written in one that
        succeeds only if the rollout stands where it stood. A winner that the policy does not
        let become champion ends the rollout as inconclusive.

        Returns None when it has ended, or when somebody else has just looked.
        """
        with self._database.read() as tx:
            before = tables.find_rollout(tx, pk=rollout_pk)
        if before is None or before.state != "running":
            return None
        counted = count_segments(self._database, self._artifacts, before)
        try:
            return self._take(act, counted)
        except _NotLet as caught:
            return self._take(act, counted, refusal=caught.refusal)

    def rollouts(self, project_key: int, name: str) -> list[Rollout]:
        """Return the rollouts of a deployment with every look, newest first."""
        with self._database.read() as tx:
            row = self._row(tx, project_key, name)
            return [
                found.rollout(tables.read_looks(tx, rollout_pk=found.pk))
                for found in tables.list_rollouts(tx, deployment_pk=row.pk)
            ]

    def running(self) -> list[RolloutRow]:
        """Return every rollout on its way, in any project."""
        with self._database.read() as tx:
            return tables.running_rollouts(tx)

    def abort(self, act: Act, name: str) -> Rollout:
        """End the running rollout by hand; raises Conflict when none runs."""
        with self._database.write() as tx:
            row = self._locked(tx, act.project_key, name)
            running = [
                found
                for found in tables.list_rollouts(tx, deployment_pk=row.pk)
                if found.state == "running"
            ]
            if not running:
                raise Conflict(f"no rollout of {name} is on its way")
            self._end(tx, act, running[0], "aborted", act.reason or "by hand")
            return self._rollout(tx, running[0].pk)

    def roll_back(self, tx: Writer, act: Act, name: str) -> VersionRow:
        """Go back to what answered before, in the caller's transaction; return what answers now.

        A rollout on its way is ended, and its champion answers everything. Else the version
        before the present one on the way here does; rolled back again it is the one before
        that, never the one just left. Raises Conflict when there is none.
        """
        row = self._locked(tx, act.project_key, name)
        if row.rollout_pk is not None:
            running = tables.find_rollout(tx, pk=row.rollout_pk)
            assert running is not None, "rollouts are never removed"
            self._end(tx, act, running, "rolled_back", act.reason or "by hand")
            return self._champion(tx, row)
        champion = row.variants[0].version
        rollouts = tables.list_rollouts(tx, deployment_pk=row.pk)
        path = way_here(
            [
                (one.champion, one.candidate)
                for one in reversed(rollouts)
                if one.state == "promoted"
            ],
            now=champion,
        )
        if len(path) < 2:
            raise Conflict(
                f"deployment {name} has nothing to go back to",
                why=f"no version before v{champion} is on the way by which it came to answer",
                fix=f"roll another version out: mill deploy promote {name} {row.model}@vN",
            )
        version = self._version(tx, row, path[-2])
        self._change(tx, act, row, alone(version), rollout_pk=None, salt=row.salt)
        return version

    def _take(
        self, act: Act, counted: Counted, *, refusal: MillwrightError | None = None
    ) -> Look | None:
        before = counted.before
        with self._database.write() as tx:
            tables.lock_deployment(tx, before.deployment_pk)
            if not tables.claim_look(tx, before, next_segment=counted.next_segment):
                return None
            tables.add_keys(tx, rollout_pk=before.pk, seen=counted.keys)
            seen = self._seen(tx, before)
            step = decide(before.plan, seen)
            if step.action == "give_up" and counted.has_more:
                step = replace(step, action="hold", why=f"segments left to read; {step.why}")
            if step.action == "promote" and refusal is not None:
                why = f"it may not become champion: {refusal.what}"
                step = replace(step, action="give_up", why=f"{why}; {step.why}")
            look = make_look(before.looks + 1, self._clock.now_us(), seen, step)
            tables.insert_look(tx, rollout_pk=before.pk, look=look)
            self._carry_out(tx, act, before, look)
            return look

    def _seen(self, tx: Reader, found: RolloutRow) -> Observed:
        candidate = tables.read_arm(tx, rollout_pk=found.pk, role="candidate")
        return Observed(
            step=found.step,
            step_keys=candidate.keys - found.step_keys_before,
            step_s=(self._clock.now_us() - found.step_started_us) / US_PER_S,
            champion=tables.read_arm(tx, rollout_pk=found.pk, role="champion"),
            candidate=candidate,
        )

    def _carry_out(self, tx: Writer, act: Act, found: RolloutRow, look: Look) -> None:
        if look.action == "hold":
            return
        detail = RolloutLooked(
            reason=act.reason, deployment=found.deployment, action=look.action, why=look.why
        )
        digest = digest_bytes(msgspec.json.encode(look))
        event = self._journal.append(
            tx, act, detail, [Subject(kind="rollout", id=found.id, digest=digest)]
        )
        act = msgspec.structs.replace(act, cause=event)
        if look.action == "advance":
            tables.move_step(
                tx,
                rollout_pk=found.pk,
                step=found.step + 1,
                keys_before=look.seen.candidate.keys,
                now_us=self._clock.now_us(),
            )
            row = self._row(tx, act.project_key, found.deployment)
            variants = shared(
                self._version(tx, row, found.champion),
                self._version(tx, row, found.candidate),
                found.plan.steps[found.step + 1],
            )
            self._change(tx, act, row, variants, rollout_pk=found.pk, salt=row.salt)
            return
        states: dict[str, RolloutState] = {
            "promote": "promoted",
            "roll_back": "rolled_back",
            "give_up": "inconclusive",
        }
        self._end(tx, act, found, states[look.action], look.why)

    def _end(self, tx: Writer, act: Act, found: RolloutRow, state: RolloutState, why: str) -> None:
        row = self._row(tx, act.project_key, found.deployment)
        winner = found.candidate if state == "promoted" else found.champion
        version = self._version(tx, row, winner)
        ended = f"rollout of v{found.candidate} {state.replace('_', ' ')}: {why}"
        act = msgspec.structs.replace(self._close(tx, act, found, state, why), reason=ended)
        self._change(tx, act, row, alone(version), rollout_pk=None, salt=row.salt)
        if state == "promoted":
            try:
                self._on_promoted(tx, act, version)
            except (Refused, NeedsApproval) as refusal:
                raise _NotLet(refusal) from refusal

    def _close(self, tx: Writer, act: Act, found: RolloutRow, state: RolloutState, why: str) -> Act:
        tables.end_rollout(
            tx, rollout_pk=found.pk, state=state, why=why, now_us=self._clock.now_us()
        )
        detail = RolloutEnded(reason=act.reason, deployment=found.deployment, state=state, why=why)
        event = self._journal.append(tx, act, detail, [Subject(kind="rollout", id=found.id)])
        return msgspec.structs.replace(act, cause=event)

    def _change(
        self,
        tx: Writer,
        act: Act,
        row: DeploymentRow,
        variants: list[Variant],
        *,
        rollout_pk: int | None,
        salt: str,
    ) -> None:
        tables.update_deployment(
            tx,
            pk=row.pk,
            variants=variants,
            salt=salt,
            rollout_pk=rollout_pk,
            now_us=self._clock.now_us(),
        )
        tables.raise_plan_revision(tx)
        detail = DeploymentChanged(
            reason=act.reason,
            name=row.name,
            revision=row.revision + 1,
            weights={f"v{one.version}": one.weight for one in variants},
        )
        subjects = [Subject(kind="deployment", id=row.id)]
        subjects += [
            Subject(kind="model_version", id=one.model_version, digest=one.digest)
            for one in variants
        ]
        self._journal.append(tx, act, detail, subjects)

    def _row(self, tx: Reader, project_key: int, name: str) -> DeploymentRow:
        found = tables.find_deployment(tx, project=project_key, name=name)
        if found is None:
            known = [row.name for row in tables.list_deployments(tx, project=project_key)]
            raise NotFound(
                f"no deployment called {name!r}",
                why=f"there are: {', '.join(known)}" if known else "there are none yet",
                fix=did_you_mean(name, known) or "mill deploy create makes one",
            )
        return found

    def _locked(self, tx: Writer, project_key: int, name: str) -> DeploymentRow:
        """Return a deployment that nobody else can change before this transaction ends."""
        tables.lock_deployment(tx, self._row(tx, project_key, name).pk)
        return self._row(tx, project_key, name)

    def _champion(self, tx: Reader, row: DeploymentRow) -> VersionRow:
        return self._version(tx, row, row.variants[0].version)

    def _version(self, tx: Reader, row: DeploymentRow, version: int) -> VersionRow:
        found = model_tables.find_version(tx, model_pk=row.model_pk, version=version)
        assert found is not None, "versions are never removed"
        return found

    def _rollout(self, tx: Reader, pk: int) -> Rollout:
        found = tables.find_rollout(tx, pk=pk)
        assert found is not None
        return found.rollout(tables.read_looks(tx, rollout_pk=pk))


def _subjects(row: DeploymentRow, version: VersionRow) -> list[Subject]:
    return [
        Subject(kind="deployment", id=row.id),
        Subject(kind="model_version", id=version.id, digest=version.digest),
    ]
