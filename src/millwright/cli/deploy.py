"""`mill deploy`: models that answer requests, and how new versions are let in."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import typer

from millwright.cli import text
from millwright.cli.session import session
from millwright.cli.verbs import DryRun, Reason, WantedReason, noun
from millwright.core.errors import Invalid
from millwright.doors.door import Door
from millwright.records.deployments import Deployment, Look, Rollout, RolloutPlan
from millwright.records.serving import WEIGHT_TOTAL, DecisionPolicy

app = noun("Models that answer requests, and how new versions are let in.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The deployment.")]
ModelRef = Annotated[
    str, typer.Argument(metavar="MODEL", help="A version: NAME@v3, NAME@champion, or an id.")
]

_POLICY = DecisionPolicy(version="1")
_PLAN = RolloutPlan()


@app.command()
def create(
    name: Name,
    model: ModelRef,
    threshold: Annotated[
        float,
        typer.Option("--threshold", min=0, max=1, metavar="SCORE", help="Acted on at or above it."),
    ] = _POLICY.threshold,
    above: Annotated[
        str, typer.Option("--above", metavar="ACTION", help="The action at or above it.")
    ] = _POLICY.action_at_or_above,
    below: Annotated[
        str, typer.Option("--below", metavar="ACTION", help="The action below it.")
    ] = _POLICY.action_below,
    reason: Reason = "",
    dry_run: DryRun = False,
) -> None:
    """Let a model version answer all requests to NAME."""
    here = session()
    chosen = DecisionPolicy(
        version=_POLICY.version,
        threshold=threshold,
        action_at_or_above=above,
        action_below=below,
    )
    policy = None if chosen == _POLICY else chosen
    with here.door() as door:
        if dry_run:
            here.would("deployments.create", name=name, model=_version(door, model), policy=policy)
            return
        made = door.deployments.create(name=name, model=model, policy=policy, reason=reason)
    here.answer(made, lambda: deployment_lines(made))
    here.say("It answers where a serving process runs: mill up, or mill serve")


@app.command("list")
def list_all() -> None:
    """List the project's deployments."""
    here = session()
    with here.door() as door:
        found = door.deployments.list_all()
    here.answer(
        found,
        lambda: text.table(
            ["name", "model", "answers", "rollout", "changed", "id"],
            [
                (
                    one.name,
                    one.model,
                    _shares(one),
                    one.rollout,
                    text.when(one.changed_us),
                    one.id,
                )
                for one in found
            ],
        ),
        empty="Nothing is deployed yet. Deploy a model: mill deploy create NAME MODEL",
    )


@app.command()
def show(
    name: Name,
    rollouts: Annotated[
        bool, typer.Option("--rollouts", help="Show all rollouts, with every look taken.")
    ] = False,
) -> None:
    """Show which versions answer, and how the newest rollout stands."""
    here = session()
    with here.door() as door:
        if rollouts:
            all_of = door.deployments.rollouts(name=name)
            here.answer(
                all_of,
                lambda: [line for one in all_of for line in ["", *rollout_lines(one)]][1:],
                empty=f"There was none yet. Begin one: mill deploy promote {name} MODEL",
            )
            return
        deployment = door.deployments.show(name=name)
        newest = None if here.given.json else _newest(door, name)
    lines = deployment_lines(deployment)
    if newest is not None:
        lines += ["", *rollout_lines(newest)]
    here.answer(deployment, lambda: lines)


@app.command()
def promote(
    name: Name,
    model: ModelRef,
    steps: Annotated[
        str | None,
        typer.Option("--steps", metavar="P,P,…", help="Shares of the keys, percent, as 5,25,50."),
    ] = None,
    min_keys: Annotated[
        int, typer.Option("--min-keys", min=2, metavar="N", help="Keys each step must show.")
    ] = _PLAN.min_keys,
    max_step_s: Annotated[
        float, typer.Option("--max-step-s", min=1, metavar="S", help="Seconds a step may take.")
    ] = _PLAN.max_step_s,
    reason: Reason = "",
    dry_run: DryRun = False,
) -> None:
    """Begin to let a version in, step by step; it is rolled back by itself when it does harm."""
    here = session()
    plan = RolloutPlan(
        steps=_PLAN.steps if steps is None else parse_steps(steps),
        min_keys=min_keys,
        max_step_s=max_step_s,
    )
    with here.door() as door:
        if dry_run:
            now = _shares(door.deployments.show(name=name))
            here.would(
                "deployments.roll_out",
                name=name,
                model=_version(door, model),
                plan=plan,
                found=[f"{now} answers now"],
            )
            return
        rollout = door.deployments.roll_out(
            name=name, model=model, plan=None if plan == _PLAN else plan, reason=reason
        )
    here.answer(rollout, lambda: rollout_lines(rollout))
    here.say(f"How it goes: mill deploy show {name}")


@app.command()
def abort(name: Name, reason: WantedReason, dry_run: DryRun = False) -> None:
    """End the running rollout; the champion answers everything again."""
    here = session()
    with here.door() as door:
        if dry_run:
            found = door.deployments.show(name=name)
            state = f"rollout {found.rollout}" if found.rollout else "no rollout is on its way"
            here.would("deployments.abort", name=name, reason=reason, found=[state])
            return
        here.confirm(f"End the rollout of {name}?")
        rollout = door.deployments.abort(name=name, reason=reason)
    here.answer(rollout, lambda: rollout_lines(rollout))


@app.command()
def rollback(name: Name, reason: WantedReason, dry_run: DryRun = False) -> None:
    """Let the version answer that did before, at once; the champion alias moves with it."""
    here = session()
    with here.door() as door:
        if dry_run:
            now = _shares(door.deployments.show(name=name))
            found = [f"{now} answers now"]
            here.would("deployments.rollback", name=name, reason=reason, found=found)
            return
        here.confirm(f"Let the version before answer for {name}?")
        changed = door.deployments.rollback(name=name, reason=reason)
    here.answer(changed, lambda: deployment_lines(changed))


def parse_steps(given: str) -> tuple[int, ...]:
    """Return shares of ten thousand from percents; raises Invalid unless they rise below 100.

    >>> parse_steps("5,25,50")
    (500, 2500, 5000)
    """
    try:
        percents = [float(part) for part in given.split(",")]
    except ValueError as error:
        raise Invalid(
            f"--steps {given!r} is not a list of percents", fix="as in --steps 5,25,50"
        ) from error
    shares = tuple(round(one * WEIGHT_TOTAL / 100) for one in percents)
    rising = all(low < high for low, high in pairwise(shares))
    if not rising or shares[0] < 1 or shares[-1] >= WEIGHT_TOTAL:
        raise Invalid(
            f"--steps {given!r} cannot be a rollout's steps",
            why="they rise, from above 0 to below 100 percent",
            fix="as in --steps 5,25,50; after the last one the candidate takes all",
        )
    return shares


def deployment_lines(deployment: Deployment) -> list[str]:
    """Return a deployment and the versions that answer."""
    policy = deployment.policy
    facts = text.facts(
        {
            "deployment": deployment.name,
            "id": deployment.id,
            "model": deployment.model,
            "revision": deployment.revision,
            "rollout": deployment.rollout,
            "policy": f"{policy.action_at_or_above} from a score of {policy.threshold:g},"
            f" else {policy.action_below} (version {policy.version})",
            "changed": text.when(deployment.changed_us),
        }
    )
    rows = [
        (one.role, f"v{one.version}", text.percent(one.weight / WEIGHT_TOTAL), one.digest)
        for one in deployment.variants
    ]
    return [*facts, "", *text.table(["role", "version", "keys", "digest"], rows)]


def rollout_lines(rollout: Rollout) -> list[str]:
    """Return a rollout with every look taken."""
    steps = ", ".join(text.percent(share / WEIGHT_TOTAL) for share in rollout.plan.steps)
    facts = text.facts(
        {
            "rollout": rollout.id,
            "state": rollout.state,
            "from": f"v{rollout.champion}",
            "to": f"v{rollout.candidate}",
            "steps": f"{steps}; at step {rollout.step + 1}",
            "began": text.when(rollout.started_us),
            "ended": text.when(rollout.ended_us),
            "why": rollout.why,
        }
    )
    return facts if not rollout.looks else [*facts, "", *_look_table(rollout.looks)]


def _look_table(looks: list[Look]) -> list[str]:
    return text.table(
        ["look", "step", "keys", "errors", "interval", "slow", "interval", "action", "why"],
        [
            (
                one.n,
                one.seen.step + 1,
                one.seen.candidate.keys,
                one.error_difference,
                text.interval(one.error_low, one.error_high),
                one.slow_difference,
                text.interval(one.slow_low, one.slow_high),
                one.action,
                one.why,
            )
            for one in looks
        ],
    )


def _newest(door: Door, name: str) -> Rollout | None:
    rollouts = door.deployments.rollouts(name=name)
    return rollouts[0] if rollouts else None


def _shares(deployment: Deployment) -> str:
    return ", ".join(
        f"v{one.version} {text.percent(one.weight / WEIGHT_TOTAL)}" for one in deployment.variants
    )


def _version(door: Door, ref: str) -> str:
    version = door.models.show(ref=ref)
    return f"{version.name}@v{version.version}"
