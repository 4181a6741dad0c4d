"""Sealed segments prove every row, name the first that was changed, and survive torn writes."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.core import canonical
from millwright.core.digest import digest_bytes, parse_digest
from millwright.core.errors import Corrupt, Invalid, MillwrightError
from millwright.core.ids import DecisionId, DeploymentId, SegmentId, new_id
from millwright.journal import merkle, segments
from millwright.journal.segments import Sealed, SegmentWriter
from millwright.records.serving import Decision

DEPLOYMENT = DeploymentId("dep_00000000000000000000000001")
DIGEST = parse_digest("b3:" + "0" * 64)


def decision(n: int, *, error: str | None = None, time_us: int = 1_000_000) -> Decision:
    return Decision(
        id=DecisionId(new_id("dec")),
        n=n,
        time_us=time_us + n,
        deployment=DEPLOYMENT,
        revision=3,
        role="champion",
        version=1,
        digest=DIGEST,
        inputs={"age": 40 + n, "city": "Zürich \u2028 \n", "rate": 0.1 * n, "gone": None},
        key="00" * 16,
        score=None if error else 0.25,
        error=error,
    )


def lines(count: int, *, first: int = 5) -> tuple[list[Decision], list[bytes]]:
    decisions = [decision(first + at, error="broke" if at == 1 else None) for at in range(count)]
    made = [segments.encode_line(each, os.urandom(16)).removesuffix(b"\n") for each in decisions]
    return decisions, made


def sealed(made: list[bytes]) -> Sealed:
    return segments.seal(
        made, segment=SegmentId(new_id("seg")), instance="here.1", seq=2, sealed_by="time"
    )


def repacked(payload: bytes, rows: list[bytes]) -> bytes:
    assert payload
    return zlib.compress(b"".join(row + b"\n" for row in rows))


def test_a_sealed_segment_gives_its_decisions_back_and_verifies() -> None:
    decisions, made = lines(5)
    found = sealed(made)
    rows = segments.read_segment(found.index, found.payload)
    assert [row.decision for row in rows] == decisions
    header = found.header
    assert (header.first_n, header.last_n, header.rows, header.errors) == (5, 9, 5, 1)
    assert (header.first_id, header.last_id) == (decisions[0].id, decisions[-1].id)
    assert (header.first_us, header.last_us) == (decisions[0].time_us, decisions[-1].time_us)
    assert segments.verify_segment(header, found.index, found.payload) == []


def test_leaves_are_canonical_json_and_commitments_are_plain_hmac() -> None:
    _, made = lines(3)
    found = sealed(made)
    hashes: list[bytes] = []
    for leaf_line, line in zip(found.index.splitlines(), made, strict=True):
        leaf = json.loads(leaf_line)
        assert canonical.encode(leaf) == leaf_line
        assert sorted(leaf) == ["commit", "id", "n", "v"]
        salt = bytes.fromhex(json.loads(line)["salt"])
        row = line.split(b',"row":', 1)[1][:-1]
        assert leaf["commit"] == hmac.new(salt, row, hashlib.sha256).hexdigest()
        hashes.append(hashlib.sha256(b"\x00" + leaf_line).digest())
    left = hashlib.sha256(b"\x01" + hashes[0] + hashes[1]).digest()
    assert found.header.root == hashlib.sha256(b"\x01" + left + hashes[2]).hexdigest()


def test_a_slow_answer_behind_a_younger_id_is_within_the_headers_ids() -> None:
    decisions, _ = lines(4)
    ids = [decisions[at].id for at in (2, 3, 0, 1)]
    late = [msgspec.structs.replace(one, id=id_) for one, id_ in zip(decisions, ids, strict=True)]
    found = sealed([segments.encode_line(one, os.urandom(16))[:-1] for one in late])
    header = found.header
    assert all(header.first_id <= one.id <= header.last_id for one in late)
    assert (header.first_id, header.last_id) == (decisions[0].id, decisions[3].id)
    assert segments.verify_segment(header, found.index, found.payload) == []
    for lie in ({"first_id": late[0].id}, {"last_id": late[-1].id}):
        header = msgspec.structs.replace(found.header, **lie)
        assert segments.verify_segment(header, found.index, None) == [
            segments.Problem(None, "the lowest or highest id is not the one that the header names")
        ]


def test_an_erased_payload_leaves_ids_and_proofs() -> None:
    decisions, made = lines(4)
    found = sealed(made)
    rows = segments.read_segment(found.index, None)
    assert [row.leaf.id for row in rows] == [each.id for each in decisions]
    assert all(row.decision is None for row in rows)
    assert segments.verify_segment(found.header, found.index, None) == []


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9])
def test_each_decision_is_found_and_proved(count: int) -> None:
    decisions, made = lines(count)
    found = sealed(made)
    root = bytes.fromhex(found.header.root)
    for at, each in enumerate(decisions):
        place = segments.find(found.index, each.id)
        assert place is not None
        assert place == at
        leaf = merkle.leaf_hash(found.index.splitlines()[at])
        path = segments.prove(found.index, place)
        assert merkle.verify_inclusion(leaf, index=at, size=count, path=path, root=root)
    assert segments.find(found.index, DecisionId(new_id("dec"))) is None


def test_a_changed_row_is_named() -> None:
    _, made = lines(6)
    found = sealed(made)
    for at in range(6):
        changed = [*made]
        changed[at] = changed[at].replace(b'"rate":', b'"Rate":')
        payload = repacked(found.payload, changed)
        problems = segments.verify_segment(found.header, found.index, payload)
        assert problems[0] == segments.Problem(
            at, f"row {at} of the payload does not fit its commitment"
        )
        with pytest.raises(Corrupt, match=f"row {at} "):
            segments.read_segment(found.index, payload)


@pytest.mark.parametrize("at", [0, 3, 5])
def test_a_row_deleted_from_both_files_is_named(at: int) -> None:
    _, made = lines(6)
    found = sealed(made)
    leaves = found.index.splitlines(keepends=True)
    index = b"".join(leaves[:at] + leaves[at + 1 :])
    payload = repacked(found.payload, made[:at] + made[at + 1 :])
    problems = segments.verify_segment(found.header, index, payload)
    assert problems[0].row == at
    assert any("root" in problem.what for problem in problems)


def test_two_rows_swapped_are_named() -> None:
    _, made = lines(6)
    found = sealed(made)
    leaves = found.index.splitlines(keepends=True)
    leaves[2], leaves[4] = leaves[4], leaves[2]
    made[2], made[4] = made[4], made[2]
    payload = repacked(found.payload, made)
    problems = segments.verify_segment(found.header, b"".join(leaves), payload)
    assert problems[0] == segments.Problem(2, "row 2 has number 9, not 7")


def test_a_segment_sealed_anew_does_not_fit_the_old_header() -> None:
    decisions, made = lines(3)
    found = sealed(made)
    made[1] = segments.encode_line(
        msgspec.structs.replace(decisions[1], score=0.9), os.urandom(16)
    ).removesuffix(b"\n")
    other = sealed(made)
    problems = segments.verify_segment(found.header, other.index, other.payload)
    assert any("root is not the sealed one" in problem.what for problem in problems)


def test_a_lying_header_is_found() -> None:
    _, made = lines(3)
    found = sealed(made)
    for change in (
        {"errors": 0},
        {"first_us": 1},
        {"rows": 4},
        {"last_n": 9},
        {"last_id": found.header.first_id},
        {"deployment": DeploymentId("dep_00000000000000000000000002")},
    ):
        header = msgspec.structs.replace(found.header, **change)
        assert segments.verify_segment(header, found.index, found.payload), change


@settings(max_examples=60)
@given(
    which=st.sampled_from(["index", "payload"]),
    place=st.floats(0, 1, exclude_max=True),
    flip=st.integers(1, 255),
)
def test_any_changed_byte_is_found(which: str, place: float, flip: int) -> None:
    _, made = lines(3)
    found = sealed(made)
    original = found.index if which == "index" else found.payload
    damaged = bytearray(original)
    damaged[int(place * len(original))] ^= flip
    index = bytes(damaged) if which == "index" else found.index
    payload = bytes(damaged) if which == "payload" else found.payload
    assert segments.verify_segment(found.header, index, payload)


@pytest.mark.parametrize("payload", [b"", b"nonsense", zlib.compress(b"{}\n") + b"x"])
def test_a_payload_that_is_none_is_a_problem_not_a_crash(payload: bytes) -> None:
    _, made = lines(2)
    found = sealed(made)
    assert segments.verify_segment(found.header, found.index, payload)
    header = msgspec.structs.replace(found.header, payload_digest=digest_bytes(payload))
    assert segments.verify_segment(header, found.index, payload)
    with pytest.raises(Corrupt):
        segments.read_segment(found.index, payload)


def test_rows_with_a_hole_are_not_sealed() -> None:
    _, made = lines(3)
    with pytest.raises(Corrupt, match="does not follow"):
        sealed([made[0], made[2]])
    with pytest.raises(Invalid, match="without rows"):
        sealed([])


def test_the_write_ahead_file_is_recovered_up_to_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "00000000.wal"
    writer = SegmentWriter(path)
    decisions = [decision(n) for n in range(4)]
    writer.append(decisions[:1])
    writer.append(decisions[1:])
    writer.sync()
    writer.close()
    data = path.read_bytes()
    assert (writer.rows, writer.size_bytes, len(data)) == (4, len(data), len(data))
    whole = segments.recover(data)
    assert (len(whole.lines), whole.dropped_bytes) == (4, 0)
    start = data.rindex(b"\n", 0, -1) + 1
    for cut in range(start, len(data)):
        torn = segments.recover(data[:cut])
        assert (len(torn.lines), torn.dropped_bytes) == (3, cut - start)
    rows = segments.read_segment(*_two(sealed(whole.lines)))
    assert [row.decision for row in rows] == decisions


def _two(found: Sealed) -> tuple[bytes, bytes]:
    return found.index, found.payload


def test_a_write_ahead_file_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "a.wal").write_bytes(b"something")
    with pytest.raises(MillwrightError, match="cannot write decisions"):
        SegmentWriter(tmp_path / "a.wal")
    assert (tmp_path / "a.wal").read_bytes() == b"something"


def test_a_full_disk_leaves_no_torn_line(tmp_path: Path) -> None:
    # A limit on the size of files stands for the full disk: the write goes half through.
    script = """
import os, resource, signal, sys
from pathlib import Path
sys.path.insert(0, os.path.dirname(sys.argv[1]))
from millwright.core.errors import Failed
from millwright.journal.segments import SegmentWriter, recover
import importlib.util
spec = importlib.util.spec_from_file_location("made", sys.argv[1])
made = importlib.util.module_from_spec(spec); spec.loader.exec_module(made)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[2])
writer = SegmentWriter(path)
writer.append([made.decision(0)])
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 50,) * 2)
try:
    writer.append([made.decision(1), made.decision(2)])
except Failed as error:
    assert "limit" in error.why, error.why
else:
    raise SystemExit("a write beyond the limit went through")
found = recover(path.read_bytes())
assert (len(found.lines), found.dropped_bytes) == (1, 0), found
"""
    subprocess.run(
        [sys.executable, "-c", script, __file__, str(tmp_path / "a.wal")], check=True, timeout=30
    )


def test_keyed_hashes_depend_on_key_and_text() -> None:
    made = {
        segments.keyed_hash(key, text)
        for key in (bytes(32), bytes(31) + b"\x01")
        for text in ("", "a", "b", "ä")
    }
    assert len(made) == 8
    assert all(len(each) == 32 for each in made)
    expected = hmac.new(bytes(32), b"customer 7", hashlib.sha256).hexdigest()[:32]
    assert segments.keyed_hash(bytes(32), "customer 7") == expected
