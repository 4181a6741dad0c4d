"""Settings, read once: the command line beats the environment, which beats `millwright.toml`.

An unknown key is an error that names the nearest known one, since a setting that is silently
not read is worse than none.
"""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, cast

import msgspec
from msgspec import Meta, Struct

from millwright.core.clock import MAX_DAYS
from millwright.core.errors import Invalid
from millwright.core.refs import check_name, did_you_mean
from millwright.governance.policy import Policy
from millwright.tracking.limits import Limits

FILE_NAME = "millwright.toml"
ENV_PREFIX = "MILLWRIGHT_"
HOME_FOLDER = ".millwright"


class PolicySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The section `[policy]`."""

    protected_aliases: tuple[str, ...] = ("champion",)
    needs_gate: bool = True
    approval_days: float = 14.0
    gate: str | None = None
    """File of the project's gate, beside `millwright.toml`."""


class WebhookSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The section `[webhooks]`."""

    allow: tuple[str, ...] = ()
    """Origins that may lie inside and need no https, such as `http://127.0.0.1:9000`."""


class RetentionSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The section `[retention]`."""

    days: Annotated[float, Meta(ge=0, le=MAX_DAYS)] = 30.0
    """How long what was deleted can be restored, before a purge removes it."""


class QuotaSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The section `[quota]`: what each project may hold; what is left out is not limited."""

    runs_per_experiment: Annotated[int, Meta(ge=0)] | None = None
    points_per_run: Annotated[int, Meta(ge=0)] | None = None
    artifact_bytes: Annotated[int, Meta(ge=0)] | None = None


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole of `millwright.toml`; every key may be left out."""

    project: str = "default"
    home: str = HOME_FOLDER
    database: str | None = None
    """`postgresql://…`; by default a SQLite file in the home."""
    url: str | None = None
    """Work on the server there instead of a home on this machine."""
    policy: PolicySettings = PolicySettings()
    webhooks: WebhookSettings = WebhookSettings()
    retention: RetentionSettings = RetentionSettings()
    quota: QuotaSettings = QuotaSettings()


_SECTIONS: dict[str, type[Struct]] = {
    "policy": PolicySettings,
    "webhooks": WebhookSettings,
    "retention": RetentionSettings,
    "quota": QuotaSettings,
}


@dataclass(frozen=True, slots=True)
class Config:
    """What a process works with."""

    root: Path
    """The project's folder: where `millwright.toml` lies, or the working folder."""
    home: Path
    database: str | None
    url: str | None
    token: str | None
    project: str
    actor: str | None
    """As whom to act through the embedded door; None stands for the user of the system."""
    policy: Policy
    webhook_origins: tuple[str, ...] = ()
    """Where webhooks may lead besides public addresses by https."""
    limits: Limits = field(default_factory=Limits)
    """How much a project may hold, and how long what was deleted can be restored."""


def load_config(
    *,
    environment: Mapping[str, str],
    folder: Path,
    home: Path | None = None,
    url: str | None = None,
    project: str | None = None,
    actor: str | None = None,
) -> Config:
    """Return the settings that hold in `folder`, with what was given by hand on top.

    Raises Invalid, naming the file and key, for a file that cannot be read, an unknown key or
    a value of the wrong kind.
    """
    path = find_file(folder)
    root = folder if path is None else path.parent
    settings = Settings() if path is None else read_settings(path)
    environment = {
        key.removeprefix(ENV_PREFIX).lower(): value
        for key, value in environment.items()
        if key.startswith(ENV_PREFIX) and value
    }
    chosen_home = home or (Path(environment["home"]) if "home" in environment else None)
    # A home named by hand is worked on directly, whatever server environment or file name.
    if url is None and home is None:
        url = environment.get("url") or (None if chosen_home else settings.url)
    return Config(
        root=root.absolute(),
        home=(chosen_home or root / settings.home).absolute(),
        database=environment.get("database", settings.database),
        url=url,
        token=environment.get("token"),
        project=check_name(project or environment.get("project") or settings.project, "project"),
        actor=actor or environment.get("actor"),
        policy=Policy(
            protected=frozenset(settings.policy.protected_aliases),
            needs_gate=settings.policy.needs_gate,
            approval_days=settings.policy.approval_days,
            gate=read_gate(root, settings.policy.gate),
        ),
        webhook_origins=check_origins(settings.webhooks.allow),
        limits=Limits(
            retention_days=settings.retention.days,
            runs_per_experiment=settings.quota.runs_per_experiment,
            points_per_run=settings.quota.points_per_run,
            artifact_bytes=settings.quota.artifact_bytes,
        ),
    )


def read_gate(root: Path, name: str | None) -> str | None:
    """Return the text of the project's gate; raises Invalid when the file cannot be read."""
    if name is None:
        return None
    try:
        return (root / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(
            f"the project's gate {root / name} cannot be read",
            why=str(error),
            fix=f"write it, or take `gate` out of {FILE_NAME}",
        ) from error


def check_origins(origins: Sequence[str]) -> tuple[str, ...]:
    """Return the origins that webhooks may lead to besides public ones; raises Invalid."""
    if not origins:
        return ()
    # Few have any, and every command reads its settings.
    from millwright.automation.addresses import check_origin

    return tuple(check_origin(one) for one in origins)


def find_file(folder: Path) -> Path | None:
    """Return the nearest `millwright.toml` in `folder` or above it, or None."""
    for place in (folder.absolute(), *folder.absolute().parents):
        if (place / FILE_NAME).is_file():
            return place / FILE_NAME
    return None


def init_command(home: Path) -> str:
    """Return the command that makes the home in the folder `home`, as seen from here."""
    path = find_file(Path.cwd())
    root = Path.cwd() if path is None else path.parent
    named = HOME_FOLDER if path is None else read_settings(path).home
    quoted = shlex.quote(str(home))
    if home == (root / named).absolute():
        return "mill init" if root == Path.cwd() else f"mill init {shlex.quote(str(root))}"
    # Settings that are there name another home, so this one gets settings of its own.
    return f"mill init --home {quoted}" if path is None else f"mill init {quoted} --home {quoted}"


def read_settings(path: Path) -> Settings:
    """Return what a `millwright.toml` says; raises Invalid naming what cannot be read."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"{path} is not readable TOML", why=str(error)) from error
    except OSError as error:
        raise Invalid(f"{path} cannot be read", why=error.strerror or str(error)) from error
    _refuse_unknown(path, raw, Settings, "")
    for name, shape in _SECTIONS.items():
        section: object = raw.get(name)
        if isinstance(section, dict):
            _refuse_unknown(path, cast("dict[str, object]", section), shape, f"{name}.")
    try:
        return msgspec.convert(raw, Settings)
    except msgspec.ValidationError as error:
        raise Invalid(f"{path} has a value of the wrong kind", why=str(error)) from error


def _refuse_unknown(
    path: Path, raw: Mapping[str, object], shape: type[Struct], prefix: str
) -> None:
    for key in raw:
        if key not in shape.__struct_fields__:
            known = shape.__struct_fields__
            raise Invalid(
                f"{path} has the unknown key {prefix + key!r}",
                why=f"known: {', '.join(prefix + name for name in known)}",
                fix=did_you_mean(key, known),
            )
