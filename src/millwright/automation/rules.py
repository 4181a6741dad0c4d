"""Rules: an event of one kind starts a job of another.

Whether a rule answers an event, and with which arguments, is decided by pure functions. The
job's idempotency key names rule and event, so that an event starts a rule's job once, whoever
follows the journal and however often it is read.
"""

from __future__ import annotations

import re

from millwright.access.actors import Directory
from millwright.access.grants import Grants
from millwright.core.clock import US_PER_S, Clock
from millwright.core.errors import Invalid
from millwright.core.ids import ActorId, RuleId, new_id
from millwright.core.refs import check_name, did_you_mean
from millwright.journal.log import Journal
from millwright.metadata.database import Database, Writer
from millwright.metadata.tables import rules as tables
from millwright.records import events, operation_events, study_events
from millwright.records.access import Role
from millwright.records.automation import Rule, RuleSpec
from millwright.records.events import Act, Detail, Event, JsonValue, Subject
from millwright.records.operation_events import RuleCreated, RuleFired

_FIELD = re.compile(r"\$\{([a-z_]+)\}")

EVENT_KINDS: dict[str, type[Detail]] = {
    name: kind
    for module in (events, operation_events, study_events)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, Detail) and kind is not Detail
}


def matches(spec: RuleSpec, event: Event) -> bool:
    """Tell whether a rule answers an event: its kind, and every field of `where`."""
    if event.kind != spec.event or event.detail is None:
        return False
    return all(event.detail.get(field) == wanted for field, wanted in spec.where.items())


def fill_in(template: JsonValue, event: Event) -> JsonValue:
    """Return `template` with each `${field}` replaced by that field of the event's detail.

    A text that is nothing but one `${field}` takes the value as it is; within other text it is
    written out. Lists and objects are filled in item by item.
    """
    detail = event.detail or {}
    if isinstance(template, str):
        whole = _FIELD.fullmatch(template)
        if whole:
            return detail.get(whole[1])
        return _FIELD.sub(lambda found: str(detail.get(found[1])), template)
    if isinstance(template, list):
        return [fill_in(item, event) for item in template]
    if isinstance(template, dict):
        return {key: fill_in(item, event) for key, item in template.items()}
    return template


def check_spec(spec: RuleSpec) -> RuleSpec:
    """Return `spec` when it can ever fire and its job be done.

    Raises Invalid naming an unknown event, field or job.
    """
    # Only who makes a rule needs to know the jobs, and the rooms that do them.
    from millwright.automation.actions import NEEDS

    kind = EVENT_KINDS.get(spec.event)
    if kind is None:
        raise Invalid(
            f"no event is called {spec.event!r}",
            why=f"there are: {', '.join(sorted(EVENT_KINDS))}",
            fix=did_you_mean(spec.event, EVENT_KINDS),
        )
    for field in (*spec.where, *_fields(spec.args)):
        if field not in kind.__struct_fields__:
            raise Invalid(
                f"{spec.event} has no field {field!r}",
                why=f"it has: {', '.join(kind.__struct_fields__)}",
                fix=did_you_mean(field, kind.__struct_fields__),
            )
    if spec.job not in NEEDS:
        raise Invalid(
            f"no job is called {spec.job!r}",
            why=f"there are: {', '.join(NEEDS)}",
            fix=did_you_mean(spec.job, NEEDS),
        )
    if spec.event == RuleFired.__name__:
        raise Invalid(
            f"a rule cannot answer {spec.event}",
            why="its own firing is such an event, so it would never end",
            fix="answer what the other rule's job brings about",
        )
    if spec.cool_down_s < 0:
        raise Invalid(f"cool_down_s is {spec.cool_down_s}; it cannot be below 0")
    return spec


class Rules:
    """The rules of all projects of a home."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        clock: Clock,
        *,
        directory: Directory,
        grants: Grants,
    ) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock
        self._directory = directory
        self._grants = grants

    def put(self, act: Act, name: str, spec: RuleSpec, *, project: str) -> Rule:
        """Make a rule, or replace the one of that name; it acts under a name of its own.

        The rule's actor is an editor of the project and no approver: what needs a second pair
        of eyes waits for a person. The same rule again changes nothing.
        """
        check_name(name, "rule")
        check_spec(spec)
        with self._database.write() as tx:
            known = tables.find_rule(tx, project=act.project_key, name=name)
            if known is not None and known.rule().spec == spec and known.enabled:
                return known.rule()
            actor = known.actor if known else self._make_actor(tx, act, name, project)
            rule_id = known.id if known else RuleId(new_id("rul"))
            tables.put_rule(
                tx,
                rule_id=rule_id,
                project=act.project_key,
                name=name,
                spec=spec,
                actor=actor,
                now_us=self._clock.now_us(),
            )
            detail = RuleCreated(reason=act.reason, name=name, event=spec.event, job=spec.job)
            self._journal.append(tx, act, detail, [Subject(kind="rule", id=rule_id)])
            made = tables.find_rule(tx, project=act.project_key, name=name)
        assert made is not None
        return made.rule()

    def list_all(self, project_key: int) -> list[Rule]:
        """Return the project's rules, by name."""
        with self._database.read() as tx:
            return [row.rule() for row in tables.list_rules(tx, project=project_key)]

    def _make_actor(self, tx: Writer, act: Act, name: str, project: str) -> ActorId:
        actor = self._directory.create_rule(f"rule-{project}-{name}", act=act, tx=tx)
        self._grants.grant_role(actor.id, Role.EDITOR, act=act, project=project, tx=tx)
        return actor.id


def is_cooling(spec: RuleSpec, *, last_fired_us: int | None, now_us: int) -> bool:
    """Tell whether a rule has fired so recently that it passes an event over."""
    return last_fired_us is not None and now_us - last_fired_us < spec.cool_down_s * US_PER_S


def _fields(template: JsonValue) -> list[str]:
    if isinstance(template, str):
        return _FIELD.findall(template)
    if isinstance(template, list):
        return [field for item in template for field in _fields(item)]
    if isinstance(template, dict):
        return [field for item in template.values() for field in _fields(item)]
    return []
