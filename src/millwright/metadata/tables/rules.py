"""The SQL of automation rules."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from millwright.core.ids import ActorId, ProjectId, RuleId
from millwright.metadata.database import Reader, Writer
from millwright.records.automation import Rule, RuleSpec


class RuleRow(Struct, frozen=True, kw_only=True):
    """A rule as its table holds it, with the project it works in."""

    pk: int
    id: RuleId
    project_id: int
    project: ProjectId
    name: str
    spec_json: str
    actor: ActorId
    enabled: int
    created_us: int

    def rule(self) -> Rule:
        """Return the record."""
        return Rule(
            id=self.id,
            name=self.name,
            spec=msgspec.json.decode(self.spec_json, type=RuleSpec),
            actor=self.actor,
            enabled=bool(self.enabled),
            created_us=self.created_us,
        )


_RULE = """
    SELECT r.pk, r.id, r.project_id, p.id AS project, r.name, r.spec_json, r.actor, r.enabled,
           r.created_us
    FROM rule r JOIN project p ON p.pk = r.project_id
"""


def put_rule(
    tx: Writer,
    *,
    rule_id: RuleId,
    project: int,
    name: str,
    spec: RuleSpec,
    actor: ActorId,
    now_us: int,
) -> None:
    """Add a rule, or give the one of that name another specification."""
    tx.run(
        """
        INSERT INTO rule (id, project_id, name, spec_json, actor, enabled, created_us)
        VALUES (:id, :project, :name, :spec, :actor, 1, :now)
        ON CONFLICT (project_id, name) DO UPDATE SET spec_json = excluded.spec_json, enabled = 1
        """,
        id=rule_id,
        project=project,
        name=name,
        spec=msgspec.json.encode(spec).decode(),
        actor=actor,
        now=now_us,
    )


def find_rule(tx: Reader, *, project: int, name: str) -> RuleRow | None:
    """Return the rule of that name."""
    return tx.first(
        RuleRow, _RULE + "WHERE r.project_id = :p AND r.name = :name", p=project, name=name
    )


def list_rules(tx: Reader, *, project: int) -> list[RuleRow]:
    """Return the project's rules, by name."""
    return tx.rows(RuleRow, _RULE + "WHERE r.project_id = :p ORDER BY r.name", p=project)


def enabled_rules(tx: Reader) -> list[RuleRow]:
    """Return the rules of every project that are switched on, in the order they were made."""
    return tx.rows(RuleRow, _RULE + "WHERE r.enabled = 1 ORDER BY r.pk")


def last_fired_us(tx: Reader, *, rule: RuleId) -> int | None:
    """Return when a rule last fired, from its events; None when it never did."""
    return tx.value(
        int,
        "SELECT e.time_us FROM event_subject s JOIN event e ON e.pk = s.event_pk "
        "WHERE s.kind = 'rule' AND s.id = :rule AND e.kind = 'RuleFired' "
        "ORDER BY e.pk DESC LIMIT 1",
        rule=rule,
    )
