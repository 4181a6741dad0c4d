from __future__ import annotations

from millwright.access.permissions import Principal
from millwright.core.ids import ActorId, EventId, ProjectId, RequestId
from millwright.records.access import ActorKind
from millwright.records.events import Act
from millwright.workspace.session import Session

ADA = Principal(ActorId("act_1"), "ada", ActorKind.PERSON, {})


def test_an_act_names_who_where_why_and_what_brought_it_about() -> None:
    session = Session(
        principal=ADA,
        project=ProjectId("prj_1"),
        project_name="choir",
        key=3,
        request=RequestId("req_1"),
        cause=EventId("evt_1"),
        reason="rule retrain on AlertRaised",
    )
    assert session.act("a test") == Act(
        actor=ActorId("act_1"),
        project=ProjectId("prj_1"),
        project_key=3,
        reason="a test",
        request=RequestId("req_1"),
        cause=EventId("evt_1"),
    )
    # Where an act has no reason of its own, the session's stands.
    assert session.act().reason == "rule retrain on AlertRaised"
