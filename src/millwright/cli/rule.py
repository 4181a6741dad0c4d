"""`mill rule`: what happens by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from millwright.cli import text
from millwright.cli.session import session
from millwright.cli.verbs import DryRun, Reason, noun
from millwright.core.errors import Invalid, NotFound
from millwright.records.automation import Rule, RuleSpec

app = noun("What happens by itself: an event of one kind starts a job of another.")

_EXAMPLE = "as in: {event: AlertRaised, job: pipeline.run, args: {pipeline: train.py}}"


@app.command("list")
def list_all() -> None:
    """List the project's rules."""
    here = session()
    with here.door() as door:
        found = door.rules.list_all()
    here.answer(
        found,
        lambda: text.table(
            ["name", "on", "where", "job", "enabled", "id"],
            [
                (
                    one.name,
                    one.spec.event,
                    ", ".join(f"{name}={value}" for name, value in one.spec.where.items()),
                    one.spec.job,
                    "yes" if one.enabled else "no",
                    one.id,
                )
                for one in found
            ],
        ),
        empty="There are no rules yet. Make one: mill rule set NAME FILE",
    )


@app.command("set")
def put(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The rule, YAML or JSON.")],
    reason: Reason = "",
    dry_run: DryRun = False,
) -> None:
    """Make or replace a rule."""
    here = session()
    spec = read_rule(file)
    with here.door() as door:
        if dry_run:
            here.would("rules.put", name=name, spec=spec, reason=reason)
            return
        rule = door.rules.put(name=name, spec=spec, reason=reason)
    here.answer(rule, lambda: rule_lines(rule))


def read_rule(path: Path) -> RuleSpec:
    """Return the rule in a file; raises NotFound, and Invalid naming what is wrong."""
    import yaml

    try:
        raw: object = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}", fix=_EXAMPLE) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Invalid(f"{path} cannot be read", why=str(error)) from error
    try:
        return msgspec.convert(raw, RuleSpec)
    except msgspec.ValidationError as error:
        raise Invalid(f"{path} is not a rule", why=str(error), fix=_EXAMPLE) from error


def rule_lines(rule: Rule) -> list[str]:
    """Return a rule as names and values."""
    spec = rule.spec
    return text.facts(
        {
            "rule": rule.name,
            "id": rule.id,
            "on": spec.event,
            "where": msgspec.json.encode(spec.where).decode() if spec.where else None,
            "job": spec.job,
            "arguments": msgspec.json.encode(spec.args).decode(),
            "cool down": text.duration(round(spec.cool_down_s * 1_000_000))
            if spec.cool_down_s
            else None,
            "acts as": rule.actor,
            "enabled": "yes" if rule.enabled else "no",
        }
    )
