"""Labels come late, twice, wrong and for nobody; each is counted, and the newest wins."""

from __future__ import annotations

import hmac

import msgspec
import pytest

from fixtures.monitoring import World
from millwright.core.digest import PREFIX, digest_bytes, parse_digest
from millwright.core.errors import Invalid, NotFound
from millwright.core.ids import DecisionId, new_id
from millwright.monitoring.labels import MAX_LABELS, Labels, Taken
from millwright.monitoring.performance import Outcomes
from millwright.records.serving import Cell, Label


def labels_of(world: World) -> Labels:
    return Labels(world.database, world.artifacts, world.journal, world.clock)


def labelled(decision: DecisionId, value: Cell, time_us: int = 0) -> Label:
    return Label(decision=decision, value=value, time_us=time_us)


class Batch(msgspec.Struct):
    id: str
    salt: str
    labels: msgspec.Raw


def read_batch(data: bytes) -> Batch:
    return msgspec.json.decode(data, type=Batch)


def accuracy(world: World) -> float | None:
    outcomes = Outcomes(world.database, world.artifacts)
    return outcomes.performance(world.act.project_key, "demo").accuracy


def test_labels_are_joined_kept_and_corrected(world: World) -> None:
    world.add_version([{"x": 1.0}])
    first = world.decide([{"x": 1.0}] * 3, predictions=[1, 1, 0])
    second = world.decide([{"x": 1.0}] * 2, predictions=[1, 1])
    nobody = DecisionId(new_id("dec"))
    labels = labels_of(world)
    taken = labels.add(
        world.act,
        "demo",
        [labelled(one.id, 1) for one in [*first, second[0]]] + [labelled(nobody, 1)],
    )
    assert taken == Taken(joined=4, unknown=1, corrected=0)
    assert accuracy(world) == 0.75
    world.clock.advance(1)
    again = labels.add(world.act, "demo", [labelled(first[2].id, 0), labelled(first[0].id, 1)])
    assert again == Taken(joined=2, unknown=0, corrected=1)
    assert accuracy(world) == 1.0


def test_a_label_older_than_the_one_there_changes_nothing(sqlite_world: World) -> None:
    world = sqlite_world
    world.add_version([{"x": 1.0}])
    (one,) = world.decide([{"x": 1.0}], predictions=[1])
    labels = labels_of(world)
    labels.add(world.act, "demo", [labelled(one.id, 1, 50)])
    assert labels.add(world.act, "demo", [labelled(one.id, 0, 40)]).corrected == 0
    assert accuracy(world) == 1.0
    batch = [labelled(one.id, 0, 90), labelled(one.id, 1, 60)]
    assert labels.add(world.act, "demo", batch) == Taken(joined=1, unknown=0, corrected=1)
    assert accuracy(world) == 0.0


def test_a_label_may_come_before_its_decision(sqlite_world: World) -> None:
    world = sqlite_world
    world.add_version([{"x": 1.0}])
    first = world.decide([{"x": 1.0}], predictions=[1])[0]
    waiting = DecisionId(new_id("dec"))
    taken = labels_of(world).add(world.act, "demo", [labelled(first.id, 0), labelled(waiting, 1)])
    assert taken == Taken(joined=1, unknown=1, corrected=0)
    made = world.decide([{"x": 1.0}], predictions=[1])[0]
    outcomes = Outcomes(world.database, world.artifacts)
    found = outcomes.performance(world.act.project_key, "demo")
    assert (found.decisions, found.labelled) == (2, 1)
    labels_of(world).add(world.act, "demo", [labelled(made.id, 1)])
    assert accuracy(world) == 0.5


def test_the_journal_commits_to_the_batch(sqlite_world: World) -> None:
    world = sqlite_world
    world.add_version([{"x": 1.0}])
    (one,) = world.decide([{"x": 1.0}])
    batch = [labelled(one.id, "yes")]
    for _ in range(2):
        labels_of(world).add(world.act, "demo", batch)
    events = world.journal.events(kinds=["LabelsAdded"])
    told = [s for event in events for s in event.subjects if s.kind == "labels"]
    # Salted: the same labels twice cannot be told from others by what commits to them.
    assert len({subject.digest for subject in told}) == 2
    stored: list[bytes] = []
    for key in world.artifacts.backend.list_keys():
        data = world.artifacts.read_bytes(parse_digest(PREFIX + key.replace("/", "")))
        # Nothing in the journal is the address of a batch.
        assert not {digest_bytes(data)}.intersection(
            text for s in told for text in (s.id, s.digest)
        )
        stored += [data] if data.startswith(b'{"id":"lab_') else []
    batches = {found.id: found for found in map(read_batch, stored)}
    assert batches.keys() == {subject.id for subject in told}
    for subject in told:
        found = batches[subject.id]
        made = hmac.new(bytes.fromhex(found.salt), bytes(found.labels), "sha256").hexdigest()
        assert subject.digest == f"sha256:{made}"
        assert one.id.encode() in bytes(found.labels)
    assert labels_of(world).add(world.act, "demo", []) == Taken(0, 0, 0)
    assert len(world.journal.events(kinds=["LabelsAdded"])) == 2


def test_what_cannot_be_a_label_is_refused_whole(sqlite_world: World) -> None:
    world = sqlite_world
    world.add_version([{"x": 1.0}])
    (one,) = world.decide([{"x": 1.0}], predictions=[1])
    labels = labels_of(world)
    with pytest.raises(Invalid, match="not the id of a decision"):
        labels.add(world.act, "demo", [labelled(one.id, 1), labelled(DecisionId("run_1"), 1)])
    for value in (None, float("nan")):
        with pytest.raises(Invalid, match="has no value"):
            labels.add(world.act, "demo", [labelled(one.id, value)])
    with pytest.raises(Invalid, match="came at once"):
        labels.add(world.act, "demo", [labelled(one.id, 1)] * (MAX_LABELS + 1))
    with pytest.raises(NotFound, match="no deployment 'nope'"):
        labels.add(world.act, "nope", [])
    assert accuracy(world) is None
