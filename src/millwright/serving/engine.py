"""The engine: a call becomes decisions.

Plan, variant, validation by the model's signature, the model, the policy, the record; in this
order, for every protocol. A request that fits no signature is the caller's fault and no
decision. From there on every row is one, also when the model fails, takes too long or is
overloaded: then the decision says why there was no answer, and the caller gets an error. There
is no silent fallback to another version: it would hide the very thing a rollout looks for.

Runs in the event loop; `deploy` and `remove` may be called from any thread. A call that began
on a version ends on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from millwright.core.clock import Clock
from millwright.core.digest import Digest
from millwright.core.errors import (
    Failed,
    Invalid,
    MillwrightError,
    NotFound,
    TimedOut,
    Unreachable,
)
from millwright.core.ids import DecisionId, new_id
from millwright.core.refs import did_you_mean
from millwright.journal.segments import keyed_hash
from millwright.records.schema import ColumnKind
from millwright.records.serving import Cell, Decision, DecisionPolicy, DeploymentPlan, Variant
from millwright.registry.signature import PREDICTION, PROBABILITY, Array
from millwright.serving.batching import Outcome
from millwright.serving.capture import Capture, DecisionLog
from millwright.serving.metrics import Metrics, Series
from millwright.serving.models import ReadyModel
from millwright.serving.protocol import Answer, Batch, Call, Output
from millwright.serving.routing import check_variants, choose

MAX_KEY_CHARS = 1024
_KINDS: dict[str, ColumnKind] = {"b": "boolean", "i": "integer", "u": "integer", "f": "float"}


@dataclass(frozen=True, slots=True)
class Deployed:
    """A plan that is acted on, with the models it names."""

    plan: DeploymentPlan
    models: Mapping[Digest, ReadyModel]
    """By package."""
    hash_key: bytes
    log: DecisionLog
    series: Mapping[int, Series]

    def model(self, variant: Variant) -> ReadyModel:
        """Return the model of one of the plan's variants."""
        return self.models[variant.package_digest]

    def variant(self, version: int) -> Variant:
        """Return the variant with that version; raises NotFound when it is not loaded."""
        for variant in self.plan.variants:
            if variant.version == version:
                return variant
        loaded = ", ".join(str(variant.version) for variant in self.plan.variants)
        raise NotFound(
            f"version {version} of {self.plan.name!r} is not loaded", why=f"loaded: {loaded}"
        )


@dataclass(frozen=True, slots=True)
class Caller:
    """What a request's headers say about it; the body's own parameters come after them."""

    key: str | None = None
    subject: str | None = None
    case: str | None = None


class Engine:
    """Answers calls to deployments."""

    def __init__(self, *, capture: Capture, metrics: Metrics, clock: Clock) -> None:
        self._capture = capture
        self._metrics = metrics
        self._clock = clock
        self._deployed: dict[str, Deployed] = {}

    def deploy(self, plan: DeploymentPlan, models: Mapping[Digest, ReadyModel]) -> None:
        """Act on `plan` from the next call on; raises Invalid when it makes no sense."""
        check_variants(plan.variants)
        deployed = Deployed(
            plan=plan,
            models={each.package_digest: models[each.package_digest] for each in plan.variants},
            hash_key=_hash_key(plan),
            log=self._capture.log(plan.deployment),
            series={
                each.version: self._metrics.series(
                    deployment=plan.name, model=plan.model, version=each.version
                )
                for each in plan.variants
            },
        )
        # One reference is replaced by another: a call sees the plan before or after, whole.
        self._deployed = {**self._deployed, plan.name: deployed}

    def remove(self, name: str) -> None:
        """Answer no more calls to `name`."""
        self._deployed = {key: each for key, each in self._deployed.items() if key != name}

    def deployed(self) -> Mapping[str, Deployed]:
        """Return what is deployed now, by name."""
        return self._deployed

    def get(self, name: str) -> Deployed:
        """Return a deployment; raises NotFound."""
        found = self._deployed.get(name)
        if found is None:
            known = list(self._deployed)
            raise NotFound(f"no deployment {name[:80]!r} here", fix=did_you_mean(name, known))
        return found

    async def decide(
        self, name: str, call: Call, *, caller: Caller, version: int | None = None
    ) -> Answer:
        """Answer a call to the deployment `name`, by one version of the caller's choice or by key.

        Raises NotFound and Invalid for what is the caller's to mend, and Unreachable when the
        decisions cannot be recorded. Whatever goes wrong with the model is in the answer.
        """
        arrived_s = self._clock.monotonic_s()
        deployed = self.get(name)
        plan = deployed.plan
        first = DecisionId(new_id("dec"))
        key = _checked(caller.key or call.key, "key") or first
        subject = _checked(caller.subject or call.subject, "subject")
        case = _checked(caller.case or call.case, "case")
        if version is None:
            variant = choose(plan.variants, salt=plan.salt, key=key)
        else:
            variant = deployed.variant(version)
        model = deployed.model(variant)
        batch = call.batch(model.signature)
        count = len(batch.rows)

        error: MillwrightError | None = None
        outputs: dict[str, Output] = {}
        began_s = ended_s = arrived_s
        try:
            outcome = await self._predict(model, batch)
            began_s, ended_s = outcome.began_s, outcome.ended_s
            outputs = {each: _output(each, v, count) for each, v in outcome.outputs.items()}
        except (TimedOut, Unreachable) as raised:
            error, ended_s = raised, self._clock.monotonic_s()
        except Exception as raised:  # noqa: BLE001 (a model may raise anything)
            error, ended_s = _model_failed(raised), self._clock.monotonic_s()

        taken_s = ended_s - arrived_s
        slow = plan.slow_after_us is not None and taken_s * 1e6 > plan.slow_after_us
        scores, actions = _apply(plan.policy, outputs, count, n_classes=model.n_classes)
        predictions = outputs[PREDICTION].data if outputs else [None] * count
        hashed = keyed_hash(deployed.hash_key, key)
        decisions = [
            Decision(
                id=first if at == 0 else DecisionId(new_id("dec")),
                n=deployed.log.next_n + at,
                time_us=self._clock.now_us(),
                deployment=plan.deployment,
                revision=plan.revision,
                role=variant.role,
                version=variant.version,
                digest=variant.digest,
                inputs=batch.rows[at],
                key=hashed,
                prediction=predictions[at],
                score=scores[at],
                policy=plan.policy.version,
                action=actions[at],
                subject=None if subject is None else keyed_hash(deployed.hash_key, subject),
                case=None if case is None else keyed_hash(deployed.hash_key, case),
                error=None if error is None else _one_line(error),
                queue_us=int((began_s - arrived_s) * 1e6),
                model_us=int((ended_s - began_s) * 1e6),
                slow=slow,
                # A caller who names the version is no evidence of what random keys meet.
                rollout=plan.rollout if version is None else None,
            )
            for at in range(count)
        ]
        self._record(deployed.log, decisions)
        deployed.series[variant.version].observe(
            rows=count, seconds=taken_s, error=error is not None, slow=slow
        )
        return Answer(name, variant, decisions, outputs, error)

    async def _predict(self, model: ReadyModel, batch: Batch) -> Outcome:
        if len(batch.rows) > model.inline_rows:
            return await model.batcher.predict(batch.columns, len(batch.rows))
        began_s = self._clock.monotonic_s()
        outputs = model.predictor.predict(batch.columns)
        return Outcome(outputs, began_s, self._clock.monotonic_s())

    def _record(self, log: DecisionLog, decisions: Sequence[Decision]) -> None:
        try:
            log.append(decisions)
        except MillwrightError as error:
            self._metrics.refused_captures += len(decisions)
            raise Unreachable(
                "this decision cannot be recorded, and so it is not taken",
                why=error.what,
                fix="try again later; the operator finds the reason in this process's log",
            ) from error


def _hash_key(plan: DeploymentPlan) -> bytes:
    try:
        key = bytes.fromhex(plan.hash_key)
    except ValueError as error:
        raise Invalid(f"the hash key of {plan.name!r} is not hexadecimal") from error
    if len(key) != 32:
        raise Invalid(f"the hash key of {plan.name!r} has {len(key)} bytes, not 32")
    return key


def _checked(text: str | None, what: str) -> str | None:
    """Return `text`, which comes from a caller; raises Invalid when it is too long."""
    if text is not None and len(text) > MAX_KEY_CHARS:
        raise Invalid(f"the {what} has {len(text)} characters", why=f"at most {MAX_KEY_CHARS}")
    return text


def _output(name: str, values: Array, count: int) -> Output:
    """Return an output as it is answered and captured; raises Failed when it cannot be."""
    if values.ndim not in (1, 2) or len(values) != count:
        raise Failed(f"the model gave {name!r} the shape {values.shape} for {count} rows")
    data = cast("list[Cell]", values.reshape(-1).tolist())
    kind = _KINDS.get(values.dtype.kind, "text")
    # JSON has no infinity; and what is no number is no answer.
    if kind == "float" and not all(map(math.isfinite, cast("list[float]", data))):
        raise Failed(f"the model's {name!r} is not a finite number")
    return Output(kind, list(values.shape), data)


def _apply(
    policy: DecisionPolicy, outputs: Mapping[str, Output], count: int, *, n_classes: int
) -> tuple[list[float | None], list[str]]:
    """Return each row's score and what the policy makes of it.

    The score is the probability of the second class, or of the likeliest where there are more
    than two, or the prediction itself where there is no probability. A threshold is about one
    score: among more than two classes the action is the predicted class, and so it is where a
    prediction is text and has no probability.
    """
    if not outputs:
        return [None] * count, [""] * count
    predictions = outputs[PREDICTION]
    source = outputs.get(PROBABILITY, predictions)
    if source.kind == "text":
        return [None] * count, [str(value) for value in predictions.data]
    numbers = [float(value) for value in cast("list[float]", source.data)]
    scores: list[float | None]
    if len(source.shape) == 2:
        width = source.shape[1]
        scores = [max(numbers[at : at + width]) for at in range(0, len(numbers), width)]
    else:
        scores = [*numbers]
    if len(source.shape) == 2 or n_classes > 2:
        return scores, [str(value) for value in predictions.data]
    return scores, [
        policy.action_at_or_above if number >= policy.threshold else policy.action_below
        for number in numbers
    ]


def _model_failed(raised: Exception) -> Failed:
    # The text of a library's error may hold a caller's data: it is captured, not answered.
    return Failed(f"the model failed to answer ({type(raised).__name__})", why=str(raised)[:300])


def _one_line(error: MillwrightError) -> str:
    return ": ".join(part for part in (error.what, error.why) if part)
