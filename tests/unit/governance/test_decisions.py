from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from fixtures import verifier
from fixtures.homes import DEPLOYMENT, TRAINED_ROWS, Place, ServingLife, table
from millwright.artifacts.store import key_of
from millwright.core.digest import Digest
from millwright.core.errors import Corrupt, Denied, Invalid, NeedsApproval, NotFound
from millwright.core.ids import DecisionId, new_id
from millwright.doors.audit import Proof
from millwright.doors.decisions import SegmentProof
from millwright.records.serving import Cell, Decision, Label, Segment


def inputs(count: int) -> Sequence[Mapping[str, Cell]]:
    """Rows that no forest was fitted on."""
    return table().drop("y", "id").slice(TRAINED_ROWS, count).to_dicts()


def answered(place: Place, count: int = 5) -> tuple[list[Decision], Segment]:
    """Deploy v1 and have it take decisions, which are sealed."""
    place.deployed()
    life = ServingLife(place)
    taken = life.decide([f"key {at}" for at in range(count)], inputs=inputs(count))
    return taken, life.send(taken)


def stored(place: Place, digest: Digest) -> Path:
    """Return the file in which an artifact is kept."""
    return Path(place.home.artifacts.backend.place(key_of(digest)))


def inclusion(proof: SegmentProof | Proof) -> verifier.Inclusion:
    return {
        "index": proof.index,
        "size": proof.size,
        "leaf": bytes.fromhex(proof.leaf).decode(),
        "path": proof.path,
        "root": proof.root,
    }


class TestChain:
    def test_it_leads_back_to_data_run_verdict_approval_and_alias(self, place: Place) -> None:
        data = place.home.datasets.add(place.act, "people", table())
        ref = place.trained(data=data)
        report = place.judged(ref)
        place.me.models.promote(ref=ref, reason="it passed")
        place.me.deployments.create(name=DEPLOYMENT, model=ref)
        life = ServingLife(place)
        taken = life.decide(["a", "b"], inputs=inputs(2))
        segment = life.send(taken)
        place.me.labels.add(
            deployment=DEPLOYMENT, labels=[Label(decision=taken[1].id, value=0, time_us=5)]
        )

        chain = place.me.decisions.show(id=taken[1].id)
        assert chain.decision == taken[1]
        assert chain.label == 0
        assert chain.segment == segment.header
        assert chain.model_version == place.me.models.show(ref=ref)
        assert chain.run == place.me.runs.show(ref="latest")
        assert chain.datasets == [data]
        assert chain.gates == [report]
        assert chain.approvals == []
        assert [(one.version, one.reason) for one in chain.aliases] == [(1, "it passed")]
        assert place.me.decisions.show(id=taken[0].id).label is None

    def test_a_version_without_a_run_has_no_data_behind_it(self, sqlite_place: Place) -> None:
        taken, _ = answered(sqlite_place)
        chain = sqlite_place.me.decisions.show(id=taken[0].id)
        assert (chain.run, chain.datasets) == (None, [])

    def test_approvals_are_part_of_it(self, sqlite_place: Place) -> None:
        place = sqlite_place
        ref = place.passed(risk="high")
        with pytest.raises(NeedsApproval):
            place.me.models.promote(ref=ref)
        place.person("bob", "approver").models.approve(ref=ref, reason="looked at it")
        place.me.models.promote(ref=ref)
        place.me.deployments.create(name=DEPLOYMENT, model=ref)
        life = ServingLife(place)
        taken = life.decide(["a"])
        life.send(taken)
        chain = place.me.decisions.show(id=taken[0].id)
        assert [(one.state, one.decision_reason) for one in chain.approvals] == [
            ("used", "looked at it")
        ]

    def test_it_stays_that_of_the_version_that_decided(self, sqlite_place: Place) -> None:
        place = sqlite_place
        taken, _ = answered(place)
        second = place.passed(1)
        place.me.models.promote(ref=second)
        chain = place.me.decisions.show(id=taken[0].id)
        assert chain.model_version.version == 1
        assert [one.version for one in chain.aliases] == [1, 2]

    def test_who_reads_a_decision_is_journaled(self, place: Place) -> None:
        taken, _ = answered(place)
        ann = place.person("ann", "auditor")
        ann.decisions.show(id=taken[0].id)
        read = place.events("DecisionRead")
        assert [(one.actor, one.detail) for one in read] == [
            (
                ann.session.principal.actor,
                {"reason": "", "deployment": DEPLOYMENT, "how": "show"},
            )
        ]
        assert read[0].subjects[0].id == taken[0].id

    def test_an_editor_sees_no_single_decision(self, sqlite_place: Place) -> None:
        taken, _ = answered(sqlite_place)
        with pytest.raises(Denied, match=r"decision\.read"):
            sqlite_place.person("eve").decisions.show(id=taken[0].id)
        assert sqlite_place.events("DecisionRead") == []


class TestProofs:
    def test_both_hold_before_a_verifier_that_knows_nothing_of_ours(self, place: Place) -> None:
        taken, segment = answered(place, 7)
        leaves = place.home.artifacts.read_bytes(segment.header.index_digest).decode().split("\n")
        rows = [line for line in leaves if line]
        root = base64.b64encode(bytes.fromhex(segment.header.root)).decode()
        for decision in taken:
            shown = place.me.decisions.show(id=decision.id)
            assert shown.in_segment.root == segment.header.root
            assert decision.id in bytes.fromhex(shown.in_segment.leaf).decode()
            verifier.check(
                {
                    "leaves": rows,
                    "proofs": [inclusion(shown.in_segment)],
                    "consistency": [],
                    "checkpoint": f"segment\n{len(rows)}\n{root}\n",
                }
            )

    def test_the_journal_holds_the_segments_root(self, place: Place) -> None:
        taken, segment = answered(place)
        shown = place.me.decisions.show(id=taken[2].id).in_journal
        assert shown.event == segment.event
        assert segment.header.root in bytes.fromhex(shown.leaf).decode()
        with place.home.database.read() as tx:
            leaves = tx.column(bytes, "SELECT leaf FROM event ORDER BY place")
        bundle: verifier.Bundle = {
            "leaves": [leaf.decode() for leaf in leaves][: shown.size],
            "proofs": [inclusion(shown)],
            "consistency": [],
            "checkpoint": shown.checkpoint,
        }
        verifier.check(bundle)
        forged = inclusion(shown)
        forged["leaf"] = bundle["leaves"][0]
        bundle["proofs"] = [forged]
        with pytest.raises(ValueError, match="does not hold"):
            verifier.check(bundle)


class TestFinding:
    def test_an_id_that_no_segment_holds_is_not_found(self, place: Place) -> None:
        place.deployed()
        life = ServingLife(place)
        before = life.decide(["a", "b"])
        between = DecisionId(new_id("dec"))
        life.send([*before, *life.decide(["c", "d"])])
        # One between two of the segment's own, so that the segment is looked into.
        for missing in (between, DecisionId(new_id("dec"))):
            with pytest.raises(NotFound, match="no sealed segment holds the decision"):
                place.me.decisions.show(id=missing)
        assert place.events("DecisionRead") == []

    def test_what_is_no_decisions_id_is_said_to_be_none(self, sqlite_place: Place) -> None:
        for text in ("", "dec_1", "run_" + "0" * 26, "dec_" + "u" * 26):
            with pytest.raises(Invalid):
                sqlite_place.me.decisions.show(id=DecisionId(text))

    def test_an_id_is_found_in_any_spelling(self, sqlite_place: Place) -> None:
        taken, _ = answered(sqlite_place)
        shown = sqlite_place.me.decisions.show(id=DecisionId(taken[1].id.upper()))
        assert shown.decision == taken[1]

    def test_another_project_knows_nothing_of_it(self, sqlite_place: Place) -> None:
        taken, _ = answered(sqlite_place)
        sqlite_place.me.access.create_project(name="other")
        other = sqlite_place.home.door(sqlite_place.me.session.principal, "other")
        with pytest.raises(NotFound):
            other.decisions.show(id=taken[0].id)

    def test_a_payload_that_was_changed_on_disk_is_named(self, sqlite_place: Place) -> None:
        taken, segment = answered(sqlite_place)
        path = stored(sqlite_place, segment.header.payload_digest)
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:-3])
        with pytest.raises(Corrupt):
            sqlite_place.me.decisions.show(id=taken[0].id)

    def test_of_an_erased_payload_it_says_that_it_was_erased(self, sqlite_place: Place) -> None:
        taken, segment = answered(sqlite_place)
        stored(sqlite_place, segment.header.payload_digest).unlink()
        with pytest.raises(NotFound, match="has been erased"):
            sqlite_place.me.decisions.show(id=taken[0].id)
