"""The page that lists MLflow's routes is the server's own table."""

from __future__ import annotations

import re
from typing import cast

from contracts.house import ROOT
from millwright.access.roles import PERMISSIONS
from millwright.artifacts.store import ArtifactStore
from millwright.core.clock import SystemClock
from millwright.records.access import Permission
from millwright.server.host import Host
from millwright.server.mlflow.app import MlflowApp
from millwright.server.mlflow.transfer import FILES, PARTS
from millwright.testing.artifacts import MemoryBackend

PAGE = ROOT / "docs" / "reference" / "mlflow-protocol.md"
ROW = re.compile(r"\| (GET|POST|PUT|PATCH|DELETE) \| `([^`]+)` \| `?([^`|]+)`? \|")

STREAMED = {
    ("GET", f"{FILES}{{*path}}", "run.read"),
    ("PUT", f"{FILES}{{*path}}", "run.write"),
    ("PUT", f"{PARTS}{{*path}}", "an address that `mpu/create` gave"),
}


class OnlyArtifacts:
    """As much of a host as the table of routes asks for."""

    def __init__(self) -> None:
        self.artifacts = ArtifactStore(MemoryBackend())


def test_every_route_stands_on_the_page_with_what_it_needs() -> None:
    app = MlflowApp(cast("Host", OnlyArtifacts()), clock=SystemClock(), open_on_loopback=True)
    served = {(one.method, one.path, one.needs.value) for one in app.routes.all()}
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    written = {
        (found[1], found[2], found[3].strip())
        for line in lines
        if (found := ROW.match(line.replace("`mpu/create`", "mpu/create"))) is not None
    }
    streamed = {(method, path, needs.replace("`", "")) for method, path, needs in STREAMED}
    assert written == served | streamed


def test_the_roles_and_what_they_hold_stand_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8").partition("\n## Roles and permissions\n")[2]
    head, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    held = {
        (role, row[0].strip("`"))
        for row in rows
        for role, said in zip(head[1:], row[1:], strict=True)
        if said == "yes"
    }
    assert held == {(role, one) for role, all_of in PERMISSIONS.items() for one in all_of}
    assert {row[0].strip("`") for row in rows} == set(Permission)
    assert head[1:] == list(PERMISSIONS)
