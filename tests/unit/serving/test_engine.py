"""A call becomes decisions: the right variant, the policy applied, and everything recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pytest

from fixtures.serving import HASH_KEY, SIGNATURE, make_plan, split, v2_body
from millwright.core.clock import SystemClock
from millwright.core.digest import Digest, parse_digest
from millwright.core.errors import Failed, Invalid, NotFound, Unreachable
from millwright.core.ids import ModelVersionId
from millwright.journal import segments
from millwright.journal.segments import keyed_hash
from millwright.records.schema import Column, Signature
from millwright.records.serving import WEIGHT_TOTAL, Decision, Variant
from millwright.registry.package import LoadedModel
from millwright.registry.signature import Array, Columns
from millwright.serving.capture import Capture
from millwright.serving.engine import Caller, Engine
from millwright.serving.metrics import Metrics
from millwright.serving.models import ReadyModel, make_ready
from millwright.serving.protocol import Answer
from millwright.serving.protocols.inference_v2 import InferenceV2


def digest(n: int) -> Digest:
    return parse_digest(f"b3:{n:064x}")


def variant(n: int) -> Variant:
    return Variant(
        role="champion",
        version=n,
        model_version=ModelVersionId(f"mov_{n}"),
        digest=digest(n),
        package_digest=digest(100 + n),
        weight=WEIGHT_TOTAL,
    )


OLD, NEW = variant(1), variant(2)
PLAN = make_plan(OLD)


@dataclass
class Fixed:
    """A model that answers what it was told to, once it has been tried out."""

    answers: Mapping[str, Array] | Exception
    calls: int = 0
    tried_out: bool = False

    def predict(self, columns: Columns) -> dict[str, Array]:
        count = len(columns["a"])
        if not self.tried_out:
            return {"prediction": np.zeros(count)}
        self.calls += 1
        if isinstance(self.answers, Exception):
            raise self.answers
        return dict(self.answers)


class Bench:
    """An engine whose models say what a test wants."""

    def __init__(self, folder: Path, pool: ThreadPoolExecutor) -> None:
        self.folder = folder
        self.pool = pool
        self.metrics = Metrics()
        self.clock = SystemClock()
        self.capture = Capture(folder, instance="i", clock=self.clock, on_sealed=lambda: None)
        self.engine = Engine(capture=self.capture, metrics=self.metrics, clock=self.clock)

    def model(
        self,
        n: int,
        answers: Mapping[str, Sequence[object]] | Exception,
        *,
        classes: tuple[str | int, ...] = (),
        outputs: Sequence[Column] = SIGNATURE.outputs,
    ) -> ReadyModel:
        made = (
            answers
            if isinstance(answers, Exception)
            else {name: np.array(values) for name, values in answers.items()}
        )
        model = Fixed(made)
        ready = make_ready(
            LoadedModel(
                digest=digest(n),
                signature=Signature(inputs=SIGNATURE.inputs, outputs=list(outputs)),
                flavor="fixed",
                classes=classes,
                predictor=model,
            ),
            example={"a": [1.0], "b": [2.0]},
            pool=self.pool,
            clock=self.clock,
        )
        model.tried_out = True
        return ready

    def serve(self, answers: Mapping[str, Sequence[object]] | Exception) -> None:
        self.engine.deploy(PLAN, {OLD.package_digest: self.model(1, answers)})

    def ask(
        self,
        rows: Sequence[Sequence[float]] = ((1.0, 2.0),),
        *,
        caller: Caller | None = None,
        version: int | None = None,
        **parameters: str,
    ) -> Answer:
        call = InferenceV2().parse(v2_body(rows, **parameters))
        return asyncio.run(
            self.engine.decide("demo", call, caller=caller or Caller(), version=version)
        )

    def recorded(self) -> list[Decision]:
        found: list[Decision] = []
        for path in sorted(self.folder.rglob("*.wal")):
            lines = segments.recover(path.read_bytes()).lines
            made = segments.seal(
                lines, segment=segments.SegmentId("seg"), instance="i", seq=0, sealed_by="stop"
            )
            rows = segments.read_segment(made.index, made.payload)
            found += [row.decision for row in rows if row.decision is not None]
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ThreadPoolExecutor(1) as pool:
        yield Bench(tmp_path, pool)


def test_what_is_answered_is_what_is_recorded(bench: Bench) -> None:
    bench.serve({"prediction": [150.0, 20.0]})
    answer = bench.ask(((1.0, 2.0), (3.0, 4.0)), key="anna", subject="s", case="c")
    assert bench.recorded() == list(answer.decisions)
    first, second = answer.decisions
    assert (first.inputs, second.inputs) == ({"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 4.0})
    assert [(each.n, each.score, each.action) for each in answer.decisions] == [
        (0, 150.0, "yes"),
        (1, 20.0, "negative"),
    ]
    key = bytes.fromhex(HASH_KEY)
    hashes = (keyed_hash(key, "anna"), keyed_hash(key, "s"), keyed_hash(key, "c"))
    for each in answer.decisions:
        assert (each.key, each.subject, each.case) == hashes
        assert (each.policy, each.revision, each.version, each.digest) == ("p1", 1, 1, digest(1))
        assert each.queue_us >= 0 < each.time_us
        assert not each.slow
    assert [each.n for each in bench.ask(((1.0, 2.0), (3.0, 4.0))).decisions] == [2, 3]


def test_headers_come_before_parameters_and_no_key_is_the_decisions_own(bench: Bench) -> None:
    bench.serve({"prediction": [1.0]})
    key = bytes.fromhex(HASH_KEY)
    (named,) = bench.ask(caller=Caller(key="header"), key="body").decisions
    assert named.key == keyed_hash(key, "header")
    (nameless,) = bench.ask().decisions
    assert nameless.key == keyed_hash(key, nameless.id)
    assert (nameless.subject, nameless.case) == (None, None)
    with pytest.raises(Invalid, match="the key has 2000 characters"):
        bench.ask(key="k" * 2000)


def test_the_candidate_gets_the_keys_of_its_share(bench: Bench) -> None:
    models = {
        OLD.package_digest: bench.model(1, {"prediction": [1.0]}),
        NEW.package_digest: bench.model(2, {"prediction": [2.0]}),
    }
    bench.engine.deploy(make_plan(*split(OLD, NEW, 3000)), models)
    seen = {n: bench.ask(key=str(n)).variant for n in range(200)}
    assert 30 < sum(each.version == 2 for each in seen.values()) < 90
    assert {each.version: each.role for each in seen.values()} == {1: "champion", 2: "candidate"}
    bench.engine.deploy(make_plan(*split(OLD, NEW, 6000), revision=2), models)
    for n, before in seen.items():
        assert before.version == 1 or bench.ask(key=str(n)).variant.version == 2


def test_a_version_asked_for_answers_and_is_no_evidence(bench: Bench) -> None:
    models = {
        OLD.package_digest: bench.model(1, {"prediction": [1.0]}),
        NEW.package_digest: bench.model(2, {"prediction": [2.0]}),
    }
    plan = msgspec.structs.replace(make_plan(*split(OLD, NEW, 1)), rollout="rol_1", slow_after_us=0)
    bench.engine.deploy(plan, models)
    asked = bench.ask(version=2)
    assert asked.outputs["prediction"].data == [2.0]
    assert (asked.decisions[0].rollout, asked.decisions[0].role) == (None, "candidate")
    assert bench.ask().decisions[0].rollout == "rol_1"
    assert asked.decisions[0].slow
    with pytest.raises(NotFound, match=r"version 3 of 'demo' is not loaded\nloaded: 1, 2"):
        bench.ask(version=3)
    with pytest.raises(NotFound, match="no deployment 'other'"):
        bench.engine.get("other")


def test_a_failing_model_is_a_decision_without_an_answer(bench: Bench) -> None:
    bench.serve(ValueError("a is -1, a secret"))
    answer = bench.ask()
    assert isinstance(answer.error, Failed)
    assert "secret" not in answer.error.what
    (decision,) = bench.recorded()
    assert decision.error == "the model failed to answer (ValueError): a is -1, a secret"
    assert (decision.prediction, decision.score, decision.action) == (None, None, "")
    assert "millwright_prediction_errors_total" in bench.metrics.render([]).decode()
    series = bench.metrics.series(deployment="demo", model="affine", version=1)
    assert (series.predictions, series.errors) == (1, 1)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"prediction": [1.0, 2.0]}, "for 1 rows"),
        ({"prediction": [float("nan")]}, "not a finite number"),
        ({"prediction": [float("inf")]}, "not a finite number"),
        ({"prediction": [[[1.0]]]}, "the shape"),
    ],
)
def test_an_answer_that_is_none_is_an_error(
    bench: Bench, answers: Mapping[str, Sequence[object]], words: str
) -> None:
    bench.serve(answers)
    answer = bench.ask()
    assert answer.error is not None
    assert words in (answer.decisions[0].error or "")


@pytest.mark.parametrize(
    ("answers", "classes", "score", "action"),
    [
        # A binary classifier: the probability of its second class against the threshold.
        ({"prediction": [0], "probability": [0.99]}, (0, 1), 0.99, "negative"),
        ({"prediction": ["b"], "probability": [100.0]}, ("a", "b"), 100.0, "yes"),
        # Three classes: the likeliest, and its name.
        ({"prediction": ["b"], "probability": [[0.1, 0.7, 0.2]]}, ("a", "b", "c"), 0.7, "b"),
        ({"prediction": [2]}, (0, 1, 2), 2.0, "2"),
        # No probability: the number itself, or the text.
        ({"prediction": [100]}, (), 100.0, "yes"),
        ({"prediction": [True]}, (False, True), 1.0, "negative"),
        ({"prediction": ["b"]}, ("a", "b"), None, "b"),
    ],
)
def test_a_score_becomes_an_action_by_the_policy(
    bench: Bench,
    answers: Mapping[str, Sequence[object]],
    classes: tuple[str | int, ...],
    score: float | None,
    action: str,
) -> None:
    bench.engine.deploy(PLAN, {OLD.package_digest: bench.model(1, answers, classes=classes)})
    (decision,) = bench.ask().decisions
    assert (decision.score, decision.action) == (score, action)
    assert decision.prediction == answers["prediction"][0]


def test_what_is_the_callers_fault_is_no_decision(bench: Bench) -> None:
    bench.serve({"prediction": [1.0]})
    with pytest.raises(Invalid):
        bench.ask(((1.0, 2.0, 3.0),))
    bench.ask()
    assert [each.n for each in bench.recorded()] == [0]


def test_what_cannot_be_recorded_is_not_answered(bench: Bench) -> None:
    bench.serve({"prediction": [1.0]})
    (bench.folder / "i").write_text("in the way")
    with pytest.raises(Unreachable, match="cannot be recorded, and so it is not taken"):
        bench.ask()
    assert bench.metrics.refused_captures == 1
    (bench.folder / "i").unlink()
    assert bench.ask().decisions[0].n == 0


def test_a_removed_deployment_is_not_found(bench: Bench) -> None:
    bench.serve({"prediction": [1.0]})
    bench.engine.remove("demo")
    with pytest.raises(NotFound):
        bench.ask()


@pytest.mark.parametrize("key", ["", "00", "zz" * 32])
def test_a_hash_key_that_is_none_is_refused(bench: Bench, key: str) -> None:
    plan = msgspec.structs.replace(PLAN, hash_key=key)
    with pytest.raises(Invalid, match="hash key"):
        bench.engine.deploy(plan, {OLD.package_digest: bench.model(1, {"prediction": [1.0]})})
