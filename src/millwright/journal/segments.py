"""The decision log's format: a write-ahead file that becomes a sealed, provable segment.

While it is written, a segment is one file with a line for each decision: a random salt and the
row, which is the decision as JSON. Sealed, it is two. The *index* has a leaf for each row: the
decision's id, its number, and a commitment, HMAC-SHA256 of the row under its salt; it says
nothing about anybody and is kept for ever. The *payload* is the compressed lines; it can be
erased, and the index, whose RFC 9162 root the journal anchors, still proves that the decision
was taken. Without the salt nobody can try likely rows against a commitment.

Pure but for `SegmentWriter`. No database: serving processes write what monitors and auditors read.
"""

from __future__ import annotations

import hmac
import os
import secrets
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from millwright.artifacts.files import explain, sync_folder
from millwright.core.digest import digest_bytes
from millwright.core.errors import Corrupt, Invalid
from millwright.core.ids import DecisionId, SegmentId
from millwright.journal import merkle
from millwright.records.serving import Decision, SegmentHeader

VERSION = 1
SALT_BYTES = 16
KEYED_HASH_BYTES = 16
MAX_PAYLOAD_BYTES = 1 << 30
"""A payload that unpacks to more was not made by us."""
_COMPRESSION = 4
_MODE = 0o600


class Leaf(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line of the index. The fields stand in alphabetical order, as canonical JSON wants it."""

    commit: str
    id: DecisionId
    n: int
    v: int


class _Line(Struct, frozen=True):
    salt: str
    row: msgspec.Raw


_ENCODER = msgspec.json.Encoder()
_LEAVES = msgspec.json.Decoder(Leaf)
_LINES = msgspec.json.Decoder(_Line)
_DECISIONS = msgspec.json.Decoder(Decision)


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a write-ahead file holds."""

    lines: list[bytes]
    """Complete rows, without their line ends."""
    dropped_bytes: int
    """Behind the last complete row: the torn end of a write that a crash or full disk cut."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A segment ready to be stored."""

    header: SegmentHeader
    index: bytes
    payload: bytes


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a sealed segment; `decision` is None where the payload is erased."""

    leaf: Leaf
    decision: Decision | None


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in a segment that is not as it was sealed."""

    row: int | None
    """The first row it shows in, from 0; None when it concerns the segment as a whole."""
    what: str


def keyed_hash(hash_key: bytes, text: str) -> str:
    """Return 32 hexadecimal digits that stand for `text`, and can be made only with the key.

    >>> keyed_hash(bytes(32), "customer 7")
    'd39fb017ef5793e84abb8d3974dd47d8'
    """
    return hmac.digest(hash_key, text.encode(), "sha256")[:KEYED_HASH_BYTES].hex()


def encode_line(decision: Decision, salt: bytes) -> bytes:
    """Return the line of the write-ahead file for one decision."""
    row = _ENCODER.encode(decision)
    return b'{"salt":"' + salt.hex().encode() + b'","row":' + row + b"}\n"


class SegmentWriter:
    """The write-ahead file of a segment that is not sealed yet.

    What `append` has written survives the death of this process at any moment; what `sync` has
    made durable survives that of the machine.
    """

    def __init__(
        self, path: Path, *, make_salt: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self.path = path
        self.rows = 0
        self.size_bytes = 0
        self._make_salt = make_salt
        self._dirty = False
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
            self._handle = os.open(path, flags, _MODE)
            sync_folder(path.parent)
        except OSError as error:
            raise explain(error, f"cannot write decisions to {path}") from error

    def append(self, decisions: Sequence[Decision]) -> None:
        """Write all the decisions, or raise and leave the file as it was.

        Raises Denied or Failed when the disk does not take them.
        """
        salts = self._make_salt(SALT_BYTES * len(decisions))
        data = b"".join(
            encode_line(decision, salts[at * SALT_BYTES : (at + 1) * SALT_BYTES])
            for at, decision in enumerate(decisions)
        )
        try:
            written = os.write(self._handle, data)
            while written < len(data):
                written += os.write(self._handle, data[written:])
        except OSError as error:
            # A torn line in the middle would hide every later one.
            os.ftruncate(self._handle, self.size_bytes)
            raise explain(error, f"cannot write decisions to {self.path}") from error
        self.size_bytes += len(data)
        self.rows += len(decisions)
        self._dirty = True

    def sync(self) -> None:
        """Make durable what was appended so far; raises Denied or Failed.

        The one method that another thread may call meanwhile.
        """
        if not self._dirty:
            return
        self._dirty = False
        try:
            os.fsync(self._handle)
        except OSError as error:
            self._dirty = True
            raise explain(error, f"cannot make decisions durable in {self.path}") from error

    def close(self) -> None:
        """Close the file; nothing can be appended any more."""
        os.close(self._handle)


def recover(data: bytes) -> Recovered:
    """Return the complete rows of a write-ahead file, up to the first line that is none."""
    lines: list[bytes] = []
    kept = 0
    while (end := data.find(b"\n", kept)) >= 0:
        line = data[kept:end]
        try:
            _DECISIONS.decode(_LINES.decode(line).row)
        except (msgspec.DecodeError, UnicodeDecodeError):
            break
        lines.append(line)
        kept = end + 1
    return Recovered(lines, len(data) - kept)


def seal(
    lines: Sequence[bytes],
    *,
    segment: SegmentId,
    instance: str,
    seq: int,
    sealed_by: Literal["time", "size", "stop", "recovery"],
) -> Sealed:
    """Return the segment made of the lines of a write-ahead file.

    Raises Invalid when there is no line, and Corrupt when one is no decision, or the rows are
    not those of one deployment, numbered without holes.
    """
    if not lines:
        raise Invalid("a segment without rows cannot be sealed")
    leaves: list[bytes] = []
    decisions: list[Decision] = []
    for at, line in enumerate(lines):
        leaf, decision = _read_line(at, line)
        leaves.append(_ENCODER.encode(leaf))
        decisions.append(decision)
    first, last = decisions[0], decisions[-1]
    for at, decision in enumerate(decisions):
        if decision.n != first.n + at or decision.deployment != first.deployment:
            raise Corrupt(
                f"decision {decision.id} does not follow the one before it",
                why=f"it is number {decision.n} of {decision.deployment}; "
                f"number {first.n + at} of {first.deployment} was to come",
            )
    index = b"".join(leaf + b"\n" for leaf in leaves)
    payload = zlib.compress(b"".join(line + b"\n" for line in lines), _COMPRESSION)
    header = SegmentHeader(
        id=segment,
        deployment=first.deployment,
        instance=instance,
        seq=seq,
        first_n=first.n,
        last_n=last.n,
        # An id is drawn before the model answers and a number after; a clock may be set back.
        first_id=min(decision.id for decision in decisions),
        last_id=max(decision.id for decision in decisions),
        first_us=min(decision.time_us for decision in decisions),
        last_us=max(decision.time_us for decision in decisions),
        rows=len(decisions),
        errors=sum(decision.error is not None for decision in decisions),
        root=merkle.root(map(merkle.leaf_hash, leaves)).hex(),
        index_digest=digest_bytes(index),
        payload_digest=digest_bytes(payload),
        sealed_by=sealed_by,
    )
    return Sealed(header, index, payload)


def read_segment(index: bytes, payload: bytes | None) -> list[Row]:
    """Return the rows of a segment in their order; without payload, what the index still says.

    Raises Corrupt, naming the row, when a line is not what the format says, or index and
    payload do not have the same rows. Whether they are the rows that were sealed is for
    `verify_segment` to say.
    """
    leaves = [_read_leaf(at, line) for at, line in enumerate(_split(index))]
    if payload is None:
        return [Row(leaf, None) for leaf in leaves]
    lines = _split(_unpack(payload))
    rows: list[Row] = []
    for at, (leaf, line) in enumerate(zip(leaves, lines, strict=False)):
        made, decision = _read_line(at, line)
        if made != leaf:
            raise Corrupt(f"row {at} of the payload is not the one that the index holds")
        rows.append(Row(leaf, decision))
    if len(lines) != len(leaves):
        raise Corrupt(f"the index has {len(leaves)} rows and the payload {len(lines)}")
    return rows


def verify_segment(header: SegmentHeader, index: bytes, payload: bytes | None) -> list[Problem]:
    """Return what is not as the header says, rows first; an empty list when all is well.

    The header itself is held against the journal, which anchors it; that is the caller's part.
    """
    return [*_check_rows(header, index, payload), *_check_whole(header, index, payload)]


def find(index: bytes, decision: DecisionId) -> int | None:
    """Return the place of a decision in a segment, from 0, or None when it is not in it."""
    for at, line in enumerate(_split(index)):
        if decision.encode() in line and _read_leaf(at, line).id == decision:
            return at
    return None


def prove(index: bytes, place: int) -> list[bytes]:
    """Return the hashes that lead from the leaf at `place` to the segment's root."""
    hashes = [merkle.leaf_hash(line) for line in _split(index)]

    def read_subtree(level: int, at: int) -> bytes:
        return merkle.root(hashes[at << level : (at + 1) << level])

    return merkle.inclusion_path(place, len(hashes), read_subtree)


def _check_rows(header: SegmentHeader, index: bytes, payload: bytes | None) -> Iterator[Problem]:
    """Give the first row that is wrong by itself, in index or payload."""
    try:
        lines = None if payload is None else _split(_unpack(payload))
    except Corrupt as error:
        yield Problem(None, error.what)
        lines = None
    entries = _split(index)
    for at, entry in enumerate(entries):
        try:
            leaf = _read_leaf(at, entry)
            if leaf.n != header.first_n + at:
                yield Problem(at, f"row {at} has number {leaf.n}, not {header.first_n + at}")
                return
            if lines is None or at >= len(lines):
                continue
            made, decision = _read_line(at, lines[at])
        except Corrupt as error:
            yield Problem(at, error.what)
            return
        if made != leaf:
            yield Problem(at, f"row {at} of the payload does not fit its commitment")
            return
        if decision.deployment != header.deployment:
            yield Problem(at, f"row {at} belongs to {decision.deployment}")
            return
    if lines is not None and len(lines) != len(entries):
        at = min(len(lines), len(entries))
        yield Problem(at, f"the index has {len(entries)} rows and the payload {len(lines)}")


def _check_whole(header: SegmentHeader, index: bytes, payload: bytes | None) -> Iterator[Problem]:
    entries = _split(index)
    if len(entries) != header.rows:
        at = min(len(entries), header.rows)
        yield Problem(at, f"the index has {len(entries)} rows; {header.rows} were sealed")
    if header.last_n - header.first_n + 1 != header.rows:
        yield Problem(
            None, f"{header.rows} rows cannot be numbered {header.first_n} to {header.last_n}"
        )
    if digest_bytes(index) != header.index_digest:
        yield Problem(None, f"the index is not the sealed one, {header.index_digest}")
    if merkle.root(map(merkle.leaf_hash, entries)).hex() != header.root:
        yield Problem(None, f"the rows' root is not the sealed one, {header.root}")
    ids = [found for entry in entries if (found := _id_of(entry)) is not None] or [""]
    if (min(ids), max(ids)) != (header.first_id, header.last_id):
        yield Problem(None, "the lowest or highest id is not the one that the header names")
    if payload is None:
        return
    if digest_bytes(payload) != header.payload_digest:
        yield Problem(None, f"the payload is not the sealed one, {header.payload_digest}")
    try:
        decisions = [_read_line(at, line)[1] for at, line in enumerate(_split(_unpack(payload)))]
    except Corrupt:
        return
    errors = sum(decision.error is not None for decision in decisions)
    times = [decision.time_us for decision in decisions] or [0]
    if (errors, min(times), max(times)) != (header.errors, header.first_us, header.last_us):
        yield Problem(None, "the header's count of errors or times are not those of the rows")


def _split(data: bytes) -> list[bytes]:
    return data.removesuffix(b"\n").split(b"\n") if data else []


def _id_of(entry: bytes) -> str | None:
    try:
        return _LEAVES.decode(entry).id
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _read_leaf(at: int, line: bytes) -> Leaf:
    try:
        leaf = _LEAVES.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Corrupt(f"row {at} of the index is not a leaf", why=str(error)) from error
    if leaf.v != VERSION:
        raise Corrupt(f"row {at} of the index has version {leaf.v}", why=f"we read {VERSION}")
    # Another spelling of the same leaf has another hash.
    if _ENCODER.encode(leaf) != line:
        raise Corrupt(f"row {at} of the index is not in its one spelling")
    return leaf


def _read_line(at: int, line: bytes) -> tuple[Leaf, Decision]:
    """Return what a line of the write-ahead file or payload holds, and its leaf."""
    try:
        found = _LINES.decode(line)
        row = bytes(found.row)
        commit = hmac.digest(bytes.fromhex(found.salt), row, "sha256").hex()
        decision = _DECISIONS.decode(row)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise Corrupt(f"row {at} of the payload is not a decision", why=str(error)) from error
    return Leaf(commit=commit, id=decision.id, n=decision.n, v=VERSION), decision


def _unpack(payload: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(payload, MAX_PAYLOAD_BYTES)
    except zlib.error as error:
        raise Corrupt("the payload cannot be unpacked", why=str(error)) from error
    if not unpacker.eof or unpacker.unused_data:
        raise Corrupt(
            "the payload cannot be unpacked", why="it is cut, too long, or followed by other bytes"
        )
    return data
