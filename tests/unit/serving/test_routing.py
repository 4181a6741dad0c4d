"""Keys stay where they are while a candidate's share grows."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.serving import split
from millwright.core.digest import parse_digest
from millwright.core.errors import Invalid
from millwright.core.ids import ModelVersionId
from millwright.records.serving import WEIGHT_TOTAL, Variant
from millwright.serving.routing import bucket, check_variants, choose

DIGEST = parse_digest("b3:" + "0" * 64)
OLD, NEW = (
    Variant(
        role="champion",
        version=version,
        model_version=ModelVersionId(f"mov_{version}"),
        digest=DIGEST,
        package_digest=DIGEST,
        weight=WEIGHT_TOTAL,
    )
    for version in (1, 2)
)
KEYS = st.text(max_size=20)


def version_for(key: str, weight: int, *, salt: str = "s") -> int:
    return choose(split(OLD, NEW, weight), salt=salt, key=key).version


@given(KEYS, st.integers(0, WEIGHT_TOTAL), st.integers(0, WEIGHT_TOTAL))
def test_a_key_that_is_in_stays_in_when_the_weight_grows(key: str, one: int, two: int) -> None:
    low, high = sorted((one, two))
    if version_for(key, low) == 2:
        assert version_for(key, high) == 2


@given(KEYS, KEYS)
def test_the_ends_are_certain_and_a_bucket_is_the_stated_hash(salt: str, key: str) -> None:
    assert version_for(key, 0, salt=salt) == 1
    assert version_for(key, WEIGHT_TOTAL, salt=salt) == 2
    digest = hashlib.blake2b(salt.encode() + key.encode()).digest()
    assert bucket(salt, key) == int.from_bytes(digest[:8], "big") % 10_000


@given(KEYS, st.integers(0, WEIGHT_TOTAL))
def test_the_order_of_variants_does_not_matter(key: str, weight: int) -> None:
    variants = split(OLD, NEW, weight)
    assert choose(variants, salt="s", key=key) == choose(variants[::-1], salt="s", key=key)


@settings(max_examples=5)
@given(st.text(min_size=1), st.integers(0, WEIGHT_TOTAL))
def test_the_candidate_gets_its_share_of_the_keys(salt: str, weight: int) -> None:
    share = sum(version_for(str(n), weight, salt=salt) == 2 for n in range(4000)) / 4000
    # Six standard deviations of the worst case.
    assert abs(share - weight / WEIGHT_TOTAL) < 6 * 0.5 / 4000**0.5


def test_a_new_salt_picks_other_keys_first() -> None:
    first = {n for n in range(2000) if version_for(str(n), 1000, salt="a") == 2}
    second = {n for n in range(2000) if version_for(str(n), 1000, salt="b") == 2}
    assert len(first & second) < len(first) / 2


def test_a_champion_alone_answers_everything() -> None:
    assert choose([OLD], salt="s", key="k") is OLD


@pytest.mark.parametrize(
    "variants",
    [
        [],
        [OLD, OLD],
        [split(OLD, NEW, 5000)[1]],
        [*split(OLD, NEW, 5000), split(OLD, NEW, 0)[1]],
        [split(OLD, NEW, 1)[0]],
        [split(OLD, NEW, 10)[0], split(OLD, NEW, 11)[1]],
        list(split(OLD, NEW, -1)),
    ],
)
def test_plans_that_make_no_sense_are_refused(variants: list[Variant]) -> None:
    with pytest.raises(Invalid):
        check_variants(variants)


def test_plans_that_do_are_not() -> None:
    check_variants([OLD])
    check_variants(split(OLD, NEW, 2500))
