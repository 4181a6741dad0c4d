"""The Open Inference Protocol, version 2, over REST, with tensors as JSON.

`serving.tensors` says which tensors a model takes. Beside the protocol's own fields a request
may carry the parameters `key`, `subject` and `case`, and an answer carries `decision_id`,
`version` and `action`; for several rows `decision_ids` and `actions`, separated by commas, since
a parameter cannot be a list.

Source: kserve/open-inference-protocol, specification/protocol/inference_rest.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec
from msgspec import Struct

from millwright.core.errors import Invalid, NotFound
from millwright.core.version import VERSION
from millwright.records.schema import Signature
from millwright.records.serving import Cell
from millwright.serving.protocol import Action, Answer, Batch, ModelFacts, Output, Route
from millwright.serving.tensors import DATATYPES, Parameter, Tensor, batch_of, has

_PATH = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?(/ready|/infer)?")
_PLAIN_PATHS: dict[str, Action] = {
    "/v2": "server",
    "/v2/health/live": "live",
    "/v2/health/ready": "ready",
}
_ACTIONS: dict[str | None, Action] = {None: "model", "/ready": "model-ready", "/infer": "infer"}
_VERSION = re.compile(r"v?([0-9]{1,18})")


class _Requested(Struct, frozen=True):
    name: str
    parameters: dict[str, Parameter] | None = None


class _Request(Struct, frozen=True):
    inputs: list[Tensor]
    # Clients that know no absent field send null.
    id: str | None = None
    parameters: dict[str, Parameter] | None = None
    outputs: list[_Requested] | None = None


class _OutputTensor(Struct, frozen=True):
    name: str
    datatype: str
    shape: list[int]
    data: list[Cell]


class _Response(Struct, frozen=True):
    model_name: str
    model_version: str
    id: str
    parameters: dict[str, Parameter]
    outputs: list[_OutputTensor]


_REQUESTS = msgspec.json.Decoder(_Request)
_ENCODER = msgspec.json.Encoder()


class InferenceV2:
    """Speaks version 2 of the Open Inference Protocol."""

    name = "inference_v2"

    def route(self, path: str) -> Route | None:
        """Return what `path` asks for; raises NotFound for a version that is no number."""
        matched = _PATH.fullmatch(path)
        if matched is None:
            action = _PLAIN_PATHS.get(path.rstrip("/"))
            return None if action is None else Route(action)
        model, version, tail = matched.groups()
        if version is None:
            return Route(_ACTIONS[tail], model)
        number = _VERSION.fullmatch(version)
        if number is None:
            raise NotFound(f"{version[:40]!r} is not a version", fix="versions are numbers, as 3")
        return Route(_ACTIONS[tail], model, int(number[1]))

    def parse(self, body: bytes) -> V2Call:
        """Read a request's envelope; raises Invalid."""
        try:
            return V2Call(_REQUESTS.decode(body))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Invalid("the body is not an inference request", why=str(error)[:300]) from error

    def describe_model(self, facts: ModelFacts) -> bytes:
        """Return the model's metadata."""
        inputs = [
            {"name": column.name, "datatype": DATATYPES[column.kind], "shape": [-1]}
            for column in facts.signature.inputs
        ]
        outputs = [
            {
                "name": column.name,
                "datatype": DATATYPES[column.kind],
                "shape": [-1] if (width := facts.widths.get(column.name)) is None else [-1, width],
            }
            for column in facts.signature.outputs
        ]
        return _ENCODER.encode(
            {
                "name": facts.name,
                "versions": [str(version) for version in facts.versions],
                "platform": facts.flavor,
                "inputs": inputs,
                "outputs": outputs,
            }
        )

    def describe_server(self) -> bytes:
        """Return the server's metadata; it has no extension yet."""
        return _ENCODER.encode({"name": "millwright", "version": VERSION, "extensions": []})

    def say_live(self) -> bytes:
        """Return the body that says that the process is alive."""
        return b'{"live":true}'

    def say_ready(self, model: str | None) -> bytes:
        """Return the body that says that a model, or with None the server, can answer."""
        # The text of the specification calls the server's field `live`; clients look at the
        # status alone, so it has both names.
        if model is None:
            return b'{"ready":true,"live":true}'
        return _ENCODER.encode({"name": model, "ready": True})

    def say_error(self, text: str) -> bytes:
        """Return the body of an error."""
        return _ENCODER.encode({"error": text})


@dataclass(frozen=True, slots=True)
class V2Call:
    """A request whose tensors are not looked at yet."""

    request: _Request

    @property
    def key(self) -> str | None:
        """The sticky key, when the body has one."""
        return self._parameter("key")

    @property
    def subject(self) -> str | None:
        """Whom the decision is about, when the body says so."""
        return self._parameter("subject")

    @property
    def case(self) -> str | None:
        """Which of the organisation's cases it belongs to, when the body says so."""
        return self._parameter("case")

    def batch(self, signature: Signature) -> Batch:
        """Return the rows; raises Invalid, saying which tensor is wrong and how."""
        outputs = [column.name for column in signature.outputs]
        for wanted in self.request.outputs or []:
            if wanted.name not in outputs:
                raise Invalid(
                    f"the model has no output {wanted.name[:80]!r}", why=has(outputs, wanted.name)
                )
        return batch_of(self.request.inputs, signature.inputs)

    def encode(self, answer: Answer) -> bytes:
        """Return the response."""
        wanted = [each.name for each in self.request.outputs or []] or list(answer.outputs)
        first = answer.decisions[0]
        parameters: dict[str, Parameter] = {"version": answer.variant.version}
        if len(answer.decisions) == 1:
            parameters["decision_id"] = first.id
            parameters["action"] = first.action
        else:
            parameters["decision_ids"] = ",".join(each.id for each in answer.decisions)
            parameters["actions"] = ",".join(each.action for each in answer.decisions)
        return _ENCODER.encode(
            _Response(
                model_name=answer.deployment,
                model_version=str(answer.variant.version),
                id=self.request.id or first.id,
                parameters=parameters,
                outputs=[_tensor(name, answer.outputs[name]) for name in wanted],
            )
        )

    def _parameter(self, name: str) -> str | None:
        value = (self.request.parameters or {}).get(name)
        if value is None or isinstance(value, str):
            return value
        raise Invalid(f"the parameter {name!r} must be text", why=f"it is {value!r}")


def _tensor(name: str, output: Output) -> _OutputTensor:
    return _OutputTensor(name, DATATYPES[output.kind], output.shape, output.data)
