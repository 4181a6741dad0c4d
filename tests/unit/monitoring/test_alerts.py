"""Alerts are listed, read and closed with a reason, which the journal keeps."""

from __future__ import annotations

import pytest

from fixtures.monitoring import World
from millwright.core.errors import Invalid, NotFound
from millwright.core.ids import AlertId
from millwright.monitoring.alerts import Alerts


def test_an_alert_from_raising_to_closing(world: World) -> None:
    world.add_version([{"x": float(at)} for at in range(200)])
    monitors = world.monitors()
    monitors.create(world.act, "watch", "demo")
    world.decide([{"x": 500.0}] * 120)
    monitors.check(world.act, "watch")
    alerts = Alerts(world.database, world.journal, world.clock)
    project = world.act.project_key
    (raised,) = alerts.list_all(project)
    assert (raised.monitor, raised.deployment, raised.columns) == ("watch", "demo", ["x"])
    assert alerts.get(project, raised.id) == raised
    assert alerts.list_all(project, state="open") == alerts.open_for(project, "watch") == [raised]
    with pytest.raises(Invalid, match="closed with a reason"):
        alerts.close(world.act, raised.id, reason=" ")
    world.clock.advance(5)
    closed = alerts.close(world.act, raised.id, reason="sensor replaced")
    assert alerts.close(world.act, raised.id, reason="again") == closed
    assert closed.closed_us == world.clock.now_us()
    assert alerts.list_all(project, state="open") == alerts.open_for(project, "watch") == []
    (event,) = world.journal.events(kinds=["AlertClosed"])
    assert event.detail == {"reason": "sensor replaced", "state": "closed"}
    assert [(subject.id, subject.digest) for subject in event.subjects] == [
        (raised.id, raised.evidence)
    ]


def test_an_alert_nobody_knows(sqlite_world: World) -> None:
    world = sqlite_world
    alerts = Alerts(world.database, world.journal, world.clock)
    with pytest.raises(NotFound, match="no alert"):
        alerts.get(world.act.project_key, AlertId("alr_1"))
    with pytest.raises(NotFound, match="no alert"):
        alerts.close(world.act, AlertId("alr_1"), reason="none")
    with pytest.raises(NotFound, match="no monitor"):
        alerts.open_for(world.act.project_key, "watch")
    with pytest.raises(Invalid, match="never 'angry'"):
        alerts.list_all(world.act.project_key, state="angry")
