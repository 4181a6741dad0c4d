from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.receivers import receiving
from millwright.core.errors import Invalid
from millwright.workspace.delivering import make_deliverer
from millwright.workspace.open import Home

pytestmark = pytest.mark.sockets


def test_a_home_tells_the_webhooks_that_its_settings_let_it(tmp_path: Path) -> None:
    with receiving() as receiver:
        home = Home.create(tmp_path / "home", webhook_origins=[receiver.origin])
        me = home.door(home.principal(), "default")
        me.webhooks.create(name="tell", url=receiver.url, events=["registered_model.created"])
        with make_deliverer(home, look_every_s=0.02):
            me.models.create(name="churn")
            assert receiver.wait_for(1)[0].said["data"]["name"] == "churn"
        home.close()


def test_a_home_without_such_settings_leads_nowhere_inside(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "home")
    me = home.door(home.principal(), "default")
    with pytest.raises(Invalid):
        me.webhooks.create(name="tell", url="http://127.0.0.1:9/", events=["prompt.created"])
    home.close()
