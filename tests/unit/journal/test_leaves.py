from __future__ import annotations

import json

import msgspec
import pytest

from fixtures.journals import ACT, run_subject
from millwright.core.errors import Corrupt, Invalid
from millwright.core.ids import ActorId, EventId, ProjectId, RequestId, new_id
from millwright.journal import leaves
from millwright.records.events import Act, JsonValue, RunStarted, Subject

EVENT = EventId("evt_01ky3s3w6e7s2v9k1rqzjq0x5b")
DETAIL = RunStarted(name="a name", kind="script", experiment="default")


def encode(*, act: Act = ACT, subjects: list[Subject] | None = None) -> bytes:
    return leaves.encode_leaf(
        EVENT,
        act=act,
        detail=RunStarted,
        time_us=1_700_000_000_000_000,
        subjects=subjects or [],
        commit="ab" * 32,
    )


class TestLeaf:
    def test_it_holds_ids_digests_kinds_and_nothing_else(self) -> None:
        digest = "b3:" + "0" * 64
        act = Act(
            actor=ActorId("act_01ky3s3w6e7s2v9k1rqzjq0x5c"),
            project=ProjectId("prj_01ky3s3w6e7s2v9k1rqzjq0x5d"),
            project_key=7,
            reason="said in free text",
            request=RequestId("req_01ky3s3w6e7s2v9k1rqzjq0x5e"),
            cause=EventId("evt_01ky3s3w6e7s2v9k1rqzjq0x5a"),
        )
        subject = Subject(kind="run", id="run_01ky3s3w6e7s2v9k1rqzjq0x5f", digest=digest)
        leaf = encode(act=act, subjects=[subject, Subject(kind="artifact", id=digest)])
        # The format can never be migrated: this text is what later versions must read.
        assert leaf.decode() == (
            '{"actor":"act_01ky3s3w6e7s2v9k1rqzjq0x5c",'
            '"cause":"evt_01ky3s3w6e7s2v9k1rqzjq0x5a",'
            f'"commit":"{"ab" * 32}",'
            '"id":"evt_01ky3s3w6e7s2v9k1rqzjq0x5b","kind":"RunStarted","kv":1,'
            '"project":"prj_01ky3s3w6e7s2v9k1rqzjq0x5d",'
            '"request":"req_01ky3s3w6e7s2v9k1rqzjq0x5e",'
            f'"subjects":[{{"digest":"{digest}","id":"run_01ky3s3w6e7s2v9k1rqzjq0x5f",'
            f'"kind":"run"}},{{"id":"{digest}","kind":"artifact"}}],'
            '"time":1700000000000000,"v":1}'
        )

    @pytest.mark.parametrize(
        "subject",
        [
            Subject(kind="model", id="churn"),
            Subject(kind="person", id="anna@example.org"),
            Subject(kind="Anna Berg", id=new_id("act")),
            Subject(kind="run", id=new_id("run"), digest="0.871"),
            Subject(kind="run", id=new_id("run").upper()),
        ],
    )
    def test_a_subject_cannot_carry_names_or_figures(self, subject: Subject) -> None:
        with pytest.raises(Invalid, match="of an event is given as") as caught:
            encode(subjects=[subject])
        assert "can never be erased" in caught.value.why

    @pytest.mark.parametrize(
        "changes",
        [
            {"actor": "anna"},
            {"project": "default"},
            {"request": "GET /secret"},
            {"cause": "since I say so"},
        ],
    )
    def test_an_act_cannot_carry_text_either(self, changes: dict[str, str]) -> None:
        act = msgspec.structs.replace(ACT, **changes)
        with pytest.raises(Invalid, match="of an event is given as"):
            encode(act=act)

    def test_the_same_subject_twice_is_refused(self) -> None:
        one = run_subject()
        with pytest.raises(Invalid, match="the same subject twice"):
            encode(subjects=[one, one])

    def test_a_leaf_stays_below_64_kib(self) -> None:
        encode(subjects=[run_subject() for _ in range(1000)])
        with pytest.raises(Invalid, match=r"has a leaf of \d+ bytes, over 65535"):
            encode(subjects=[run_subject() for _ in range(1300)])

    @pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b"[1]", encode()[:-1] + b',"x":1}'])
    def test_other_bytes_are_no_leaf(self, data: bytes) -> None:
        with pytest.raises(Corrupt, match="is not a leaf"):
            leaves.parse_leaf(data)

    def test_a_later_format_is_named(self) -> None:
        with pytest.raises(Corrupt, match="leaf format 2"):
            leaves.parse_leaf(encode().replace(b'"v":1', b'"v":2'))


class TestDetail:
    def test_the_acts_reason_is_kept_with_it_unless_it_has_its_own(self) -> None:
        body = json.loads(leaves.encode_detail(DETAIL, reason="nightly"))
        assert body == {
            "reason": "nightly", "name": "a name", "kind": "script", "experiment": "default"
        }  # fmt: skip
        own = msgspec.structs.replace(DETAIL, reason="own")
        assert json.loads(leaves.encode_detail(own, reason="nightly"))["reason"] == "own"

    def test_a_huge_one_is_refused(self) -> None:
        huge = msgspec.structs.replace(DETAIL, name="x" * leaves.MAX_DETAIL_BYTES)
        with pytest.raises(Invalid, match="the detail of a RunStarted event has"):
            leaves.encode_detail(huge, reason="")


class TestReading:
    def test_an_old_kind_is_read_as_the_newest(self) -> None:
        def renamed(fields: dict[str, JsonValue]) -> dict[str, JsonValue]:
            return {"title": fields["name"]}

        def counted(fields: dict[str, JsonValue]) -> dict[str, JsonValue]:
            return fields | {"count": 0}

        upcasts = {("RunStarted", 1): renamed, ("RunStarted", 2): counted}
        body = leaves.encode_detail(DETAIL, reason="")
        event = leaves.to_event(5, encode(), body, upcasts=upcasts)
        assert (event.place, event.kind_version) == (5, 3)
        assert event.detail == {"title": "a name", "count": 0}
        erased = leaves.to_event(5, encode(), None, upcasts=upcasts)
        assert (erased.kind_version, erased.detail) == (3, None)
