"""Which variant answers a key: always the same one while its share does not shrink.

A key falls into one of 10,000 buckets, and the candidate has the buckets from 0 up to its
weight. A rising weight adds keys to the candidate and takes none away, so nobody is moved back
and forth while a rollout goes on. The salt is drawn anew for each rollout, so that it is not
always the same customers who meet the new version first.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from millwright.core.errors import Invalid
from millwright.records.serving import WEIGHT_TOTAL, Variant

_BUCKET_BYTES = 8


def bucket(salt: str, key: str) -> int:
    """Return the key's bucket, from 0 to 9,999; the same on every machine.

    2**64 is no multiple of 10,000; the first buckets are fuller by one part in 10**15.
    """
    digest = blake2b((salt + key).encode()).digest()
    return int.from_bytes(digest[:_BUCKET_BYTES]) % WEIGHT_TOTAL


def choose(variants: Sequence[Variant], *, salt: str, key: str) -> Variant:
    """Return the variant that answers `key`; `variants` are as `check_variants` let through."""
    champion, candidate = variants[0], variants[-1]
    if candidate.role == "champion":
        champion, candidate = candidate, champion
    if champion is candidate:
        return champion
    return candidate if bucket(salt, key) < candidate.weight else champion


def check_variants(variants: Sequence[Variant]) -> None:
    """Raise Invalid unless there is a champion, at most one candidate, and weights that add up."""
    roles = sorted(variant.role for variant in variants)
    weights = [variant.weight for variant in variants]
    if roles not in (["champion"], ["candidate", "champion"]):
        raise Invalid(
            f"a plan with the roles {roles}", why="it takes one champion and at most one candidate"
        )
    if min(weights) < 0 or sum(weights) != WEIGHT_TOTAL:
        raise Invalid(
            f"a plan with the weights {weights}", why=f"they are shares of {WEIGHT_TOTAL}"
        )
