from __future__ import annotations

import io
import struct
import zlib
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millwright.core.errors import Invalid
from millwright.sdk.images import encode_png, figure_bytes, png_of


def decode(data: bytes) -> npt.NDArray[np.generic]:
    """Read a PNG as ours are written: filter 0, no interlacing, every checksum verified."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    at, body = 8, b""
    width = height = depth = color = 0
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        name, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length)[0] == zlib.crc32(name + content)
        if name == b"IHDR":
            width, height, depth, color, *rest = struct.unpack(">IIBBBBB", content)
            assert rest == [0, 0, 0]
        elif name == b"IDAT":
            body += content
        at += 12 + length
    assert name == b"IEND"  # pyright: ignore[reportPossiblyUnboundVariable]
    channels = {0: 1, 4: 2, 2: 3, 6: 4}[color]
    lines = zlib.decompress(body)
    stride = 1 + width * channels * depth // 8
    assert len(lines) == stride * height
    assert all(lines[stride * row] == 0 for row in range(height))
    pixels = b"".join(lines[stride * row + 1 : stride * (row + 1)] for row in range(height))
    return np.frombuffer(pixels, f">u{depth // 8}").reshape(height, width, channels)


@given(
    st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 4)),
    st.sampled_from([np.uint8, np.uint16]),
    st.integers(0, 2**32 - 1),
)
def test_pixels_come_back(
    shape: tuple[int, int, int], kind: type[np.uint8 | np.uint16], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, np.iinfo(kind).max, shape, dtype=kind, endpoint=True)
    assert (decode(encode_png(pixels)) == pixels).all()


@pytest.mark.parametrize(
    ("given", "pixels"),
    [
        ([[True, False]], [[[255], [0]]]),
        ([[0.0, 0.5, 1.0]], [[[0], [128], [255]]]),
        ([[0, 255]], [[[0], [255]]]),
        ([[[1, 2, 3]]], [[[1, 2, 3]]]),
        (np.array([[65535]], np.uint16), [[[65535]]]),
        (np.array([[0.25]], np.float32), [[[64]]]),
    ],
)
def test_numbers_become_pixels(given: object, pixels: list[object]) -> None:
    assert decode(png_of(given)).tolist() == pixels


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ([1.0, 2.0], r"shape \(2,\) is no picture"),
        (np.zeros((3, 4, 5)), r"shape \(3, 4, 5\) is no picture"),
        (np.zeros((0, 4)), "is no picture"),
        ([[1.5]], r"numbers outside \[0, 1\]"),
        ([[float("nan")]], r"numbers outside \[0, 1\]"),
        ([[-1]], "whole numbers outside 0 to 255"),
        ([[256]], "whole numbers outside 0 to 255"),
        ([["a"]], "is no picture"),
    ],
)
def test_what_is_no_picture_is_refused(given: object, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        png_of(given)


class Pil:
    mode = "RGB"

    def save(self, target: io.BytesIO, kind: str, /) -> None:
        target.write(f"as {kind}".encode())


class Matplotlib:
    def savefig(self, target: io.BytesIO, /, *, format: str, bbox_inches: str) -> None:  # noqa: A002
        target.write(f"as {format}, {bbox_inches}".encode())


class Plotly:
    def to_html(self, *, include_plotlyjs: str) -> str:
        return f"<html>{include_plotlyjs}"

    def to_json(self) -> str:
        return "{}"

    def to_image(self, *, format: str) -> bytes:  # noqa: A002
        return f"as {format}".encode()


def test_a_pil_image_writes_itself() -> None:
    assert png_of(Pil()) == b"as PNG"


@pytest.mark.parametrize(
    ("figure", "name", "data"),
    [
        (Matplotlib(), "a.png", b"as png, tight"),
        (Matplotlib(), "plots/a.SVG", b"as svg, tight"),
        (Plotly(), "a.html", b"<html>cdn"),
        (Plotly(), "a.json", b"{}"),
        (Plotly(), "a.png", b"as png"),
    ],
)
def test_a_figure_draws_itself(figure: object, name: str, data: bytes) -> None:
    assert figure_bytes(figure, name) == data


def test_a_figure_needs_a_kind_and_must_be_one() -> None:
    with pytest.raises(Invalid, match="does not say what kind of file"):
        figure_bytes(Matplotlib(), "plot")
    with pytest.raises(Invalid, match="a list is not a figure"):
        figure_bytes(cast("object", []), "plot.png")
