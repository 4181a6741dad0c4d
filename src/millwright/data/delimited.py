"""A CSV file looked over byte by byte before anything is read from it.

Polars reads CSV fast and forgives much: a row that is too short is filled up, a blank line
becomes a row, columns of one name are renamed. Here such a file is refused with the line it is
wrong in. The pass holds 4 MiB in memory and works on whole arrays, so it costs little beside
the reading. The rules are those of RFC 4180, in UTF-8, with or without a byte order mark.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from millwright.core.errors import Invalid

_CHUNK_BYTES = 1 << 22
_MAX_HEADER_BYTES = 1 << 24
_COMMA, _NEWLINE, _RETURN, _QUOTE = b',\n\r"'

_Bytes = npt.NDArray[np.uint8]
_Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Layout:
    """What a sound CSV file holds."""

    names: list[str]
    """The header's names, all different; one that is empty reads `column_3`, counted from 1."""
    row_count: int


def check_csv(path: Path, *, label: str) -> Layout:
    """Read the file at `path`, called `label` in errors, once and return its layout.

    Blank lines before the header and at the end do not count; in a file of one column a blank
    line is a missing value. Raises Invalid, with the line, when the file is empty or has a
    header only, a name stands twice, a row has more or fewer fields than the header, a quote is
    misplaced or never closed, or the bytes are not UTF-8 text.
    """
    checker = _Checker(label)
    with path.open("rb") as stream:
        if stream.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
            stream.seek(0)
        while chunk := stream.read(_CHUNK_BYTES):
            checker.take(chunk)
    return checker.finish()


class _Checker:
    """What is known after each chunk; places are indexes into the chunk, lines count from 1."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._lines_before = 0
        self._last_byte = _NEWLINE
        self._inside = 0
        self._opened_line = 0
        # Of the record that the chunk's end cut.
        self._open_bytes = 0
        self._open_commas = 0
        self._open_line = 1
        self._head = bytearray()
        self._names: list[str] | None = None
        self._blank_line: int | None = None
        self._rows = 0

    def take(self, chunk: bytes) -> None:
        data = np.frombuffer(chunk, dtype=np.uint8)
        self._check_text(chunk)
        newlines = np.flatnonzero(data == _NEWLINE)
        outside = self._check_quotes(data, newlines)
        ends = newlines if outside is None else newlines[outside[newlines]]
        commas = np.flatnonzero(data == _COMMA)
        if outside is not None:
            commas = commas[outside[commas]]
        self._take_records(chunk, data, ends=ends, commas=commas, newlines=newlines)
        self._lines_before += len(newlines)
        self._last_byte = int(data[-1])

    def finish(self) -> Layout:
        try:
            self._decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            self._not_text(self._lines_before + 1)
        if self._inside:
            self._refuse(
                self._opened_line,
                "opens a quote that is never closed",
                fix='close it; a quote inside a quoted field is written twice: ""',
            )
        if self._last_byte != _NEWLINE:
            self.take(b"\n")
        if self._names is None:
            raise Invalid(f"{self._label} is empty", fix="give a file with a header and rows")
        if self._rows == 0:
            raise Invalid(
                f"{self._label} has a header and no rows",
                why=f"its columns would be {', '.join(self._names)[:200]}",
            )
        return Layout(self._names, self._rows)

    def _check_text(self, chunk: bytes) -> None:
        try:
            self._decoder.decode(chunk)
        except UnicodeDecodeError as error:
            self._not_text(self._lines_before + error.object.count(b"\n", 0, error.start) + 1)
        zero = chunk.find(0)
        if zero >= 0:
            self._not_text(self._lines_before + chunk.count(b"\n", 0, zero) + 1)

    def _check_quotes(self, data: _Bytes, newlines: _Places) -> npt.NDArray[np.bool_] | None:
        """Return which bytes stand outside quotes; None when there are no quotes at all."""
        quotes = data == _QUOTE
        if not self._inside and self._last_byte != _QUOTE and not quotes.any():
            return None
        before = (np.cumsum(quotes) - quotes + self._inside) & 1
        outside = before == 0
        previous = np.concatenate((np.array([self._last_byte], dtype=np.uint8), data[:-1]))
        after_quote = outside & (previous == _QUOTE)
        # A quote opens a field at its first byte, or follows the one it doubles.
        opens = quotes & outside & (previous != _COMMA) & (previous != _NEWLINE) & ~after_quote
        closes = after_quote & ~(quotes | (data == _COMMA) | (data == _NEWLINE) | (data == _RETURN))
        wrong = np.flatnonzero(opens | closes)
        if len(wrong):
            self._refuse(
                self._line_of(int(wrong[0]), newlines),
                "has a quote in the middle of a field",
                fix='quote the whole field and write each quote in it twice: "5"" pipe"',
            )
        opened = np.flatnonzero(quotes & outside)
        if len(opened):
            self._opened_line = self._line_of(int(opened[-1]), newlines)
        self._inside = (self._inside + int(quotes.sum())) & 1
        return outside

    def _take_records(
        self, chunk: bytes, data: _Bytes, *, ends: _Places, commas: _Places, newlines: _Places
    ) -> None:
        at = 0
        while self._names is None and at < len(ends):
            end = int(ends[at])
            self._head += chunk[int(ends[at - 1]) + 1 if at else 0 : end]
            if self._head.strip(b"\r"):
                self._names = self._read_header(
                    bytes(self._head), self._record_line(at, ends, newlines)
                )
            self._head.clear()
            at += 1
        starts = np.concatenate((np.zeros(1, dtype=np.int64), ends + 1))
        if self._names is None:
            self._head += chunk[int(starts[-1]) :]
            if len(self._head) > _MAX_HEADER_BYTES:
                raise Invalid(
                    f"{self._label} has a header of more than {_MAX_HEADER_BYTES} bytes",
                    why="it may have no line ends; they are \\n or \\r\\n",
                )
        commas_before = np.searchsorted(commas, starts)
        fields = np.diff(commas_before) + 1
        lengths = ends - starts[:-1]
        if len(ends):
            fields[0] += self._open_commas
            lengths[0] += self._open_bytes
            self._check_records(
                data, at, ends=ends, fields=fields, lengths=lengths, newlines=newlines
            )
            self._open_bytes = self._open_commas = 0
            self._open_line = self._line_of(int(starts[-1]), newlines)
        self._open_bytes += len(data) - int(starts[-1])
        self._open_commas += len(commas) - int(commas_before[-1])

    def _check_records(
        self,
        data: _Bytes,
        first: int,
        *,
        ends: _Places,
        fields: _Places,
        lengths: _Places,
        newlines: _Places,
    ) -> None:
        if self._names is None or first >= len(ends):
            return
        last_bytes = data[ends - 1]
        if ends[0] == 0:
            last_bytes[0] = self._last_byte
        blank = (lengths == 0) | ((lengths == 1) & (last_bytes == _RETURN))
        blank, fields = blank[first:], fields[first:]
        expected = len(self._names)
        if expected == 1:
            blank = np.zeros_like(blank)
        filled = np.flatnonzero(~blank)
        gaps = np.flatnonzero(blank[: filled[-1]]) if len(filled) else filled
        wrong = np.flatnonzero(~blank & (fields != expected))
        if self._blank_line is not None and len(filled):
            self._refuse_blank(self._blank_line, expected)
        if len(gaps) and (len(wrong) == 0 or gaps[0] < wrong[0]):
            self._refuse_blank(self._record_line(first + int(gaps[0]), ends, newlines), expected)
        if len(wrong):
            self._refuse(
                self._record_line(first + int(wrong[0]), ends, newlines),
                f"has {int(fields[wrong[0]])} fields; the header has {expected}",
                fix="correct the line; a field that holds a comma or a line end is quoted",
            )
        if self._blank_line is None and len(filled) < len(blank):
            tail = int(filled[-1]) + 1 if len(filled) else 0
            self._blank_line = self._record_line(first + tail, ends, newlines)
        self._rows += len(filled)

    def _read_header(self, head: bytes, line: int) -> list[str]:
        fields = next(csv.reader(io.StringIO(head.decode().rstrip("\r"), newline=""), strict=True))
        if len(fields) == 1:
            for mark, word in ((";", "semicolons"), ("\t", "tabs")):
                if mark in fields[0]:
                    self._refuse(
                        line,
                        f"is a header whose names are separated by {word}",
                        fix="write the file with commas between its fields",
                    )
        names = [name or f"column_{at}" for at, name in enumerate(fields, start=1)]
        twice = duplicates(names)
        if twice:
            self._refuse(
                line,
                f"is a header that names columns twice: {', '.join(map(repr, twice))}",
                fix="give every column a name of its own",
            )
        return names

    def _record_line(self, record: int, ends: _Places, newlines: _Places) -> int:
        if record == 0:
            return self._open_line
        return self._line_of(int(ends[record - 1]) + 1, newlines)

    def _line_of(self, place: int, newlines: _Places) -> int:
        return self._lines_before + int(np.searchsorted(newlines, place)) + 1

    def _refuse_blank(self, line: int, expected: int) -> NoReturn:
        self._refuse(
            line,
            f"is blank; a row has {expected} fields",
            fix="remove the line; blank lines may stand at the end only",
        )

    def _not_text(self, line: int) -> NoReturn:
        self._refuse(
            line,
            "holds bytes that are not UTF-8 text",
            fix="save the file as UTF-8, as with: iconv -f LATIN1 -t UTF-8",
        )

    def _refuse(self, line: int, why: str, *, fix: str) -> NoReturn:
        raise Invalid(f"{self._label} cannot be read as CSV", why=f"line {line} {why}", fix=fix)


def duplicates(names: Sequence[str]) -> list[str]:
    """Return the names that stand more than once, each once, in their order."""
    return [name for name, count in Counter(names).items() if count > 1]
