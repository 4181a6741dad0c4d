"""The demo's ending: the rollout, one decision, the accounts."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from millwright.cli import text
from millwright.cli.demo_data import draw
from millwright.cli.demo_facts import (
    APPROVER,
    CANARY_BATCH,
    MAX_CANARY_REQUESTS,
    NAME,
    PLAN,
    POLL_S,
    WAIT_S,
    Stage,
)
from millwright.cli.demo_live import Caller, Sent
from millwright.cli.demo_training import shown
from millwright.cli.up import Running
from millwright.core.canonical import encode
from millwright.core.digest import digest_bytes
from millwright.core.errors import NotFound, TimedOut
from millwright.core.ids import DecisionId
from millwright.governance.decisions import is_proven
from millwright.records.deployments import Rollout
from millwright.workspace.open import Workspace

if TYPE_CHECKING:
    from millwright.cli.demo_story import Story


def tell_rollout(story: Story, ws: Workspace, caller: Caller, running: Running) -> Stage:
    """Send requests while the candidate is let in, until the rollout ends."""
    none: Stage = {"ok": True, "state": None, "looks": []}
    if story.telling.scenario == "healthy":
        return none | {"outcome": "none needed"}
    if story.telling.scenario == "bad-candidate":
        story.say("rollout     none: the gate said no")
        return none | {"outcome": "none: the gate said no"}
    if story.is_high_risk:
        story.wait(
            lambda: (
                bool(ws.models.approvals(state="waiting"))
                or bool(ws.deployments.rollouts(name=NAME))
            ),
            running,
            "the request for approval",
        )
        if story.telling.scenario == "unapproved":
            waiting = ws.models.approvals(state="waiting")[0]
            story.say(
                f"rollout     {NAME}@v2 waits for somebody other than the requester\n"
                f"            mill model approve {NAME}@v2 --as {APPROVER}"
            )
            return none | {"outcome": "waits for approval", "approval": waiting.id}
        if ws.models.approvals(state="waiting"):
            story.approve(ws, f"{NAME}@v2")
    story.wait(lambda: bool(ws.deployments.rollouts(name=NAME)), running, "the rollout")
    sent = _send_until_ended(story, ws, caller, running)
    newest = ws.deployments.rollouts(name=NAME)[0]
    if newest.state == "inconclusive" and newest.started_us < story.began_us:
        reason = "the rollout before ran out of its time while the demo was away"
        story.say(f"            {reason}; another is begun")
        ws.deployments.roll_out(
            name=NAME, model=f"{NAME}@v{newest.candidate}", plan=PLAN, reason=reason
        )
        sent.add(_send_until_ended(story, ws, caller, running))
    rollout = ws.deployments.rollouts(name=NAME)[0]
    sent.add(_send_until_answered_by(story, caller, ws.models.show(ref=f"{NAME}@champion").version))
    expected = "rolled_back" if story.telling.scenario == "faulty-canary" else "promoted"
    champion = ws.models.show(ref=f"{NAME}@champion")
    story.say(
        f"rollout     v{rollout.candidate} at {rollout.plan.steps[0] / 100:.0f} % of the keys: "
        f"{rollout.state.replace('_', ' ')} after {text.counted(len(rollout.looks), 'look')}\n"
        f"            {rollout.why}\n            champion is v{champion.version}"
    )
    return {
        "ok": rollout.state == expected,
        "outcome": rollout.state,
        "id": rollout.id,
        "state": rollout.state,
        "champion": rollout.champion,
        "candidate": rollout.candidate,
        "why": rollout.why,
        "requests": sent.sent,
        "errors": sent.errors,
        "champion_now": champion.version,
        "last": sent.last,
        "looks": [
            {
                "n": look.n,
                "action": look.action,
                "champion_keys": look.seen.champion.keys,
                "candidate_keys": look.seen.candidate.keys,
                "errors": [look.error_difference, look.error_low, look.error_high],
                "slow": [look.slow_difference, look.slow_low, look.slow_high],
                "why": look.why,
            }
            for look in rollout.looks
        ],
        "verdict_digest": digest_bytes(
            encode({"candidate": rollout.candidate, "state": rollout.state})
        ),
    }


def _send_until_ended(story: Story, ws: Workspace, caller: Caller, running: Running) -> Sent:
    total = Sent()
    deadline = time.monotonic() + PLAN.max_step_s + WAIT_S
    for batch in range(MAX_CANARY_REQUESTS // CANARY_BATCH):
        if _has_ended(ws.deployments.rollouts(name=NAME)[0]):
            return total
        story.check_alive(running, "the rollout")
        draws = draw(
            story.rows,
            seed=story.telling.seed,
            # Named by the process, so that keys sent before a kill do not come again.
            phase=f"canary-{os.getpid()}-{batch}",
            count=CANARY_BATCH,
            change=story.telling.change,
        )
        total.add(caller.send(draws))
    while not _has_ended(ws.deployments.rollouts(name=NAME)[0]):
        story.check_alive(running, "the rollout")
        if time.monotonic() > deadline:
            raise TimedOut("the rollout has not ended", fix="see: mill deploy show demo")
        time.sleep(POLL_S)
    return total


def _send_until_answered_by(story: Story, caller: Caller, version: int) -> Sent:
    """Send single requests until the version answers: plans are followed within moments."""
    total = Sent()
    deadline = time.monotonic() + WAIT_S
    while total.versions.get(str(version), 0) == 0 and time.monotonic() < deadline:
        number = total.sent
        phase = f"after-{os.getpid()}-{number}"
        change = story.telling.change
        total.add(
            caller.send(
                draw(story.rows, seed=story.telling.seed, phase=phase, count=1, change=change)
            )
        )
        time.sleep(POLL_S)
    return total


def tell_decision(story: Story, ws: Workspace, running: Running) -> Stage:
    """Trace, prove and explain one decision."""
    last = story.stages["rollout"].get("last") or story.stages["traffic"]["last"]
    decision = DecisionId(last)
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            chain = ws.decisions.show(id=decision)
            break
        except NotFound:
            story.check_alive(running, "the decision's segment")
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)
    explained = ws.decisions.explain(id=decision)
    top = sorted(explained.contributions.items(), key=lambda one: -abs(one[1]))[:3]
    proven = is_proven(ws.home.decisions.find(ws.session.key, decision))
    data = ", ".join(f"{one.name}@v{one.version}" for one in chain.datasets) or "no dataset"
    story.say(
        f"decision    {decision}: {chain.decision.prediction!r}, score "
        f"{chain.decision.score:.4f}, by v{chain.decision.version}, trained on {data}\n"
        f"            in its segment and the journal: {'proven' if proven else 'NOT PROVEN'}\n"
        f"            {explained.output:.4f} = {explained.base:.4f} "
        + " ".join(f"{value:+.4f} {name}" for name, value in top)
        + f" and {len(explained.contributions) - len(top)} more; rest {explained.residue:.1e}"
    )
    return {
        "ok": proven and abs(explained.residue) < 1e-9 and bool(chain.datasets),
        "outcome": "traced, proven, explained",
        "id": decision,
        "version": chain.decision.version,
        "model_version": chain.model_version.id,
        "model_digest": chain.model_version.digest,
        "run": None if chain.run is None else chain.run.id,
        "datasets": [one.digest for one in chain.datasets],
        "gates": [one.id for one in chain.gates],
        "prediction": chain.decision.prediction,
        "score": chain.decision.score,
        "segment": chain.segment.id,
        "root": chain.segment.root,
        "journal_index": chain.in_journal.index,
        "base": explained.base,
        "output": explained.output,
        "contributions": explained.contributions,
        "residue": explained.residue,
    }


def tell_predictions(story: Story, ws: Workspace) -> Stage:
    """Count what sealed segments hold."""
    count, errors = story.captured(ws)
    performance = ws.monitors.performance(deployment=NAME)
    traffic = story.stages["traffic"]
    canary = story.stages["rollout"].get("requests", 0)
    story.say(
        f"accounted   {count} decisions in sealed segments; {performance.labelled} labelled, "
        f"accuracy {shown(performance.accuracy)} "
        f"[{shown(performance.accuracy_low)}, {shown(performance.accuracy_high)}]"
    )
    return {
        "ok": errors == 0 and count >= traffic["answered"],
        "outcome": "answered and captured",
        "deployment": NAME,
        "count": count,
        "errors": errors,
        "sent": traffic["sent"] + canary,
        "median_ms": traffic["median_ms"],
        "labelled": performance.labelled,
        "accuracy": performance.accuracy,
    }


def tell_audit(story: Story, ws: Workspace) -> Stage:
    """Verify the journal, and keep a checkpoint outside."""
    found = ws.audit.verify()
    note = ws.audit.checkpoint()
    (story.config.root / "checkpoint.txt").write_text(note, encoding="utf-8")
    again = ws.audit.verify(against=note)
    story.say(
        f"audit       {found.size} events verified, root {found.root[:16]}…; "
        "a checkpoint lies in checkpoint.txt: keep a copy elsewhere"
    )
    return {
        "ok": found.ok and again.ok,
        "outcome": "verified" if found.ok and again.ok else "NOT VERIFIED",
        "events": found.size,
        "root": found.root,
        "problems": len(found.problems),
        "cannot_exclude": found.cannot_exclude,
    }


def _has_ended(rollout: Rollout) -> bool:
    return rollout.state != "running"
