from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millwright.core.digest import (
    Hasher,
    digest_bytes,
    digest_file,
    digest_pieces,
    digest_stream,
    parse_digest,
)
from millwright.core.errors import Invalid


def test_the_digest_is_blake3_of_the_empty_string_for_no_bytes() -> None:
    # The first of the test vectors published with BLAKE3.
    assert (
        digest_bytes(b"") == "b3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    )


@given(st.lists(st.binary(max_size=50), max_size=8))
def test_pieces_streams_and_whole_bytes_have_one_digest(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    hasher = Hasher()
    for piece in pieces:
        hasher.update(piece)
    assert hasher.size_bytes == len(whole)
    assert {hasher.digest(), digest_pieces(pieces), digest_stream(io.BytesIO(whole))} == {
        digest_bytes(whole)
    }


def test_a_file_larger_than_one_read_has_the_digest_of_its_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (tmp_path / "f").write_bytes(data)
    assert digest_file(tmp_path / "f") == digest_bytes(data)


@pytest.mark.parametrize(
    "text", ["", "b3:", "af" * 32, "b3:" + "g" * 64, "b3:" + "A" * 64, "b3:" + "a" * 65]
)
def test_what_is_not_a_digest_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="is not a digest"):
        parse_digest(text)
