from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from millwright.core.errors import Unauthenticated
from millwright.server.auth import Identify, Seen
from millwright.server.host import Host
from millwright.server.mlflow.callers import KEEP_S, Callers
from millwright.testing.clock import FakeClock
from millwright.workspace.open import Home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home.create(tmp_path / "home")
    yield home
    home.close()


def seen(authorization: str | None, *, host: str = "localhost") -> Seen:
    return Seen(
        method="GET",
        peer="127.0.0.1",
        authorization=authorization,
        host=host,
        origin=None,
        project=None,
    )


def basic(name: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


def callers(home: Home, clock: FakeClock, *, is_open: bool = False) -> Callers:
    return Callers(Identify(cast("Host", home), open_on_loopback=is_open), clock)


def test_a_token_counts_as_bearer_and_as_password(home: Home) -> None:
    me = home.door(home.local_principal(), "default")
    me.access.create_actor(name="vera", role="viewer")
    secret = me.access.create_token(name="v", actor="vera", scopes=["*"]).secret
    known = callers(home, FakeClock())
    for header in (
        f"Bearer {secret}",
        basic("vera", secret),
        basic("token", secret),
        basic("", secret),
    ):
        found = known.ask(seen(header), None)
        assert (found.principal.name, found.project) == ("vera", "default")
    for header in (
        basic("ada", secret),
        basic("vera", "nonsense"),
        basic("vera", ""),
        "Basic !",
        "Digest x",
    ):
        with pytest.raises(Unauthenticated):
            known.ask(seen(header), None)


def test_an_answer_is_kept_for_a_second(home: Home) -> None:
    clock = FakeClock()
    me = home.door(home.local_principal(), "default")
    made = me.access.create_token(name="mine", scopes=["*"])
    known = callers(home, clock)
    asked = seen(f"Bearer {made.secret}")
    assert known.find(asked, None) is None
    found = known.ask(asked, None)
    me.access.revoke_token(id=made.token.id)
    assert known.find(asked, None) == found
    clock.sleep(KEEP_S * 1.1)
    assert known.find(asked, None) is None
    with pytest.raises(Unauthenticated):
        known.ask(asked, None)


def test_who_is_let_in_for_being_here_is_looked_at_each_time(home: Home) -> None:
    known = callers(home, FakeClock(), is_open=True)
    known.ask(seen(None), None)
    assert known.find(seen(None), None) is not None
    with pytest.raises(Unauthenticated, match="localhost only"):
        known.find(seen(None, host="evil.example"), None)
