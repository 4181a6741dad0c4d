"""One request on MLflow's routes as its handler sees it, and how its arguments are read."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import (
    Any,
    Literal,
    TypeAlias,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec
from msgspec import Struct

from millwright.core.errors import Invalid, NotFound
from millwright.core.ids import LoggedModelId, RunId, from_hex
from millwright.doors.door import Door
from millwright.records.access import Permission
from millwright.server.mlflow.checks import bad_value, check_run_id, required
from millwright.server.mlflow.errors import MlflowError, invalid, missing
from millwright.tracking.handles import NotActive

T = TypeVar("T", bound=Struct)
Lane: TypeAlias = Literal["read", "log", "write", "work"]
"""`log` and `write` are short and share a commit with others, that of `log` alone waits for no
disk; `work` reads files too, in a thread of its own."""

MAX_BODY_BYTES = 4 << 20
MAX_LONG_BODY_BYTES = 32 << 20
"""Of routes that take schemas, profiles and whole descriptions of models."""

_WRONG = re.compile(r"Expected `(?P<wanted>[^`]*)`, got `(?P<got>[^`]*)` - at `\$(?P<path>[^`]*)`")
_TYPE_NAMES = {"str": "str", "int": "int", "float": "float", "array": "list", "object": "dict"}


@dataclass(frozen=True, slots=True)
class Call:
    """A request, its caller known and let in."""

    door: Door
    base: str
    """The address of the server as the client knows it, with the project's prefix if any."""
    query: Mapping[str, list[str]]
    body: bytes
    path: Mapping[str, str]
    method: str

    def read(self, shape: type[T]) -> T:
        """Return the arguments: of a GET from the query, else from the body's JSON object.

        Keys that are not known are let be, as MLflow does. Raises MlflowError.
        """
        if self.method == "GET" or (not self.body and self.query):
            return _convert(_from_query(self.query, shape), shape)
        return parse_body(self.body, shape)

    def part(self, name: str) -> str:
        """Return an argument that stands in the path."""
        return self.path[name]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One route of MLflow's: what it needs, where it runs, what answers it."""

    method: str
    path: str
    """Below `/api` and `/ajax-api`: `/2.0/mlflow/runs/get`; `{name}` stands for one part."""
    needs: Permission
    lane: Lane
    handler: Callable[[Call], object]
    max_body_bytes: int = MAX_BODY_BYTES


def parse_body(body: bytes, shape: type[T]) -> T:
    """Return the JSON object of a body; raises MlflowError naming the parameter that is wrong."""
    try:
        return msgspec.json.decode(body or b"{}", type=shape, strict=False)
    except msgspec.ValidationError as error:
        if body[:1] == b'"':
            # Old clients encode twice.
            return parse_body(str(_loads(body)).encode(), shape)
        raise _wrong_type(error, _loads(body)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Python's own JSON also has NaN and Infinity, which some clients send.
        return _convert(_loads(body), shape)


def need(value: str | None, name: str) -> str:
    """Return a text that a request must have."""
    if not value:
        raise invalid(required(name))
    return value


def run_of(digits: str | None) -> RunId:
    """Return the run that 32 hexadecimal digits name; raises MlflowError."""
    text = check_run_id(need(digits, "run_id"))
    try:
        return RunId(from_hex(text, "run"))
    except Invalid:
        raise no_run(text) from None


def no_run(digits: str) -> MlflowError:
    """Return the error that there is no such run."""
    return missing(f"Run with id={digits} not found")


@contextmanager
def of_run(digits: str) -> Generator[None]:
    """Turn what our runs raise in the block into MLflow's words for this run."""
    try:
        yield
    except NotActive as error:
        raise invalid(
            f"The run {digits} must be in the 'active' state. Current state is deleted."
        ) from error
    except NotFound as error:
        raise no_run(digits) from error


def model_of(text: str | None) -> LoggedModelId:
    """Return the logged model that `m-` and 32 hexadecimal digits name; raises MlflowError."""
    name = need(text, "model_id")
    try:
        return LoggedModelId(from_hex(name.removeprefix("m-"), "lgm"))
    except Invalid:
        raise no_model(name) from None


def no_model(name: str) -> MlflowError:
    """Return the error that there is no such logged model."""
    return missing(f"Logged model with ID '{name}' not found.")


def found_model(call: Call, name: str | None, *, deleted: bool = False) -> LoggedModelId:
    """Return the id of a logged model that is there; raises MlflowError."""
    model = model_of(name)
    try:
        call.door.logged_models.show(id=model, deleted=deleted)
    except NotFound as error:
        raise no_model(name or "") from error
    return model


def _loads(body: bytes) -> object:
    try:
        found = json.loads(body or b"{}")
        # Half a surrogate pair is no text: nothing could store it, or answer with it. Python's
        # JSON reads it from escapes and from bytes as well, in UTF-8 and in UTF-16.
        json.dumps(found, ensure_ascii=False).encode()
        return found
    except (ValueError, RecursionError) as error:
        raise MlflowError(
            "BAD_REQUEST", f"The request body cannot be read as JSON: {error}"
        ) from error


def _convert(given: object, shape: type[T]) -> T:
    if not isinstance(given, dict):
        raise MlflowError("BAD_REQUEST", "The request body is not a JSON object")
    try:
        return msgspec.convert(given, type=shape, strict=False)
    except msgspec.ValidationError as error:
        raise _wrong_type(error, cast("object", given)) from error


def _wrong_type(error: msgspec.ValidationError, given: object) -> MlflowError:
    matched = _WRONG.search(str(error))
    if matched is None:
        return invalid(f"{error} See the API docs for more information about request parameters.")
    name = matched["path"].lstrip(".").partition("[")[0].partition(".")[0]
    value = cast("dict[str, object]", given).get(name) if isinstance(given, dict) else None
    kind = _TYPE_NAMES.get(matched["got"], matched["got"])
    return invalid(
        f"{bad_value(name, value, f' Hint: Value was of type {kind!r}.')} "
        "See the API docs for more information about request parameters."
    )


def _from_query(query: Mapping[str, list[str]], shape: type[Struct]) -> dict[str, Any]:
    lists = _list_fields(shape)
    return {
        name: values if name in lists else values[-1]
        for name, values in query.items()
        if name in shape.__struct_fields__
    }


@cache
def _list_fields(shape: type[Struct]) -> frozenset[str]:
    return frozenset(
        name
        for name, hint in get_type_hints(shape).items()
        if any(get_origin(one) is list for one in _alternatives(hint))
    )


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in {Union, types.UnionType} else (hint,)
