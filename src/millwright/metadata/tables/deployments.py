"""The SQL of deployments, rollouts and what was seen of each sticky key."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from millwright.core.ids import ActorId, DeploymentId, RolloutId
from millwright.metadata.database import Reader, Writer
from millwright.records.deployments import (
    ArmSeen,
    Deployment,
    Look,
    Rollout,
    RolloutPlan,
    RolloutState,
)
from millwright.records.serving import DecisionPolicy, DeploymentPlan, Variant


class DeploymentRow(Struct, frozen=True, kw_only=True):
    """A deployment as its table holds it."""

    pk: int
    id: DeploymentId
    project_id: int
    project: str
    name: str
    model_pk: int
    model: str
    revision: int
    variants_json: str
    policy_json: str
    salt: str
    secret: str
    rollout_pk: int | None
    rollout: RolloutId | None
    rollout_plan_json: str | None
    created_us: int
    changed_us: int

    @property
    def variants(self) -> list[Variant]:
        """Who answers, and for what share of the keys."""
        return msgspec.json.decode(self.variants_json, type=list[Variant])

    def deployment(self) -> Deployment:
        """Return the record as it may be shown: without the keys of its hashes."""
        return Deployment(
            id=self.id,
            name=self.name,
            model=self.model,
            revision=self.revision,
            variants=self.variants,
            policy=msgspec.json.decode(self.policy_json, type=DecisionPolicy),
            rollout=self.rollout,
            created_us=self.created_us,
            changed_us=self.changed_us,
        )

    def plan(self) -> DeploymentPlan:
        """Return what a serving process needs."""
        slow_after_us: int | None = None
        if self.rollout_plan_json is not None:
            slow_after_us = msgspec.json.decode(
                self.rollout_plan_json, type=RolloutPlan
            ).slow_after_us
        return DeploymentPlan(
            deployment=self.id,
            name=self.name,
            project=self.project,
            model=self.model,
            revision=self.revision,
            variants=self.variants,
            policy=msgspec.json.decode(self.policy_json, type=DecisionPolicy),
            salt=self.salt,
            hash_key=self.secret,
            rollout=self.rollout,
            slow_after_us=slow_after_us,
        )


class RolloutRow(Struct, frozen=True, kw_only=True):
    """A rollout as its table holds it."""

    pk: int
    id: RolloutId
    project_id: int
    deployment_pk: int
    deployment: str
    champion: int
    candidate: int
    champion_pk: int
    candidate_pk: int
    state: RolloutState
    plan_json: str
    step: int
    step_keys_before: int
    started_us: int
    step_started_us: int
    ended_us: int | None
    requested_by: ActorId
    why: str
    next_segment: int
    looks: int

    @property
    def plan(self) -> RolloutPlan:
        """The steps and limits."""
        return msgspec.json.decode(self.plan_json, type=RolloutPlan)

    def rollout(self, looks: list[Look]) -> Rollout:
        """Return the record."""
        return Rollout(
            id=self.id,
            deployment=self.deployment,
            champion=self.champion,
            candidate=self.candidate,
            state=self.state,
            plan=self.plan,
            step=self.step,
            started_us=self.started_us,
            step_started_us=self.step_started_us,
            ended_us=self.ended_us,
            requested_by=self.requested_by,
            why=self.why,
            looks=looks,
        )


class KeySeen(Struct, frozen=True, kw_only=True):
    """What one sticky key has shown of one arm."""

    role: str
    key: str
    requests: int
    errors: int
    slow: int


_DEPLOYMENT = """
    SELECT d.pk, d.id, d.project_id, p.name AS project, d.name, d.model_pk, m.name AS model,
           d.revision, d.variants_json, d.policy_json, d.salt, d.secret, d.rollout_pk,
           r.id AS rollout, r.plan_json AS rollout_plan_json, d.created_us, d.changed_us
    FROM deployment d
    JOIN project p ON p.pk = d.project_id
    JOIN model m ON m.pk = d.model_pk
    LEFT JOIN rollout r ON r.pk = d.rollout_pk
"""
_ROLLOUT = """
    SELECT r.pk, r.id, r.project_id, r.deployment_pk, d.name AS deployment,
           champion.version AS champion,
           candidate.version AS candidate, r.champion_pk, r.candidate_pk, r.state, r.plan_json,
           r.step, r.step_keys_before, r.started_us, r.step_started_us, r.ended_us,
           r.requested_by, r.why, r.next_segment, r.looks
    FROM rollout r
    JOIN deployment d ON d.pk = r.deployment_pk
    JOIN model_version champion ON champion.pk = r.champion_pk
    JOIN model_version candidate ON candidate.pk = r.candidate_pk
"""


def insert_deployment(
    tx: Writer,
    *,
    deployment_id: str,
    project: int,
    model_pk: int,
    name: str,
    variants: list[Variant],
    policy: DecisionPolicy,
    salt: str,
    secret: str,
    now_us: int,
) -> bool:
    """Add a deployment at revision 1; False when the name is taken."""
    added = tx.run(
        """
        INSERT INTO deployment (id, project_id, model_pk, name, revision, variants_json,
            policy_json, salt, secret, created_us, changed_us)
        VALUES (:id, :project, :model, :name, 1, :variants, :policy, :salt, :secret, :now, :now)
        ON CONFLICT (project_id, name) DO NOTHING
        """,
        id=deployment_id,
        project=project,
        model=model_pk,
        name=name,
        variants=msgspec.json.encode(variants).decode(),
        policy=msgspec.json.encode(policy).decode(),
        salt=salt,
        secret=secret,
        now=now_us,
    )
    return added == 1


def find_deployment(tx: Reader, *, project: int, name: str) -> DeploymentRow | None:
    """Return the deployment of that name or id."""
    return tx.first(
        DeploymentRow,
        _DEPLOYMENT + "WHERE d.project_id = :project AND (d.name = :name OR d.id = :name)",
        project=project,
        name=name,
    )


def list_deployments(tx: Reader, *, project: int | None = None) -> list[DeploymentRow]:
    """Return deployments by name; those of every project when none is named."""
    if project is None:
        return tx.rows(DeploymentRow, _DEPLOYMENT + "ORDER BY d.name, d.pk")
    return tx.rows(
        DeploymentRow, _DEPLOYMENT + "WHERE d.project_id = :p ORDER BY d.name", p=project
    )


def lock_deployment(tx: Writer, pk: int) -> None:
    """Have other writers to this deployment wait until the transaction ends."""
    tx.run("UPDATE deployment SET name = name WHERE pk = :pk", pk=pk)


def update_deployment(
    tx: Writer,
    *,
    pk: int,
    variants: list[Variant],
    salt: str,
    rollout_pk: int | None,
    now_us: int,
) -> None:
    """Give a deployment other variants and raise its revision."""
    tx.run(
        """
        UPDATE deployment SET revision = revision + 1, variants_json = :variants, salt = :salt,
            rollout_pk = :rollout, changed_us = :now
        WHERE pk = :pk
        """,
        pk=pk,
        variants=msgspec.json.encode(variants).decode(),
        salt=salt,
        rollout=rollout_pk,
        now=now_us,
    )


def raise_plan_revision(tx: Writer) -> None:
    """Tell whoever waits for a change that some plan has changed."""
    tx.run(
        "INSERT INTO plan_revision (one, revision) VALUES (1, 1) "
        "ON CONFLICT (one) DO UPDATE SET revision = plan_revision.revision + 1"
    )


def read_plan_revision(tx: Reader) -> int:
    """Return the common revision of all plans; 0 before the first."""
    return tx.value(int, "SELECT revision FROM plan_revision") or 0


def insert_rollout(
    tx: Writer,
    *,
    rollout_id: str,
    project: int,
    deployment_pk: int,
    champion_pk: int,
    candidate_pk: int,
    plan: RolloutPlan,
    requested_by: str,
    why: str,
    next_segment: int,
    now_us: int,
) -> int | None:
    """Add a running rollout and return its key; None when another is running."""
    return tx.value(
        int,
        """
        INSERT INTO rollout (id, project_id, deployment_pk, champion_pk, candidate_pk, state,
            plan_json, step, step_keys_before, started_us, step_started_us, requested_by, why,
            next_segment, looks)
        VALUES (:id, :project, :deployment, :champion, :candidate, 'running', :plan, 0, 0, :now,
            :now, :by, :why, :next_segment, 0)
        ON CONFLICT DO NOTHING RETURNING pk
        """,
        id=rollout_id,
        project=project,
        deployment=deployment_pk,
        champion=champion_pk,
        candidate=candidate_pk,
        plan=msgspec.json.encode(plan).decode(),
        by=requested_by,
        why=why,
        next_segment=next_segment,
        now=now_us,
    )


def find_rollout(tx: Reader, *, pk: int) -> RolloutRow | None:
    """Return one rollout."""
    return tx.first(RolloutRow, _ROLLOUT + "WHERE r.pk = :pk", pk=pk)


def list_rollouts(tx: Reader, *, deployment_pk: int) -> list[RolloutRow]:
    """Return the rollouts of a deployment, newest first."""
    return tx.rows(
        RolloutRow, _ROLLOUT + "WHERE r.deployment_pk = :d ORDER BY r.pk DESC", d=deployment_pk
    )


def running_rollouts(tx: Reader) -> list[RolloutRow]:
    """Return every rollout that is on its way, in any project."""
    return tx.rows(RolloutRow, _ROLLOUT + "WHERE r.state = 'running' ORDER BY r.pk")


def claim_look(tx: Writer, before: RolloutRow, *, next_segment: int) -> bool:
    """Begin the look after `before`, up to `next_segment`.

    False when the rollout has ended, or when somebody else has looked since `before` was read.
    """
    moved = tx.run(
        """
        UPDATE rollout SET looks = looks + 1, next_segment = :next
        WHERE pk = :pk AND state = 'running' AND looks = :looks AND next_segment = :before
        """,
        pk=before.pk,
        looks=before.looks,
        before=before.next_segment,
        next=next_segment,
    )
    return moved == 1


def insert_look(tx: Writer, *, rollout_pk: int, look: Look) -> None:
    """Add the look that was claimed."""
    tx.run(
        "INSERT INTO rollout_look (rollout_pk, n, look_json) VALUES (:pk, :n, :look)",
        pk=rollout_pk,
        n=look.n,
        look=msgspec.json.encode(look).decode(),
    )


def read_looks(tx: Reader, *, rollout_pk: int) -> list[Look]:
    """Return the looks of a rollout, oldest first."""
    found = tx.column(
        str, "SELECT look_json FROM rollout_look WHERE rollout_pk = :pk ORDER BY n", pk=rollout_pk
    )
    return [msgspec.json.decode(text, type=Look) for text in found]


def move_step(tx: Writer, *, rollout_pk: int, step: int, keys_before: int, now_us: int) -> None:
    """Enter a step."""
    tx.run(
        "UPDATE rollout SET step = :step, step_keys_before = :keys, step_started_us = :now "
        "WHERE pk = :pk",
        pk=rollout_pk,
        step=step,
        keys=keys_before,
        now=now_us,
    )


def end_rollout(tx: Writer, *, rollout_pk: int, state: RolloutState, why: str, now_us: int) -> bool:
    """End a running rollout; False when it has ended already."""
    changed = tx.run(
        "UPDATE rollout SET state = :state, why = :why, ended_us = :now "
        "WHERE pk = :pk AND state = 'running'",
        pk=rollout_pk,
        state=state,
        why=why,
        now=now_us,
    )
    return changed == 1


def add_keys(tx: Writer, *, rollout_pk: int, seen: Iterable[KeySeen]) -> None:
    """Add to what each sticky key has shown."""
    tx.run_many(
        """
        INSERT INTO rollout_key (rollout_pk, role, key, requests, errors, slow)
        VALUES (:rollout, :role, :key, :requests, :errors, :slow)
        ON CONFLICT (rollout_pk, role, key) DO UPDATE SET
            requests = rollout_key.requests + excluded.requests,
            errors = rollout_key.errors + excluded.errors,
            slow = rollout_key.slow + excluded.slow
        """,
        [msgspec.structs.asdict(one) | {"rollout": rollout_pk} for one in seen],
    )


def read_arm(tx: Reader, *, rollout_pk: int, role: str) -> ArmSeen:
    """Return what the keys of one arm have shown.

    A key that both arms have answered, because the shares moved, counts for the candidate only.
    """
    other = (
        ""
        if role == "candidate"
        else "AND NOT EXISTS (SELECT 1 FROM rollout_key c WHERE c.rollout_pk = k.rollout_pk "
        "AND c.role = 'candidate' AND c.key = k.key)"
    )
    sums = tx.first(
        tuple[int, int, int, int, float, float, float, float],
        f"""
        SELECT count(*), CAST(coalesce(sum(requests), 0) AS BIGINT),
            CAST(coalesce(sum(errors), 0) AS BIGINT), CAST(coalesce(sum(slow), 0) AS BIGINT),
            coalesce(sum(e), 0.0), coalesce(sum(e * e), 0.0), coalesce(sum(s), 0.0),
            coalesce(sum(s * s), 0.0)
        FROM (
            SELECT requests, errors, slow,
                CAST(errors AS DOUBLE PRECISION) / requests AS e,
                CAST(slow AS DOUBLE PRECISION) / requests AS s
            FROM rollout_key k WHERE k.rollout_pk = :pk AND k.role = :role {other}
        ) rates
        """,
        pk=rollout_pk,
        role=role,
    )
    assert sums is not None
    keys, requests, errors, slow, error_sum, error_squares, slow_sum, slow_squares = sums
    return ArmSeen(
        keys=keys,
        requests=requests,
        errors=errors,
        slow=slow,
        error_mean=error_sum / keys if keys else 0.0,
        error_variance=_variance(keys, error_sum, error_squares),
        slow_mean=slow_sum / keys if keys else 0.0,
        slow_variance=_variance(keys, slow_sum, slow_squares),
    )


def _variance(count: int, total: float, squares: float) -> float:
    # Rates lie in [0, 1], so that sums of squares lose nothing that matters.
    return max(0.0, (squares - total * total / count) / (count - 1)) if count > 1 else 0.0
