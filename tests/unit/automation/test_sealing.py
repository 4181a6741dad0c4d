from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millwright.automation.sealing import Seal
from millwright.core.errors import Corrupt
from millwright.journal.checkpoints import SigningKey

KEY = bytes(range(32))


@given(st.text(), st.text())
def test_what_was_sealed_is_opened_for_its_owner_only(text: str, other: str) -> None:
    seal = Seal(KEY)
    sealed = seal.close(text, owner="whk_1")
    assert seal.open(sealed, owner="whk_1") == text
    if other != "whk_1":
        with pytest.raises(Corrupt):
            seal.open(sealed, owner=other)


def test_the_same_text_is_sealed_otherwise_each_time() -> None:
    seal = Seal(KEY)
    first, second = (seal.close("s3cret", owner="a") for _ in range(2))
    assert first != second
    assert "s3cret" not in first


@pytest.mark.parametrize("sealed", ["", "c1:", "c1:!!!", "c1:AAAA", "s3cret"])
def test_what_was_never_sealed_is_corrupt(sealed: str) -> None:
    with pytest.raises(Corrupt):
        Seal(KEY).open(sealed, owner="a")


def test_another_home_cannot_open_it(tmp_path: Path) -> None:
    one, two = (
        SigningKey.load_or_create(tmp_path / name).derive("webhook secrets") for name in "ab"
    )
    again = SigningKey.load(tmp_path / "a").derive("webhook secrets")
    assert (one == again, one == two, len(one)) == (True, False, 32)
    assert SigningKey.load(tmp_path / "a").derive("another use") != one
    with pytest.raises(Corrupt):
        Seal(two).open(Seal(one).close("x", owner="a"), owner="a")
