"""The plain page."""

from __future__ import annotations

import base64
import hashlib
import re

import httpx
import pytest
from msgspec.structs import replace

from fixtures.example_host import ExampleHost, example_of
from millwright.doors.jobs import Status
from millwright.records.access import Role
from millwright.records.deployments import Deployment
from millwright.records.events import Event, Subject
from millwright.records.monitoring import Alert
from millwright.server.page import SECURITY_POLICY, Seen, render

EVIL = "<script>alert(1)</script>\"'&"
STATUS = replace(example_of(Status), project="loans", events=12345, last_event_us=0)


def test_what_is_not_ours_is_escaped() -> None:
    event = replace(example_of(Event), kind=EVIL, subjects=[Subject(kind=EVIL, id=EVIL)])
    html = render(
        Seen(
            actors={},
            status=replace(STATUS, project=EVIL, home=EVIL, version=EVIL),
            deployments=[replace(example_of(Deployment), name=EVIL, model=EVIL)],
            alerts=[replace(example_of(Alert), message=EVIL, deployment=EVIL)],
            events=[replace(event, actor=EVIL)],
        )
    )
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 9


def test_it_says_how_things_are() -> None:
    html = render(Seen(status=STATUS, deployments=[], alerts=[], events=[], actors={}))
    text = re.sub(r"<[^>]+>", " ", html.partition("</style>")[2])
    assert "12,345" in text
    assert "Last event: 1970-01-01 00:00:00 UTC" in text
    assert "No deployment yet: mill deploy create" in text
    assert "No alert so far." in text


def test_it_says_what_the_reader_may_not_see() -> None:
    html = render(Seen(status=STATUS, deployments=None, alerts=None, events=None, actors={}))
    for permission in ("deployment.read", "alert.read", "audit.read"):
        assert f"takes the permission {permission}" in html


def test_nothing_but_its_own_style_is_let_in() -> None:
    html = render(Seen(status=STATUS, deployments=[], alerts=[], events=[], actors={}))
    style = re.search("<style>(.*)</style>", html, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in SECURITY_POLICY
    assert "default-src 'none'" in SECURITY_POLICY
    assert "<script" not in html
    assert "style=" not in html


@pytest.mark.sockets
def test_a_viewer_sees_no_events(
    host: ExampleHost, admin: httpx.Client, anybody: httpx.Client
) -> None:
    token = host.person("vera", Role.VIEWER)
    whole = admin.get("/")
    assert whole.headers["content-type"] == "text/html; charset=utf-8"
    assert whole.headers["content-security-policy"] == SECURITY_POLICY
    assert "takes the permission" not in whole.text
    partly = anybody.get("/", headers={"Authorization": f"Bearer {token}"})
    assert partly.text.count("takes the permission audit.read") == 1
    assert partly.text.count("takes the permission") == 1
