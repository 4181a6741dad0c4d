from __future__ import annotations

import zlib

import msgspec
import pytest

from fixtures.homes import DEPLOYMENT, Place, ServingLife, damaged
from millwright.core.digest import digest_bytes
from millwright.core.errors import Conflict, Corrupt, Denied, NotFound
from millwright.core.ids import DeploymentId, new_id


def life_of(place: Place, instance: str = "here.1") -> ServingLife:
    if not place.me.deployments.list_all():
        place.deployed()
    return ServingLife(place, instance=instance)


class TestSealing:
    def test_a_segment_is_anchored_in_the_journal_by_its_root(self, place: Place) -> None:
        life = life_of(place)
        segment = life.send(life.decide(["a", "b"], errors=1))
        events = place.events("SegmentSealed")
        assert [event.id for event in events] == [segment.event]
        subject = events[0].subjects[0]
        assert (subject.kind, subject.id) == ("segment", segment.header.id)
        assert subject.digest == f"sha256:{segment.header.root}"
        assert events[0].detail == {
            "reason": "",
            "deployment": DEPLOYMENT,
            "instance": "here.1",
            "rows": 2,
            "first_n": 0,
            "last_n": 1,
        }
        assert segment.header.errors == 1

    def test_sent_again_it_is_the_same_segment(self, place: Place) -> None:
        life = life_of(place)
        made = life.sealed(life.decide(["a", "b"]))
        first = place.me.serving.seal(header=made.header)
        place.clock.advance(5)
        assert place.me.serving.seal(header=made.header) == first
        assert len(place.events("SegmentSealed")) == 1

    def test_another_segment_in_its_place_is_a_conflict(self, place: Place) -> None:
        life = life_of(place)
        life.send(life.decide(["a"]))
        life.seq, life.n = 0, 0
        with pytest.raises(Conflict, match=r"segment 0 of here\.1 is another one already"):
            life.send(life.decide(["b"]))
        assert len(place.events("SegmentSealed")) == 1

    def test_two_instances_have_numbers_of_their_own(self, sqlite_place: Place) -> None:
        for instance in ("here.1", "there.1"):
            life = life_of(sqlite_place, instance)
            life.send(life.decide(["a", "b"]))
        assert len(sqlite_place.events("SegmentSealed")) == 2
        assert sqlite_place.events("SegmentGap") == []

    def test_an_unknown_deployment_is_not_found(self, sqlite_place: Place) -> None:
        life = life_of(sqlite_place)
        strange = DeploymentId(new_id("dep"))
        taken = [msgspec.structs.replace(one, deployment=strange) for one in life.decide(["a"])]
        with pytest.raises(NotFound, match=f"no deployment {strange}"):
            life.send(taken)

    def test_only_a_serving_process_may_send_decisions(self, sqlite_place: Place) -> None:
        life = life_of(sqlite_place)
        made = life.sealed(life.decide(["a"]))
        eve = sqlite_place.person("eve")
        with pytest.raises(Denied, match=r"decision\.write"):
            eve.serving.seal(header=made.header)


class TestTampering:
    def test_a_changed_row_is_named(self, sqlite_place: Place) -> None:
        life = life_of(sqlite_place)
        made = life.sealed(life.decide(["a", "b", "c"]))
        lines = zlib.decompress(made.payload)
        payload = zlib.compress(lines.replace(b'"key":"b"', b'"key":"x"'))
        assert payload != made.payload
        sqlite_place.home.artifacts.put_bytes(payload)
        header = msgspec.structs.replace(made.header, payload_digest=digest_bytes(payload))
        with pytest.raises(Corrupt, match="is not what its header says") as caught:
            sqlite_place.me.serving.seal(header=header)
        assert "row 1 of the payload does not fit its commitment" in caught.value.why

    def test_a_header_that_does_not_fit_the_bytes_is_refused(self, sqlite_place: Place) -> None:
        life = life_of(sqlite_place)
        header = life.sealed(life.decide(["a", "b"])).header
        for change in (
            {"root": "00" * 32},
            {"rows": 3},
            {"errors": 1},
            {"last_n": 5},
            {"first_us": 0},
            {"first_id": header.last_id},
        ):
            with pytest.raises(Corrupt, match="is not what its header says"):
                sqlite_place.me.serving.seal(header=msgspec.structs.replace(header, **change))
        assert sqlite_place.events("SegmentSealed") == []

    def test_bytes_that_were_never_stored_are_not_found(self, sqlite_place: Place) -> None:
        life = life_of(sqlite_place)
        header = life.sealed(life.decide(["a"])).header
        lost = msgspec.structs.replace(header, payload_digest=damaged(header.payload_digest))
        with pytest.raises(NotFound):
            sqlite_place.me.serving.seal(header=lost)


class TestGaps:
    def test_a_hole_in_the_numbers_is_journaled(self, place: Place) -> None:
        life = life_of(place)
        life.send(life.decide(["a", "b"]))
        life.decide(["lost", "lost too", "and this"])
        life.send(life.decide(["c"]))
        gaps = place.events("SegmentGap")
        assert [one.detail for one in gaps] == [
            {
                "reason": "",
                "deployment": DEPLOYMENT,
                "instance": "here.1",
                "missing_from": 2,
                "missing_to": 4,
            }
        ]

    def test_a_life_that_begins_late_has_lost_its_beginning(self, sqlite_place: Place) -> None:
        life = life_of(sqlite_place)
        life.decide(["lost"])
        life.send(life.decide(["a"]))
        detail = sqlite_place.events("SegmentGap")[0].detail or {}
        assert (detail["missing_from"], detail["missing_to"]) == (0, 0)

    def test_segments_without_holes_leave_no_gap(self, sqlite_place: Place) -> None:
        life = life_of(sqlite_place)
        for _ in range(3):
            life.send(life.decide(["a", "b"]))
        assert sqlite_place.events("SegmentGap") == []
