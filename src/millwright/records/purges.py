"""What a purge removed for good, or would remove, and what it left and why."""

from __future__ import annotations

from msgspec import Struct


class Kept(Struct, frozen=True, kw_only=True):
    """Something that was deleted long enough ago and stays all the same."""

    what: str
    why: str


class Purged(Struct, frozen=True, kw_only=True):
    """What a purge removed; with `dry_run` what it would remove."""

    before_us: int
    """What was deleted before then is meant."""
    dry_run: bool
    runs: int = 0
    experiments: int = 0
    logged_models: int = 0
    files: int = 0
    """Names of artifacts. The bytes stay: other things may point at them."""
    models: int = 0
    versions: int = 0
    kept: list[Kept] = []
