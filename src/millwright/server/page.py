"""The page at `/`: the state of the loop, made by the server, readable without a script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from millwright.core.clock import to_datetime
from millwright.doors.jobs import Status
from millwright.records.deployments import Deployment
from millwright.records.events import Event
from millwright.records.monitoring import Alert
from millwright.records.serving import WEIGHT_TOTAL

STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #5b6570; --line: #d8dde2; --back: #fff;
  --alarm: #a3260f; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --soft: #9aa5b1; --line: #39424c; --back: #14181c; --alarm: #ff8a70; }
}
body { font: 1rem/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back);
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
p, caption { color: var(--soft); }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0;
  border-bottom: 1px solid var(--line); }
th { white-space: nowrap; } td { overflow-wrap: break-word; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: .8rem; }
dt { color: var(--soft); font-size: .85rem; } dd { margin: 0; font-size: 1.4rem; }
.open { color: var(--alarm); font-weight: 600; }
"""
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Nothing is loaded and nothing runs; the one style is known by its hash."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the reader of the page may see; None for what he may not."""

    status: Status
    deployments: Sequence[Deployment] | None
    alerts: Sequence[Alert] | None
    events: Sequence[Event] | None
    actors: Mapping[str, str]
    """Id -> name of those whose names the reader may see."""


def render(seen: Seen) -> str:
    """Return the page; every text in it that is not ours is escaped."""
    status = seen.status
    title = escape(f"Millwright: {status.project}")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body>"
        f"<h1>{title}</h1>"
        f"<p>Home {escape(status.home)}, version {escape(status.version)}. "
        f"Last event: {_time(status.last_event_us)}.</p>"
        f"{_counts(status)}"
        f"<h2>Deployments</h2>{_deployments(seen.deployments)}"
        f"<h2>Latest alerts</h2>{_alerts(seen.alerts)}"
        f"<h2>Latest events</h2>{_events(seen.events, seen.actors)}"
        "</body></html>"
    )


def _counts(status: Status) -> str:
    counts = [
        ("datasets", status.datasets),
        ("runs", status.runs),
        ("models", status.models),
        ("deployments", status.deployments),
        ("open alerts", status.open_alerts),
        ("waiting approvals", status.waiting_approvals),
        ("queued jobs", status.queued_jobs),
        ("running jobs", status.running_jobs),
        ("events", status.events),
    ]
    parts = "".join(f"<div><dt>{name}</dt><dd>{count:,}</dd></div>" for name, count in counts)
    return f"<dl>{parts}</dl>"


def _deployments(deployments: Sequence[Deployment] | None) -> str:
    if deployments is None:
        return _hidden("deployment.read")
    rows = (
        [
            escape(one.name),
            escape(one.model),
            "<br>".join(
                f"v{variant.version} ({escape(variant.role)}): "
                f"{variant.weight / WEIGHT_TOTAL:.1%} of the keys"
                for variant in one.variants
            ),
            "on its way" if one.rollout else "none",
            _time(one.changed_us),
        ]
        for one in deployments
    )
    head = ["name", "model", "versions", "rollout", "changed"]
    return _table(head, rows, empty="No deployment yet: mill deploy create NAME MODEL")


def _alerts(alerts: Sequence[Alert] | None) -> str:
    if alerts is None:
        return _hidden("alert.read")
    rows = (
        [
            _time(one.created_us),
            f'<span class="open">{one.state}</span>' if one.state == "open" else one.state,
            escape(one.kind),
            escape(f"{one.deployment} v{one.version}"),
            escape(one.message),
        ]
        for one in alerts
    )
    head = ["time", "state", "kind", "deployment", "what moved"]
    return _table(head, rows, empty="No alert so far.")


def _events(events: Sequence[Event] | None, actors: Mapping[str, str]) -> str:
    if events is None:
        return _hidden("audit.read")
    rows = (
        [
            str(one.place),
            _time(one.time_us),
            escape(one.kind),
            escape(actors.get(one.actor, one.actor)),
            "<br>".join(escape(f"{subject.kind} {subject.id}") for subject in one.subjects),
        ]
        for one in events
    )
    head = ["place", "time", "kind", "actor", "about"]
    return _table(head, rows, empty="No event so far.")


def _table(head: Iterable[str], rows: Iterable[Iterable[str]], *, empty: str) -> str:
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    if not body:
        return f"<p>{escape(empty)}</p>"
    heads = "".join(f'<th scope="col">{name}</th>' for name in head)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _hidden(permission: str) -> str:
    return f"<p>To see these takes the permission {permission}.</p>"


def _time(us: int | None) -> str:
    return "none" if us is None else f"{to_datetime(us):%Y-%m-%d %H:%M:%S} UTC"
