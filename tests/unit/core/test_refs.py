from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millwright.core.errors import Invalid
from millwright.core.refs import Ref, check_name, did_you_mean, parse_ref

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True)


@given(names, st.none() | st.integers(0, 10**9))
def test_a_reference_reads_back_as_it_was_written(name: str, version: int | None) -> None:
    assert parse_ref(str(Ref(name, version=version))) == Ref(name, version=version)


def test_what_follows_the_at_sign_is_a_version_or_an_alias() -> None:
    assert parse_ref("churn@v7") == Ref("churn", version=7)
    assert parse_ref("churn@champion") == Ref("churn", alias="champion")
    assert parse_ref("churn@latest") == Ref("churn", alias="latest")
    assert parse_ref("credit risk@v0") == Ref("credit risk", version=0)


@pytest.mark.parametrize(
    "text", ["", "@v1", "churn@", "churn@v01", "churn@7", "a/b", "../x", "a@b@c", " a", "a\n"]
)
def test_what_could_not_be_one_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="cannot be"):
        parse_ref(text)


def test_a_name_may_not_be_too_long() -> None:
    assert check_name("a" * 200, "model")
    with pytest.raises(Invalid, match="cannot be the name of a model"):
        check_name("a" * 201, "model")


def test_the_nearest_known_word_is_offered() -> None:
    assert did_you_mean("demmo", ["demo", "churn"]) == "did you mean 'demo'?"
    assert did_you_mean("zzz", ["demo"]) == ""
    assert did_you_mean("nope", ["income", "age"]) == ""
