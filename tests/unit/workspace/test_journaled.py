"""Every change through the doors of tracking and registry stands in the journal.

What is logged to a run while it runs does not, one by one: the event at its end carries a digest
over all of it, and what is logged later is an event of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import pytest
from msgspec.structs import replace

from fixtures.homes import SOURCE, Place
from millwright.core.digest import digest_bytes
from millwright.core.errors import NeedsApproval
from millwright.core.ids import LoggedModelId, RunId, WebhookId, to_hex
from millwright.doors.door import NOUNS
from millwright.doors.operation import operations_of
from millwright.records.access import Permission
from millwright.records.events import Event
from millwright.records.runs import (
    ArtifactFile,
    LoggedDataset,
    MetricPoint,
    ModelUse,
    RunLink,
)
from millwright.workspace.open import Workspace

WATCHED = ("experiments", "files", "logged_models", "models", "runs", "webhooks")
CHANGES = {
    Permission.RUN_WRITE,
    Permission.MODEL_REGISTER,
    Permission.MODEL_PROMOTE,
    Permission.MODEL_APPROVE,
    Permission.PROJECT_WRITE,
    Permission.RULE_WRITE,
}
TELEMETRY = {
    "files.put",
    "logged_models.log_metrics",
    "logged_models.log_params",
    "runs.log_artifacts",
    "runs.log_batch",
    "runs.log_metrics",
    "runs.log_params",
    "runs.set_tags",
}
"""No events while a run runs; those not covered by its digest have an entry below as well."""
NO_CHANGE = {"webhooks.test"}
POINTS = [MetricPoint(key="auc", value=0.9)]
HOOK = "https://hooks.example.com/x"


@dataclass
class World:
    """Things to be changed."""

    place: Place

    @property
    def me(self) -> Workspace:
        """The door."""
        return self.place.me

    @cached_property
    def run(self) -> RunId:
        """A run that runs."""
        return self.me.runs.start(name="fit", source=SOURCE).id

    @cached_property
    def ended(self) -> RunId:
        """A run that has ended, with a tag."""
        run = self.me.runs.start(name="done", source=SOURCE, tags={"a": "1"}).id
        self.me.runs.finish(run=run)
        return run

    @cached_property
    def logged(self) -> LoggedModelId:
        """A logged model, with a tag."""
        return self.me.logged_models.create(
            experiment="Default", name="net", run=self.run, tags={"a": "1"}
        ).id

    @cached_property
    def experiment(self) -> str:
        """An experiment, with a tag."""
        return self.me.experiments.create(name="exp", tags={"a": "1"}).name

    @cached_property
    def model(self) -> str:
        """A model without policy, with a tag."""
        return self.me.models.create(name="churn", governed=False, tags={"a": "1"}).name

    @cached_property
    def version(self) -> str:
        """A version of that model, with a tag."""
        assert self.model
        ref = self.place.version(0)
        self.me.models.set_version_tags(ref=ref, tags={"a": "1"})
        return ref

    @cached_property
    def pickle(self) -> str:
        """A version whose files run code."""
        return self.place.pickle()

    @cached_property
    def file(self) -> ArtifactFile:
        """Stored bytes and a path for them."""
        digest = self.place.home.artifacts.put_bytes(b"1")
        return ArtifactFile(path="model/weights", digest=digest, size_bytes=1)

    @cached_property
    def path(self) -> str:
        """The path of an artifact of the run."""
        self.me.runs.log_artifacts(run=self.run, files=[self.file])
        number = self.me.runs.show(ref=self.run).experiment_number
        folder = self.me.files.list_folder(folder=str(number))[0].path
        return f"{folder}/artifacts/model/weights"

    @cached_property
    def risky(self) -> str:
        """A version of a model of high risk, which its gate let pass."""
        return self.place.passed(name="risky", risk="high")

    @cached_property
    def approver(self) -> Workspace:
        """The door of somebody who may approve."""
        return self.place.person("bob", "approver")

    @cached_property
    def hook(self) -> WebhookId:
        """A webhook."""
        return self.place.home.webhooks.create(
            self.place.act, name="tell", url=HOOK, events=["prompt.created"]
        ).id


def promoted(world: World) -> None:
    world.me.models.promote(ref=world.version, alias="shadow")


def promoted_twice(world: World) -> None:
    promoted(world)
    world.me.models.promote(ref=world.place.version(1), alias="shadow")


def asked_for(world: World) -> None:
    """Have a version of high risk wait for somebody's yes."""
    assert world.approver
    with pytest.raises(NeedsApproval):
        world.me.models.promote(ref=world.risky)


def gone(world: World, delete: Callable[[], object]) -> None:
    """Delete something, and let time pass."""
    delete()
    world.place.clock.advance(1)


Prepare = Callable[[World], object]
Change = Callable[[World], object]

CASES: list[tuple[str, list[str], Prepare, Change]] = [
    (
        "experiments.create",
        ["ExperimentCreated"],
        lambda w: w.me,
        lambda w: w.me.experiments.create(name="new"),
    ),
    (
        "experiments.rename",
        ["ExperimentRenamed"],
        lambda w: w.experiment,
        lambda w: w.me.experiments.rename(ref="exp", name="other"),
    ),
    (
        "experiments.delete",
        ["ExperimentDeleted"],
        lambda w: w.experiment,
        lambda w: w.me.experiments.delete(ref="exp"),
    ),
    (
        "experiments.restore",
        ["ExperimentDeleted"],
        lambda w: w.me.experiments.delete(ref=w.experiment),
        lambda w: w.me.experiments.restore(ref="exp"),
    ),
    (
        "experiments.set_tags",
        ["ExperimentChanged"],
        lambda w: w.experiment,
        lambda w: w.me.experiments.set_tags(ref="exp", tags={"b": "2"}),
    ),
    (
        "experiments.delete_tag",
        ["ExperimentChanged"],
        lambda w: w.experiment,
        lambda w: w.me.experiments.delete_tag(ref="exp", key="a"),
    ),
    (
        "files.delete",
        ["ArtifactsRemoved"],
        lambda w: w.path,
        lambda w: w.me.files.delete(path=w.path),
    ),
    (
        "logged_models.create",
        ["LoggedModelCreated"],
        lambda w: w.run,
        lambda w: w.me.logged_models.create(experiment="Default", name="net", run=w.run),
    ),
    (
        "logged_models.finish",
        ["LoggedModelFinished"],
        lambda w: w.logged,
        lambda w: w.me.logged_models.finish(id=w.logged, status="ready"),
    ),
    (
        "logged_models.set_tags",
        ["LoggedModelChanged"],
        lambda w: w.logged,
        lambda w: w.me.logged_models.set_tags(id=w.logged, tags={"b": "2"}),
    ),
    (
        "logged_models.delete_tag",
        ["LoggedModelChanged"],
        lambda w: w.logged,
        lambda w: w.me.logged_models.delete_tag(id=w.logged, key="a"),
    ),
    (
        "logged_models.delete",
        ["LoggedModelDeleted"],
        lambda w: w.logged,
        lambda w: w.me.logged_models.delete(id=w.logged),
    ),
    (
        "logged_models.log_uses",
        ["RunAmended"],
        lambda w: (w.ended, w.logged),
        lambda w: w.me.logged_models.log_uses(
            run=w.ended, uses=[ModelUse(way="input", model=w.logged)]
        ),
    ),
    (
        "models.create",
        ["ModelCreated"],
        lambda w: w.me,
        lambda w: w.me.models.create(name="new"),
    ),
    (
        "models.describe",
        ["ModelChanged"],
        lambda w: w.model,
        lambda w: w.me.models.describe(name="churn", description="who leaves"),
    ),
    (
        "models.rename",
        ["ModelRenamed"],
        lambda w: w.model,
        lambda w: w.me.models.rename(name="churn", new_name="leavers"),
    ),
    (
        "models.set_tags",
        ["ModelChanged"],
        lambda w: w.model,
        lambda w: w.me.models.set_tags(name="churn", tags={"b": "2"}),
    ),
    (
        "models.delete_tag",
        ["ModelChanged"],
        lambda w: w.model,
        lambda w: w.me.models.delete_tag(name="churn", key="a"),
    ),
    (
        "models.delete",
        ["ModelDeleted"],
        lambda w: w.model,
        lambda w: w.me.models.delete(name="churn"),
    ),
    (
        "models.restore",
        ["ModelDeleted"],
        lambda w: w.me.models.delete(name=w.model),
        lambda w: w.me.models.restore(name="churn"),
    ),
    (
        "models.govern",
        ["ModelGoverned"],
        lambda w: w.model,
        lambda w: w.me.models.govern(name="churn", governed=True),
    ),
    (
        "models.register_source",
        ["ModelVersionRegistered"],
        lambda w: w.model,
        lambda w: w.me.models.register_source(name="churn", address="s3://elsewhere/x"),
    ),
    (
        "models.register",
        ["ModelVersionRegistered"],
        lambda w: w.model,
        lambda w: w.place.version(0),
    ),
    (
        "models.describe_version",
        ["ModelChanged"],
        lambda w: w.version,
        lambda w: w.me.models.describe_version(ref=w.version, description="better"),
    ),
    (
        "models.deprecate",
        ["ModelChanged"],
        lambda w: w.version,
        lambda w: w.me.models.deprecate(ref=w.version, reason="a leak"),
    ),
    (
        "models.set_version_tags",
        ["ModelChanged"],
        lambda w: w.version,
        lambda w: w.me.models.set_version_tags(ref=w.version, tags={"b": "2"}),
    ),
    (
        "models.delete_version_tag",
        ["ModelChanged"],
        lambda w: w.version,
        lambda w: w.me.models.delete_version_tag(ref=w.version, key="a"),
    ),
    (
        "models.move_stage",
        ["StageMoved"],
        lambda w: w.version,
        lambda w: w.me.models.move_stage(ref=w.version, stage="Staging", archive_others=False),
    ),
    (
        "models.delete_version",
        ["ModelDeleted"],
        lambda w: w.version,
        lambda w: w.me.models.delete_version(ref=w.version),
    ),
    (
        "models.restore_version",
        ["ModelDeleted"],
        lambda w: w.me.models.delete_version(ref=w.version),
        lambda w: w.me.models.restore_version(name="churn", version="1"),
    ),
    (
        "models.attest",
        ["ModelAttested"],
        lambda w: w.version,
        lambda w: w.me.models.attest(ref=w.version),
    ),
    (
        "models.allow_pickle",
        ["PickleRuled"],
        lambda w: w.pickle,
        lambda w: w.me.models.allow_pickle(ref=w.pickle, reason="ours"),
    ),
    (
        "models.refuse_pickle",
        ["PickleRuled"],
        lambda w: w.version,
        lambda w: w.me.models.refuse_pickle(ref=w.version),
    ),
    (
        "models.promote",
        ["AliasMoved"],
        lambda w: w.version,
        promoted,
    ),
    (
        "models.remove_alias",
        ["AliasMoved"],
        promoted,
        lambda w: w.me.models.remove_alias(name="churn", alias="shadow"),
    ),
    (
        "runs.start",
        ["ExperimentCreated", "RunStarted"],
        lambda w: w.me,
        lambda w: w.me.runs.start(name="fit", source=SOURCE),
    ),
    (
        "runs.finish",
        ["RunFinished"],
        lambda w: w.run,
        lambda w: w.me.runs.finish(run=w.run),
    ),
    (
        "runs.resume",
        ["RunResumed"],
        lambda w: w.ended,
        lambda w: w.me.runs.resume(run=w.ended),
    ),
    (
        "runs.schedule",
        ["RunScheduled"],
        lambda w: w.run,
        lambda w: w.me.runs.schedule(run=w.run),
    ),
    (
        "runs.rename",
        ["RunRenamed"],
        lambda w: w.run,
        lambda w: w.me.runs.rename(run=w.run, name="fit 2"),
    ),
    (
        "runs.delete",
        ["RunDeleted"],
        lambda w: w.run,
        lambda w: w.me.runs.delete(run=w.run),
    ),
    (
        "runs.restore",
        ["RunDeleted"],
        lambda w: w.me.runs.delete(run=w.run),
        lambda w: w.me.runs.restore(run=w.run),
    ),
    (
        "runs.purge",
        ["RunsPurged"],
        lambda w: gone(w, lambda: w.me.runs.delete(run=w.run)),
        lambda w: w.me.runs.purge(older_than_days=0),
    ),
    (
        "models.purge",
        ["ModelsPurged"],
        lambda w: gone(w, lambda: w.me.models.delete(name=w.model)),
        lambda w: w.me.models.purge(older_than_days=0),
    ),
    (
        "runs.amend",
        ["RunAmended"],
        lambda w: w.ended,
        lambda w: w.me.runs.amend(run=w.ended, points=POINTS),
    ),
    (
        "runs.delete_tag",
        ["RunAmended"],
        lambda w: w.ended,
        lambda w: w.me.runs.delete_tag(run=w.ended, key="a"),
    ),
    (
        "runs.log_datasets",
        ["RunAmended"],
        lambda w: w.ended,
        lambda w: w.me.runs.log_datasets(
            run=w.ended, datasets=[LoggedDataset(name="rows", digest="d")]
        ),
    ),
    (
        "webhooks.create",
        ["WebhookChanged"],
        lambda w: w.me,
        lambda w: w.hook,
    ),
    (
        "webhooks.change",
        ["WebhookChanged"],
        lambda w: w.hook,
        lambda w: w.me.webhooks.change(id=w.hook, status="disabled"),
    ),
    (
        "webhooks.delete",
        ["WebhookChanged"],
        lambda w: w.hook,
        lambda w: w.me.webhooks.delete(id=w.hook),
    ),
    (
        "models.rollback",
        ["AliasMoved"],
        promoted_twice,
        lambda w: w.me.models.rollback(name="churn", alias="shadow", reason="worse"),
    ),
    (
        "models.approve",
        ["ApprovalGranted"],
        asked_for,
        lambda w: w.approver.models.approve(ref=w.risky),
    ),
    (
        "models.reject",
        ["ApprovalRejected"],
        asked_for,
        lambda w: w.approver.models.reject(ref=w.risky, reason="not yet"),
    ),
]


def happened(place: Place, after: int) -> list[Event]:
    """Return the events after that many."""
    return place.home.journal.events(after=after - 1)


@pytest.mark.parametrize(("name", "kinds", "prepare", "change"), CASES, ids=[c[0] for c in CASES])
def test_a_change_stands_in_the_journal(
    sqlite_place: Place, name: str, kinds: list[str], prepare: Prepare, change: Change
) -> None:
    assert name
    world = World(sqlite_place)
    prepare(world)
    before = sqlite_place.home.journal.size()
    change(world)
    found = happened(sqlite_place, before)
    assert [event.kind for event in found] == kinds
    assert {event.project for event in found} == {sqlite_place.act.project}
    assert all(event.subjects for event in found)


def test_no_change_is_forgotten() -> None:
    every = {
        f"{noun}.{one.name}"
        for noun in WATCHED
        for one in operations_of(noun, NOUNS[noun])
        if one.operation.method != "GET" and one.operation.needs in CHANGES
    }
    assert every - {case[0] for case in CASES} == TELEMETRY | NO_CHANGE | {"runs.log_links"}


LOGGED: dict[str, Change] = {
    "runs.log_batch": lambda w: w.me.runs.log_batch(run=w.run, points=POINTS),
    "runs.log_params": lambda w: w.me.runs.log_params(run=w.run, params={"k": "v"}),
    "runs.log_metrics": lambda w: w.me.runs.log_metrics(run=w.run, points=POINTS),
    "runs.set_tags": lambda w: w.me.runs.set_tags(run=w.run, tags={"k": "v"}),
    "runs.log_links": lambda w: w.me.runs.log_links(
        run=w.run,
        links=[RunLink(way="input", name="x", what="artifact", id="x", digest=digest_bytes(b"x"))],
    ),
    "runs.log_datasets": lambda w: w.me.runs.log_datasets(
        run=w.run, datasets=[LoggedDataset(name="rows", digest="d")]
    ),
    "runs.log_artifacts": lambda w: w.me.runs.log_artifacts(run=w.run, files=[w.file]),
    "files.put": lambda w: w.me.files.put(
        files=[replace(w.file, path=f"0/{to_hex(w.run)}/artifacts/plot.png")]
    ),
    "logged_models.log_uses": lambda w: w.me.logged_models.log_uses(
        run=w.run, uses=[ModelUse(way="output", model=w.logged)]
    ),
}


@pytest.mark.parametrize("name", LOGGED)
def test_what_is_logged_is_covered_by_the_digest_at_the_end(sqlite_place: Place, name: str) -> None:
    world = World(sqlite_place)
    assert world.logged, "it needs the run"
    before = sqlite_place.home.journal.size()
    LOGGED[name](world)
    assert happened(sqlite_place, before) == []
    empty = sqlite_place.me.runs.start(name="empty", source=SOURCE).id
    digests = [sqlite_place.me.runs.finish(run=run).telemetry_digest for run in (world.run, empty)]
    assert digests[0] != digests[1]
    finished = sqlite_place.events("RunFinished")[0]
    assert [one.digest for one in finished.subjects] == [digests[0]]


def test_what_is_put_in_place_after_the_end_is_told(place: Place) -> None:
    world = World(place)
    world.me.logged_models.finish(id=world.logged, status="ready")
    assert world.ended
    before = place.home.journal.size()
    of_model = f"0/models/m-{to_hex(world.logged)}/artifacts/MLmodel"
    of_nobody = f"0/{'0' * 32}/artifacts/x"
    world.me.runs.log_artifacts(run=world.ended, files=[world.file])
    world.me.files.put(
        files=[replace(world.file, path=path) for path in (of_model, of_nobody, "stray/x")]
    )
    found = happened(place, before)
    assert [event.kind for event in found] == ["RunAmended", "LoggedModelChanged"]
    assert [[one.id for one in event.subjects] for event in found] == [
        [world.ended],
        [world.logged],
    ]
    assert all(event.subjects[0].digest is not None for event in found)


def test_the_end_of_a_logged_model_covers_its_files(sqlite_place: Place) -> None:
    world = World(sqlite_place)
    digests: list[str | None] = []
    for data in (b"1", b"2"):
        me = world.me.logged_models
        model = me.create(experiment="Default", name="net", run=world.run).id
        stored = sqlite_place.home.artifacts.put_bytes(data)
        path = f"0/models/m-{to_hex(model)}/artifacts/weights"
        world.me.files.put(files=[ArtifactFile(path=path, digest=stored, size_bytes=1)])
        me.finish(id=model, status="ready")
        event = sqlite_place.events("LoggedModelFinished")[-1]
        digests.append(event.subjects[0].digest)
    assert None not in digests
    assert digests[0] != digests[1]


def test_the_journal_tells_what_tags_became(sqlite_place: Place) -> None:
    world = World(sqlite_place)
    world.me.models.set_version_tags(ref=world.version, tags={"b": "2", "long": "x" * 5000})
    world.me.models.delete_version_tag(ref=world.version, key="b")
    said = [event.detail or {} for event in sqlite_place.events("ModelChanged")]
    assert [(one["tags"], one["removed"]) for one in said[-2:]] == [
        ({"b": "2", "long": None}, []),
        ({}, ["b"]),
    ]


def test_a_removed_artifact_is_told_of_its_run_and_its_model(sqlite_place: Place) -> None:
    world = World(sqlite_place)
    model = f"0/models/m-{to_hex(world.logged)}/artifacts/MLmodel"
    stray = "elsewhere/x"
    world.me.files.put(
        files=[replace(world.file, path=path) for path in (model, stray)],
    )
    for path in (world.path, model, stray):
        world.me.files.delete(path=path)
    assert world.me.files.delete(path=stray) == 0
    found = sqlite_place.events("ArtifactsRemoved")
    assert [[(one.kind, one.id) for one in event.subjects] for event in found] == [
        [("run", world.run)],
        [("logged_model", world.logged)],
        [],
    ]
    assert [(event.detail or {})["count"] for event in found] == [1, 1, 1]


def test_the_same_name_or_status_again_is_no_event(sqlite_place: Place) -> None:
    world = World(sqlite_place)
    world.me.logged_models.finish(id=world.logged, status="ready")
    before = sqlite_place.home.journal.size()
    world.me.runs.rename(run=world.run, name="fit")
    world.me.logged_models.finish(id=world.logged, status="ready")
    assert happened(sqlite_place, before) == []
