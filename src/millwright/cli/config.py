"""`mill config`: which settings hold, and where each comes from."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from msgspec import Struct

from millwright.cli import text
from millwright.cli.session import Session, session
from millwright.cli.verbs import single

app = single()

HIDDEN = "(hidden)"


class Setting(Struct, frozen=True, kw_only=True):
    """One setting as it may be shown."""

    name: str
    value: str | bool | float | list[str] | None
    source: str
    """`--home`, `MILLWRIGHT_HOME`, the file's path, or `default`."""


@app.command()
def config() -> None:
    """Show which settings hold here, and where each comes from; secrets are not shown."""
    here = session()
    found = resolved(here)
    here.answer(
        found,
        lambda: text.table(
            ["setting", "value", "from"],
            [(one.name, _shown(one.value), one.source) for one in found],
        ),
    )


def resolved(here: Session) -> list[Setting]:
    """Return every setting with its source; raises Invalid as reading them does."""
    from millwright.workspace.config import ENV_PREFIX, find_file

    held = here.config()
    path = find_file(Path.cwd())
    written = _keys(path)
    options = {
        "home": (here.given.home, "--home"),
        "url": (here.given.url, "--url"),
        "project": (here.given.project, "--project"),
        "actor": (here.given.actor, "--as"),
    }

    def source(name: str) -> str:
        chosen, option = options.get(name, (None, ""))
        if chosen:
            return option
        variable = ENV_PREFIX + name.upper()
        if here.environment.get(variable):
            return variable
        return str(path) if name in written else "default"

    values = {
        "root": Setting(
            name="root", value=str(held.root), source=str(path) if path else "this folder"
        ),
        "home": str(held.home),
        "database": _without_password(held.database),
        "url": held.url,
        "token": None if held.token is None else HIDDEN,
        "project": held.project,
        "actor": held.actor,
        "policy.protected_aliases": sorted(held.policy.protected),
        "policy.needs_gate": held.policy.needs_gate,
        "policy.approval_days": held.policy.approval_days,
        "webhooks.allow": list(held.webhook_origins),
        "retention.days": held.limits.retention_days,
        "quota.runs_per_experiment": held.limits.runs_per_experiment,
        "quota.points_per_run": held.limits.points_per_run,
        "quota.artifact_bytes": held.limits.artifact_bytes,
    }
    return [
        value
        if isinstance(value, Setting)
        else Setting(name=name, value=value, source=source(name))
        for name, value in values.items()
    ]


def _keys(path: Path | None) -> set[str]:
    if path is None:
        return set()
    import tomllib

    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    sections: dict[str, dict[str, object]] = {
        name: raw.get(name, {}) for name in ("policy", "webhooks", "retention", "quota")
    }
    return {*raw, *(f"{name}.{key}" for name, keys in sections.items() for key in keys)}


def _without_password(address: str | None) -> str | None:
    if address is None or "://" not in address:
        return address
    parts = urlsplit(address)
    if parts.password is None:
        return address
    user, _, place = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:{HIDDEN}@{place}"))


def _shown(value: str | bool | float | list[str] | None) -> str | float | None:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list) else value
