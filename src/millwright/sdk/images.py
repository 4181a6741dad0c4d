"""Pictures as PNG files: arrays of numbers, PIL images, figures of plotting libraries.

None of those libraries is imported here; each is known by what it can do.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from millwright.core.errors import Invalid

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""Channels -> PNG's colour type: grey, grey with alpha, RGB, RGB with alpha."""


@runtime_checkable
class PilImage(Protocol):
    """What we use of a PIL image."""

    mode: str

    def save(self, target: io.BytesIO, kind: str, /) -> None:
        """Write it in a file format."""
        ...


@runtime_checkable
class MatplotlibFigure(Protocol):
    """What we use of a matplotlib figure."""

    def savefig(self, target: io.BytesIO, /, *, format: str, bbox_inches: str) -> None:  # noqa: A002
        """Draw it in a file format."""
        ...


@runtime_checkable
class PlotlyFigure(Protocol):
    """What we use of a plotly figure."""

    def to_html(self, *, include_plotlyjs: str) -> str:
        """Return it as a page."""
        ...

    def to_json(self) -> str:
        """Return its data and layout."""
        ...

    def to_image(self, *, format: str) -> bytes:  # noqa: A002 (plotly's name)
        """Draw it; needs a package beside plotly."""
        ...


def check_png(name: str) -> str:
    """Return the name of a picture's file; raises Invalid when it ends as another kind's."""
    if PurePosixPath(name).suffix.lower() != ".png":
        raise Invalid(
            f"{name!r} is not what a PNG file is called",
            why="pictures are stored as PNG",
            fix="end it with .png, or store a file of another kind with log_artifact",
        )
    return name


def png_of(image: object) -> bytes:
    """Return a picture as a PNG file.

    `image` is a PIL image, or an array (height, width) or (height, width, 1 to 4 channels) of
    booleans, of 8-bit or 16-bit whole numbers, or of numbers in [0, 1]. Raises Invalid for
    anything else.
    """
    if isinstance(image, PilImage):
        target = io.BytesIO()
        image.save(target, "PNG")
        return target.getvalue()
    import numpy as np

    pixels = np.asarray(image)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or pixels.shape[2] not in _COLOR_TYPES or 0 in pixels.shape:
        raise Invalid(
            f"an array of shape {np.asarray(image).shape} is no picture",
            why="a picture is (height, width) or (height, width, 1 to 4 channels)",
            fix="move the axis of the channels to the end" if pixels.ndim == 3 else "",
        )
    return encode_png(_whole(pixels))


def encode_png(pixels: npt.NDArray[np.generic]) -> bytes:
    """Return (height, width, channels) of uint8 or uint16 as a PNG file.

    Source: ISO/IEC 15948:2004, every line with filter 0.
    """
    height, width, channels = pixels.shape
    depth = pixels.dtype.itemsize * 8
    head = struct.pack(">IIBBBBB", width, height, depth, _COLOR_TYPES[channels], 0, 0, 0)
    big_endian = pixels.astype(pixels.dtype.newbyteorder(">"), copy=False)
    lines = b"".join(b"\0" + line.tobytes() for line in big_endian)
    return (
        _SIGNATURE
        + _chunk(b"IHDR", head)
        + _chunk(b"IDAT", zlib.compress(lines, 6))
        + _chunk(b"IEND", b"")
    )


def figure_bytes(figure: object, name: str) -> bytes:
    """Return a figure of matplotlib or plotly as a file of the kind that `name` ends with.

    Raises Invalid for another object, or a name without a kind.
    """
    kind = PurePosixPath(name).suffix.removeprefix(".").lower()
    if not kind:
        raise Invalid(
            f"{name!r} does not say what kind of file the figure is to be",
            fix="end it with .png, .svg or .pdf, or with .html or .json for plotly",
        )
    if isinstance(figure, MatplotlibFigure):
        target = io.BytesIO()
        figure.savefig(target, format=kind, bbox_inches="tight")
        return target.getvalue()
    if isinstance(figure, PlotlyFigure):
        match kind:
            case "html":
                return figure.to_html(include_plotlyjs="cdn").encode()
            case "json":
                return figure.to_json().encode()
            case _:
                return figure.to_image(format=kind)
    raise Invalid(
        f"a {type(figure).__name__} is not a figure that can be drawn",
        why="figures of matplotlib and of plotly can",
        fix="save it to a file, and log that with log_artifact",
    )


def _whole(pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    import numpy as np

    match pixels.dtype.kind:
        case "b":
            return pixels.astype(np.uint8) * np.uint8(255)
        case "u" if pixels.dtype.itemsize <= 2:
            return pixels
        case "f":
            values = cast("npt.NDArray[np.float64]", pixels)
            if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
                raise Invalid("the picture has numbers outside [0, 1]", fix="scale or clip them")
            return np.round(values * 255).astype(np.uint8)
        case "i" | "u":
            whole = cast("npt.NDArray[np.int64]", pixels)
            if whole.min() < 0 or whole.max() > 255:
                raise Invalid(
                    "the picture has whole numbers outside 0 to 255",
                    fix="give 16 bits a channel as uint16",
                )
            return whole.astype(np.uint8)
        case _:
            raise Invalid(f"an array of {pixels.dtype} is no picture")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
