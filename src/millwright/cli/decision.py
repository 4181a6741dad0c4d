"""`mill decision`: one decision, traced back to everything that led to it, and explained."""

from __future__ import annotations

from typing import Annotated

import typer

from millwright.cli import text
from millwright.cli.session import session
from millwright.cli.verbs import noun
from millwright.core.ids import DecisionId
from millwright.doors.decisions import DecisionChain, Explanation
from millwright.records.serving import Cell

app = noun("One decision, traced back to everything that led to it, and explained.")

Id = Annotated[str, typer.Argument(metavar="ID", help="As the serving process returned it.")]


@app.command()
def show(decision: Id) -> None:
    """Show the chain: decision, model version, run, data, verdicts, approvals, proofs."""
    here = session()
    with here.door() as door:
        chain = door.decisions.show(id=DecisionId(decision))
    here.answer(chain, lambda: chain_lines(chain))
    here.say(f"Why it came out so: mill decision explain {chain.decision.id}")


@app.command()
def explain(decision: Id) -> None:
    """Show what each raw input column added to the score; it adds up."""
    here = session()
    with here.door() as door:
        found = door.decisions.explain(id=DecisionId(decision))
    here.answer(found, lambda: explanation_lines(found))


def chain_lines(chain: DecisionChain) -> list[str]:
    """Return a decision's chain, newest link first."""
    decision, version = chain.decision, chain.model_version
    lines = text.facts(
        {
            "decision": decision.id,
            "made": text.when(decision.time_us),
            "by": f"{version.name}@v{decision.version} ({decision.role})",
            "model digest": decision.digest,
            "score": decision.score,
            "prediction": _shown(decision.prediction),
            "action": f"{decision.action} (policy version {decision.policy})"
            if decision.action
            else None,
            "error": decision.error,
            "label": _shown(chain.label),
        }
    )
    inputs = {name: _shown(value) for name, value in decision.inputs.items()}
    lines += ["", "inputs", *text.indented(text.facts(inputs))]
    if chain.run is not None:
        run = chain.run
        made_by = {
            "run": run.id,
            "git commit": run.source.git_commit,
            "code": run.source.code_digest,
            "environment": run.source.environment_digest,
            "finished": text.when(run.end_us),
        }
        lines += ["", "trained by", *text.indented(text.facts(made_by))]
    if chain.datasets:
        rows = [(f"{one.name}@v{one.version}", one.row_count, one.digest) for one in chain.datasets]
        lines += ["", *text.table(["trained on", "rows", "digest"], rows)]
    if chain.gates:
        judged = [
            (one.verdict, text.when(one.created_us), one.digest, one.id) for one in chain.gates
        ]
        lines += ["", *text.table(["verdict", "judged", "digest", "gate"], judged)]
    if chain.approvals:
        asked = [(one.state, one.requested_by, one.decided_by, one.id) for one in chain.approvals]
        lines += ["", *text.table(["approval", "asked by", "decided by", "id"], asked)]
    if chain.aliases:
        moves = [
            (
                text.when(one.time_us),
                one.alias,
                None if one.version is None else f"v{one.version}",
                one.actor,
                one.reason,
            )
            for one in chain.aliases
        ]
        lines += ["", *text.table(["moved", "alias", "to", "actor", "reason"], moves)]
    proofs = {
        "segment": chain.segment.id,
        "in the segment": f"row {chain.in_segment.index} of {chain.in_segment.size},"
        f" root {chain.in_segment.root}",
        "in the journal": f"event {chain.in_journal.event}, place {chain.in_journal.index}"
        f" of {chain.in_journal.size}, root {chain.in_journal.root}",
    }
    return [*lines, "", "proved", *text.indented(text.facts(proofs))]


def explanation_lines(found: Explanation) -> list[str]:
    """Return the contributions, the largest first, and what they add up to."""
    largest = sorted(found.contributions.items(), key=lambda item: (-abs(item[1]), item[0]))
    rows = [("(base)", f"{found.base:+.6f}")]
    rows += [(name, f"{value:+.6f}") for name, value in largest]
    rows += [("(rest)", f"{found.residue:+.1e}"), ("(output)", f"{found.output:+.6f}")]
    facts = {
        "decision": found.decision,
        "model digest": found.model_digest,
        "method": found.method,
        "scale": found.scale,
        "compared with": text.counted(found.background_rows, "training row"),
    }
    return [*text.facts(facts), "", *text.table(["column", "contribution"], rows)]


def _shown(value: Cell) -> str | int | float | None:
    return str(value).lower() if isinstance(value, bool) else value
