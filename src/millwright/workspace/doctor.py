"""Examines a home without changing it: each check says what it found, and what to do.

A check that cannot go on does not keep the others from looking.
"""

from __future__ import annotations

import os
import random
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

from millwright.artifacts.backend import load_backend
from millwright.artifacts.store import ArtifactStore
from millwright.core.digest import PREFIX, parse_digest
from millwright.core.errors import Corrupt, Denied, MillwrightError, NotFound, Refused
from millwright.journal.checkpoints import SigningKey
from millwright.metadata.database import Database
from millwright.metadata.migrations.upgrade import HEAD, revision_of
from millwright.workspace.config import Config, init_command
from millwright.workspace.open import DATABASE_FILE, DATABASE_MODE, HOME_MODE, KEYS_FOLDER, Home
from millwright.workspace.tracking_rooms import ARTIFACTS_FOLDER, LOCAL_BACKEND

LOW_SPACE_BYTES = 500_000_000

Check: TypeAlias = "tuple[str, Callable[[], str]]"

_NEED_DATABASE = frozenset({"writable", "journal"})


class Finding(Struct, frozen=True, kw_only=True):
    """What one check found."""

    name: str
    ok: bool
    what: str
    why: str = ""
    fix: str = ""


def examine(config: Config, *, sample: int, choice: random.Random) -> list[Finding]:
    """Return what each check finds; `sample` stored objects, drawn by `choice`, are read again."""
    checks: list[Check] = [
        ("home", lambda: _home(config.home)),
        ("database", lambda: _schema(config)),
        ("writable", lambda: _writable(config)),
        ("space", lambda: _space(config.home)),
        ("key", lambda: _key(config.home)),
        ("modes", lambda: _modes(config)),
        ("journal", lambda: _journal(config)),
        ("artifacts", lambda: _artifacts(config.home, sample, choice)),
    ]
    findings: list[Finding] = []
    failed: set[str] = set()
    for name, check in checks:
        if "database" in failed and name in _NEED_DATABASE:
            continue  # Opening it would say the same again, or bring an older schema up to date.
        findings.append(_examined(name, check))
        if not findings[-1].ok:
            failed.add(name)
        if "home" in failed:
            break
    return findings


def _examined(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name=name, ok=True, what=check())
    except MillwrightError as error:
        return Finding(name=name, ok=False, what=error.what, why=error.why, fix=error.fix)


def _home(home: Path) -> str:
    if not (home / KEYS_FOLDER).is_dir():
        raise NotFound(
            f"there is no home in {home}",
            why="it has no keys",
            fix=f"make one: {init_command(home)}",
        )
    return str(home)


def _schema(config: Config) -> str:
    """Read the schema's revision; opening the database as such finds one that is damaged."""
    address = config.database or str(config.home / DATABASE_FILE)
    if config.database is None and not (config.home / DATABASE_FILE).is_file():
        raise NotFound(f"there is no database in {config.home}", fix="restore it from a backup")
    database = Database.at(address)
    try:
        found = revision_of(database)
        if found != HEAD:
            raise Refused(
                f"the schema is {found or 'missing'}; this version works with {HEAD}",
                fix="any other command brings an older one up to date; for a newer one, upgrade",
            )
        if database.dialect.name == "sqlite":
            _quick_check(database)
    finally:
        database.close()
    return f"{database.dialect.label()}, schema {HEAD}"


def _quick_check(database: Database) -> None:
    with database.read() as tx:
        found = tx.column(str, "PRAGMA quick_check(5)")
    if found != ["ok"]:
        raise Corrupt(
            f"{database.dialect.label()} is damaged",
            why="; ".join(found),
            fix="stop everything that uses the home, and restore the file from a backup",
        )


def _writable(config: Config) -> str:
    """Take the write lock and let go of it; nothing is written."""
    home = Home.open(config.home, database=config.database)
    try:
        with home.database.write():
            pass
    finally:
        home.close()
    probe = config.home / ARTIFACTS_FOLDER / ".probe"
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise Denied(
            f"{probe.parent} cannot be written",
            why=error.strerror or str(error),
            fix="give this user write permission",
        ) from error
    return "database and artifacts can be written"


def _space(home: Path) -> str:
    free = shutil.disk_usage(home).free
    words = f"{free / 1e9:.1f} GB free"
    if free < LOW_SPACE_BYTES:
        raise Refused(words, why="a write may fail for lack of space", fix="free some space")
    return words


def _key(home: Path) -> str:
    SigningKey.load(home / KEYS_FOLDER)
    return "the signing key is there, and closed to others"


def _modes(config: Config) -> str:
    """Look whether others on this machine could read data, models or the journal."""
    for path, wanted in ((config.home, HOME_MODE), (config.home / DATABASE_FILE, DATABASE_MODE)):
        if not path.exists():
            continue  # The database is elsewhere.
        mode = stat.S_IMODE(path.stat().st_mode)
        if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise Refused(
                f"{path} is open to other users (mode {mode:04o})",
                why="who reads it sees data, models and what the journal says of people",
                fix=f"chmod {wanted:o} {path}",
            )
    return "home and database are closed to others"


def _journal(config: Config) -> str:
    home = Home.open(config.home, database=config.database)
    try:
        found = home.verify()
    finally:
        home.close()
    if not found.ok:
        first = found.problems[0]
        place = "" if first.place is None else f"place {first.place}: "
        raise Refused(
            f"{len(found.problems)} problems in {found.size} events",
            why=f"{place}{first.what}",
            fix="see all: mill audit verify",
        )
    return f"{found.size} events verified"


def _artifacts(home: Path, sample: int, choice: random.Random) -> str:
    backend = load_backend(LOCAL_BACKEND, str(home / ARTIFACTS_FOLDER))
    store = ArtifactStore(backend)
    keys = sorted(backend.list_keys())
    drawn = choice.sample(keys, min(sample, len(keys)))
    for key in drawn:
        store.verify(parse_digest(PREFIX + key.replace("/", "")))
    return f"{len(drawn)} of {len(keys)} stored objects read again"
